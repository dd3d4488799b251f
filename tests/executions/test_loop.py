"""A worker loop runs real runs to their end."""

from __future__ import annotations

import pytest

from tests.executions.world import finished, start, types, worker
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
