"""What goes wrong around a run: races, cancellation, deadlines, drains, broken slices."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from apps.executions.actions import cancel_run
from apps.executions.engine.fold import fold
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepStopped,
    StopReason,
    StopSignal,
    TransactionalWrite,
)
from apps.executions.models import NodeState
from apps.tenancy import scope
from config import logs
from tests.executions.world import (
    VERSIONS,
    ScriptedRunner,
    finished,
    run_of,
    start,
    types,
    worker,
)
from tests.factories.graphs import a, chain, document, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_loops_share_the_runs_and_run_each_once(acme: Tenant, globex: Tenant) -> None:
    runs = [(t, start(t, chain(5, k))) for t in (acme, globex) for k in ("pure", "keyed") * 10]
    one, two = ScriptedRunner(), ScriptedRunner()
    with worker(one) as first, worker(two) as second:
        first.ring()
        second.ring()
        for tenant, run_id in runs:
            assert finished(tenant, run_id, seconds=60).state == "SUCCEEDED"
    assert len(one.calls) + len(two.calls) == 5 * len(runs)


def blocking(reached: threading.Event) -> Callable[..., StepOutcome]:
    """A step that waits to be stopped."""

    def wait(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        reached.set()
        reason = stop.wait(seconds=60)
        return StepStopped(reason=reason or StopReason.CANCELED)

    return wait


def test_a_run_is_canceled_while_a_step_runs(acme: Tenant) -> None:
    run_id = start(acme, raw([a("a"), a("b")], [to("a", "b")]))
    reached = threading.Event()
    with worker(ScriptedRunner(blocking(reached))) as loop:
        loop.ring()
        assert reached.wait(20)
        with scope.tenant(acme.id, actor=acme.owner):
            cancel_run(actor=acme.owner, run_id=run_id)
        loop.ring()
        run = finished(acme, run_id)
    assert run.state == "CANCELED"
    assert types(acme, run_id)[-3:] == ["run.canceling", "step.canceled a", "run.canceled"]


def test_a_parked_run_is_canceled_too(acme: Tenant) -> None:
    nodes = [a("a", retry={"maxAttempts": 2, "backoffSeconds": 3600})]

    def fail(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        return StepFailed(code="NO", message="no", retryable=True, retry_after_seconds=3600.0)

    run_id = start(acme, raw(nodes))
    with worker(ScriptedRunner(fail)) as loop:
        loop.ring()
        while "step.attempt_failed a" not in types(acme, run_id) or _items(acme):
            time.sleep(0.02)
        with scope.tenant(acme.id, actor=acme.owner):
            cancel_run(actor=acme.owner, run_id=run_id)
        loop.ring()
        assert finished(acme, run_id).state == "CANCELED"


def _items(tenant: Tenant) -> int:
    with scope.tenant(tenant.id), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM work_item")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def test_a_parked_retry_comes_back_by_its_timer(acme: Tenant) -> None:
    def once(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.attempt == 1:
            return StepFailed(code="NO", message="no", retryable=True, retry_after_seconds=1.5)
        return StepDone(outputs={"value": call.attempt})

    run_id = start(acme, raw([a("a", "keyed", retry={"maxAttempts": 2})]))
    with worker(ScriptedRunner(once)) as loop:
        loop.ring()
        run = finished(acme, run_id)
    assert run.result == {"a": {"value": 2}}
    assert run.attempts == 2


def test_a_run_past_its_deadline_ends_in_time(acme: Tenant) -> None:
    run_id = start(acme, raw([a("a")]), timeout_seconds=1)
    with worker(ScriptedRunner(blocking(threading.Event()))) as loop:
        loop.ring()
        run = finished(acme, run_id)
    assert run.state == "TIMED_OUT"
    assert run.error is not None
    assert run.error["code"] == "RUN_TIMEOUT"


def test_without_any_bell_the_loop_finds_the_work(acme: Tenant) -> None:
    with worker():
        run_id = start(acme, chain(2))
        assert finished(acme, run_id, seconds=10).state == "SUCCEEDED"


def test_a_draining_loop_gives_its_runs_back(acme: Tenant) -> None:
    run_id = start(acme, raw([a("a"), a("b")], [to("a", "b")]))
    reached = threading.Event()
    with worker(ScriptedRunner(blocking(reached))) as loop:
        loop.ring()
        assert reached.wait(20)
        loop.drain(seconds=0.2)
    assert run_of(acme, run_id).state in ("QUEUED", "RUNNING")
    with worker() as loop:
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"


def test_a_version_that_cannot_run_any_more_fails_its_run(acme: Tenant) -> None:
    run_id = start(acme, chain(1))
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute("SELECT version_id FROM run")
        row = cursor.fetchone()
    assert row is not None

    VERSIONS.documents[row[0]] = document([{"id": "x", "type": "gone.type"}])
    with worker() as loop:
        loop.ring()
        run = finished(acme, run_id)
    assert run.state == "FAILED"
    assert run.error is not None
    assert run.error["code"] == "NODE_TYPE_UNKNOWN"


def test_a_slice_that_breaks_off_is_tried_again_and_its_log_line_names_the_run(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[int] = []
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.formatter(json=True))
    monkeypatch.setattr(logging.getLogger("apps.executions.worker.leased"), "handlers", [handler])

    def breaking(*arguments: Any) -> Any:
        broken.append(1)
        if len(broken) == 1:
            raise RuntimeError("broken once")
        return fold(*arguments)

    monkeypatch.setattr("apps.executions.worker.turn.fold", breaking)
    run_id = start(acme, chain(2))
    with worker() as loop:
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"
        worker_id = str(loop.settings.worker_id)
    assert len(broken) == 2
    line = json.loads(written.getvalue().splitlines()[0])
    assert (line["run"], line["tenant"], line["worker"]) == (str(run_id), str(acme.id), worker_id)


def test_declared_writes_are_there_with_the_step(acme: Tenant) -> None:

    writes = (
        TransactionalWrite(key="cursor", value={"at": 1}),
        TransactionalWrite(key="cursor", value={"at": 2}),
        TransactionalWrite(key="other", value="x"),
    )

    def write(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "n0":
            return StepDone(outputs={"value": 1}, writes=writes)
        return StepDone(outputs={}, writes=(TransactionalWrite(key="other", value=None),))

    run_id = start(acme, chain(2, "transactional"))
    with worker(ScriptedRunner(write)) as loop:
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"
    with scope.tenant(acme.id):
        held = {row.key: row.value for row in NodeState.objects.all()}
    assert held == {"cursor": {"at": 2}}
