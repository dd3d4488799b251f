"""What nobody would come for: recalled work without a worker, places of runs that have ended."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from apps.executions.actions import cancel_run
from apps.executions.engine.ports import StepOutcome
from apps.executions.store import statements
from apps.executions.store.connections import Connection
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from tests.executions.test_keys import ENTER
from tests.executions.test_keys import engine as engine  # noqa: PLC0414 - a fixture
from tests.executions.test_maps import Items, mapped
from tests.executions.test_tasks import CPU, RUNS, heavy
from tests.executions.world import ScriptedRunner, finished, start, worker
from tests.factories.graphs import chain
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def until(question: Callable[[], Any]) -> None:
    """Looks again for twenty seconds at most."""
    end = time.monotonic() + 20
    while not question():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("drawn", "script"),
    [(heavy("unsafe"), None), (mapped(**CPU), Items())],
    ids=["task", "chunk"],
)
def test_a_cancellation_ends_though_nobody_serves_the_pool_of_what_it_recalls(
    acme: Tenant,
    engine: Connection,
    drawn: dict[str, Any],
    script: Callable[..., StepOutcome] | None,
) -> None:
    hand, run_id = uuid.uuid4(), start(acme, drawn)
    statements.register(
        engine, worker_id=hand, host="here", pid=1, pools=["cpu"], slots=8, lease_seconds=60
    )
    with worker(ScriptedRunner(script), settings=RUNS) as loop:
        until(lambda: statements.claim(engine, worker_id=hand, pool="cpu", want=8, charges={}))
        engine.execute("UPDATE work_item SET has_begun = true WHERE worker_id = %s", (hand,))
        with scope.tenant(acme.id):
            cancel_run(actor=acme.owner, run_id=run_id)
        loop.ring()
        recalled = "SELECT FROM work_item WHERE worker_id = %s AND has_mail"
        until(lambda: engine.execute(recalled, (hand,)).rowcount)
        statements.leave(engine, worker_id=hand)
        assert finished(acme, run_id).state == "CANCELED"
    assert list(verify_tenant(acme.id)) == []


def test_places_of_runs_that_have_ended_are_forgotten(acme: Tenant, engine: Connection) -> None:
    ended = start(acme, chain(1))
    with worker():
        finished(acme, ended)
    waiting = start(acme, chain(1))
    for run_id in (ended, waiting):
        engine.execute(ENTER, (acme.id, uuid.uuid4(), run_id, "pay", 1))
    statements.tidy(engine)
    rows = engine.execute("SELECT run_id FROM key_holder WHERE tenant_id = %s", (acme.id,))
    assert rows.fetchall() == [(waiting,)]
