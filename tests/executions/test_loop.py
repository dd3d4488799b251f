"""A worker loop runs real runs to their end."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from apps.executions.worker import expecting
from apps.executions.worker import loop as loops
from tests.executions.world import POOL, finished, run_of, start, types, worker
from tests.factories.graphs import chain
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("kind", ["pure", "keyed", "unsafe", "reconcilable", "transactional"])
def test_a_chain_of_every_effect_ends_with_its_history(acme: Tenant, kind: str) -> None:
    run_id = start(acme, chain(4, kind))
    with worker() as loop:
        loop.ring()
        run = finished(acme, run_id)
    assert run.state == "SUCCEEDED"
    assert run.result == {"n3": {"value": "n3"}}
    assert run.attempts == 4
    history = types(acme, run_id)
    assert len(history) == run.head
    assert history[0] == "run.queued"
    assert history[-1] == "run.succeeded"
    assert history.count("step.completed n2") == 1


def test_a_run_that_was_told_of_needs_no_ring(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a worker that looks for nothing by itself
    forever = 3600.0
    monkeypatch.setattr(loops, "LOOK_SECONDS", forever)
    monkeypatch.setattr(expecting, "EXPECT_SECONDS", forever)
    lasting = dict.fromkeys(("beat_seconds", "lease_seconds", "trust_seconds"), forever)
    with worker(settings=lasting) as loop:
        first = start(acme, chain(1))
        loop.ring()
        assert finished(acme, first).state == "SUCCEEDED"
        time.sleep(0.5)  # Its last look is over.
        unheard = start(acme, chain(1))
        time.sleep(0.5)
        assert run_of(acme, unheard).state == "QUEUED"
        # when it is told of a run
        loop.expect(uuid4(), POOL)
        assert finished(acme, start(acme, chain(1))).state == "SUCCEEDED"
        assert finished(acme, unheard).state == "SUCCEEDED"
