"""Steps that overrun their time in a thread: their run goes on elsewhere, their process ends."""

from __future__ import annotations

import threading

import pytest

from apps.executions import process
from apps.executions.engine.flight import GRACE
from apps.executions.engine.ports import LogSink, StepCall, StepDone, StepOutcome, StopSignal
from apps.executions.worker.keeping import TICK_SECONDS
from tests.executions.world import ScriptedRunner, finished, start, types, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

RECYCLED_SECONDS = 10.0
"""What is promised: by then a process with a stuck thread has been replaced."""
SLOWEST_TICK = 1.3


def test_the_promise_is_kept_by_its_parts() -> None:
    seen_after = GRACE.total_seconds() + TICK_SECONDS * SLOWEST_TICK
    assert seen_after + process.LAST_SECONDS < RECYCLED_SECONDS


def test_a_run_whose_own_thread_is_stuck_goes_on_elsewhere(acme: Tenant) -> None:
    stuck, go = threading.Event(), threading.Event()
    reasons: list[str] = []

    def hang(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "n3":
            stuck.set()
            go.wait(60)
        return StepDone(outputs={"value": call.path})

    # All of one type: the first says that it is quick, so the last runs on the slice's thread.
    nodes = [a(f"n{number}", timeoutSeconds=1) for number in range(5)]
    links = [to(f"n{number}", f"n{number + 1}") for number in range(4)]
    with worker(ScriptedRunner(hang), recycle=reasons.append) as first:
        run_id = start(acme, raw(nodes, links))
        assert stuck.wait(20)
        with worker():
            run = finished(acme, run_id, seconds=60)
        assert first.is_stuck()
        go.set()
    assert run.state == "SUCCEEDED"
    assert reasons == [f"step n3 of run {run_id} cannot be stopped"]
    assert types(acme, run_id).count("step.completed n3") == 1
