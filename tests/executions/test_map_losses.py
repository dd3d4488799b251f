"""Chunks whose worker is as good as dead while a step runs: what it gives is written by nobody."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from apps.executions.engine.ports import LogSink, StepCall, StepDone, StepOutcome, StopSignal
from apps.executions.models import MapItem
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from apps.workflows.graph.mapping import Policy
from tests import database
from tests.executions.test_maps import Items, mapped
from tests.executions.world import finished, start, worker
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

ALL = {"policy": Policy.COLLECT, "tolerated": None, "concurrency": 1, "chunk_size": 6}
QUICK_BEATS = {"beat_seconds": 0.2}
STALE = "stale"


def outcomes(tenant: Tenant) -> dict[int, Any]:
    """By item: its result, or the code of its failure."""
    with scope.tenant(tenant.id):
        rows = list(MapItem.objects.order_by("idx"))
    return {row.idx: row.output if row.error is None else row.error["code"] for row in rows}


class Held(Items):
    """The third item's step is under way, in one worker only, until the test says go."""

    def __init__(self) -> None:
        super().__init__(6, ALL)
        self.reached, self.go = threading.Event(), threading.Event()

    def __call__(self, call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "rows[2]/one" and not self.reached.is_set():
            with self.lock:
                self.keys[call.idempotency_key] += 1
            self.reached.set()
            self.go.wait(60)
            return StepDone(outputs={"value": STALE})
        return super().__call__(call, stop, logs)


@pytest.mark.parametrize(("kind", "third"), [("keyed", 4), ("unsafe", "EFFECT_IN_DOUBT")])
def test_a_lease_that_ends_during_an_effect(acme: Tenant, kind: str, third: int | str) -> None:
    items = Held()
    run_id = start(acme, mapped(kind, onError="fail"))
    with worker(items.runner(), settings=QUICK_BEATS) as first:
        assert items.reached.wait(20)
        with psycopg.connect(database.url("engine"), autocommit=True) as direct:
            direct.execute("DELETE FROM worker WHERE id = %s", (first.settings.worker_id,))
        with worker(items.runner()):
            run = finished(acme, run_id, seconds=60)
        # The effect happens all the same, and its reply comes to nobody.
        items.go.set()
    assert run.state == "SUCCEEDED", run.error
    assert outcomes(acme) == {0: 0, 1: 1, 2: third, 3: 9, 4: 16, 5: 25}
    sent = {count for count in items.keys.values() if count > 1}
    assert sent == ({2} if kind == "keyed" else set()), "under its own key, or not again"
    assert verify_tenant(acme.id) == []


def test_an_item_whose_step_cannot_be_ended_goes_on_elsewhere(acme: Tenant) -> None:
    items = Held()
    reasons: list[str] = []
    run_id = start(acme, mapped("keyed", timeoutSeconds=1))
    with worker(items.runner(), recycle=reasons.append) as first:
        assert items.reached.wait(20)
        with worker(items.runner()):
            run = finished(acme, run_id, seconds=60)
        assert first.is_stuck()
        items.go.set()
        until = time.monotonic() + 20
        while first._turns:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert run.state == "SUCCEEDED", run.error
    assert reasons == [f"step rows[2]/one of run {run_id} cannot be stopped"]
    found = outcomes(acme)
    assert STALE not in found.values()
    assert {found[idx] for idx in (0, 1, 3, 4, 5)} == {0, 1, 9, 16, 25}
    assert found[2] in (4, "STEP_TIMEOUT"), "taken over, or given up by its own slice"
    # What was not recorded yet is sent again, under its own key.
    assert len(items.keys) == 6
    assert verify_tenant(acme.id) == []
