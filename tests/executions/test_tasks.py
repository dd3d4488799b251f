"""Dispatched steps: tasks in pools of their own, and what may happen to them."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import pytest
from django.db import connection

from apps.executions import history
from apps.executions.actions import cancel_run
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
from apps.executions.engine.wait_events import StepWaiting
from apps.executions.models import NodeState, WorkItem
from apps.tenancy import scope
from apps.workflows.graph.waits import WaitKind
from tests.executions.world import ScriptedRunner, finished, reached, run_of, start, types, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

CPU: dict[str, Any] = {"resources": {"pool": "cpu"}}
RUNS = {"pools": ["io"]}
TASKS = {"pools": ["cpu"]}
BOTH = {"pools": ["io", "cpu"]}


def heavy(kind: str = "pure", **fields: Any) -> dict[str, Any]:
    """light → heavy → light."""
    nodes = [a("first"), a("second", kind, **CPU, **fields), a("last")]
    return raw(nodes, [to("first", "second"), to("second", "last")])


def tasks(tenant: Tenant) -> list[WorkItem]:
    with scope.tenant(tenant.id):
        return list(WorkItem.objects.filter(tenant_id=tenant.id, kind="task"))


def dispatched(tenant: Tenant, *, count: int = 1) -> list[WorkItem]:
    """The tasks, when there are so many."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found = tasks(tenant)
        if len(found) == count:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{len(tasks(tenant))} tasks")


def test_a_heavy_step_runs_in_a_process_of_its_pool(acme: Tenant) -> None:
    run_id = start(acme, heavy())
    owner, hand = ScriptedRunner(), ScriptedRunner()
    with worker(owner, settings=RUNS) as loop, worker(hand, settings=TASKS):
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert owner.calls == [("first", 1), ("last", 1)]
    assert hand.calls == [("second", 1)]
    assert types(acme, run_id) == [
        "run.queued",
        "run.started",
        "step.completed first",
        "step.dispatched second",
        "step.completed second",
        "step.completed last",
        "run.succeeded",
    ]


def test_what_the_step_may_know_is_what_history_says(acme: Tenant) -> None:
    seen: list[StepCall] = []

    def answer(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "second":
            seen.append(call)
        return StepDone(outputs={"value": [call.path]})

    run_id = start(acme, heavy())
    with worker(ScriptedRunner(answer), settings=BOTH):
        finished(acme, run_id)
    (call,) = seen
    assert call.inputs == {"value": ["first"]}
    assert dict(call.upstream) == {"first": {"value": ["first"]}}
    assert call.idempotency_key == f"{acme.id}/{run_id}/second/0/1"


def test_branches_run_on_all_processes_at_once(acme: Tenant) -> None:
    together = threading.Barrier(3)

    def meet(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        together.wait(timeout=20)
        return StepDone(outputs={"value": call.path})

    run_id = start(
        acme,
        raw(
            [a("root"), *(a(f"b{i}", **CPU) for i in range(3))],
            [to("root", f"b{i}") for i in range(3)],
        ),
    )
    hands = [worker(ScriptedRunner(meet), settings=TASKS) for _ in range(3)]
    with worker(settings=RUNS), hands[0], hands[1], hands[2]:
        assert finished(acme, run_id).state == "SUCCEEDED"


def test_without_a_worker_of_its_pool_a_step_waits_and_holds_no_slot(acme: Tenant) -> None:
    run_id = start(acme, heavy())
    with worker(settings=RUNS):
        (task,) = dispatched(acme)
        assert (task.pool, task.path, task.attempt, task.worker_id) == ("cpu", "second", 1, None)
    with scope.tenant(acme.id):
        assert not WorkItem.objects.filter(run_id=run_id, kind="run").exists()
    with worker(settings=BOTH):
        assert finished(acme, run_id).state == "SUCCEEDED"


def test_a_failed_attempt_is_dispatched_again(acme: Tenant) -> None:
    def picky(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "second" and call.attempt == 1:
            return StepFailed(code="NO", message="not yet", retryable=True)
        return StepDone(outputs={"value": call.path})

    retry = {"maxAttempts": 2, "backoffSeconds": 0}
    run_id = start(acme, heavy("keyed", retry=retry))
    with worker(ScriptedRunner(picky), settings=BOTH):
        assert finished(acme, run_id).state == "SUCCEEDED"
    history = types(acme, run_id)
    assert history.count("step.dispatched second") == 2
    assert history.count("step.attempt_failed second") == 1


def test_declared_writes_come_with_the_completion(acme: Tenant) -> None:
    def write(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        writes = (TransactionalWrite(key="cursor", value={"at": 7}),)
        return StepDone(outputs={"value": 1}, writes=writes if call.path == "second" else ())

    run_id = start(acme, heavy("transactional"))
    with worker(ScriptedRunner(write), settings=BOTH):
        finished(acme, run_id)
    with scope.tenant(acme.id):
        assert NodeState.objects.get(key="cursor").value == {"at": 7}


def test_outputs_that_history_cannot_hold_fail_the_step(acme: Tenant) -> None:
    def boast(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        return StepDone(outputs={"value": "x" * (100_000 if call.path == "second" else 1)})

    run_id = start(acme, heavy())
    with worker(ScriptedRunner(boast), settings=BOTH):
        run = finished(acme, run_id)
    assert run.error is not None
    assert run.error["code"] == "OUTPUT_TOO_LARGE"


def patient(reached: threading.Event) -> ScriptedRunner:
    """Heavy steps wait to be stopped."""

    def wait(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path != "second":
            return StepDone(outputs={"value": call.path})
        reached.set()
        return StepStopped(reason=stop.wait(seconds=60) or StopReason.CANCELED)

    return ScriptedRunner(wait)


def test_a_task_that_runs_is_stopped_with_its_run(acme: Tenant) -> None:
    reached = threading.Event()
    run_id = start(acme, heavy())
    with worker(patient(reached), settings=BOTH) as loop:
        assert reached.wait(20)
        with scope.tenant(acme.id):
            cancel_run(actor=acme.owner, run_id=run_id)
        loop.ring()
        assert finished(acme, run_id).state == "CANCELED"
    assert types(acme, run_id)[-2:] == ["step.canceled second", "run.canceled"]
    assert tasks(acme) == []


def test_a_task_that_waits_is_taken_back_with_its_run(acme: Tenant) -> None:
    run_id = start(acme, heavy())
    with worker(settings=RUNS) as loop:
        dispatched(acme)
        with scope.tenant(acme.id):
            cancel_run(actor=acme.owner, run_id=run_id)
        loop.ring()
        assert finished(acme, run_id).state == "CANCELED"
    assert tasks(acme) == []


def test_a_long_task_is_announced_to_those_who_watch(acme: Tenant) -> None:
    def slow(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "second":
            stop.wait(seconds=1.2)
        return StepDone(outputs={"value": call.path})

    run_id = start(acme, heavy())
    with worker(ScriptedRunner(slow), settings=BOTH):
        finished(acme, run_id)
    history = types(acme, run_id)
    assert history.index("step.started second") < history.index("step.completed second")


def test_a_drained_process_leaves_its_task_to_another(acme: Tenant) -> None:
    reached = threading.Event()
    run_id = start(acme, heavy())
    with worker(settings=RUNS):
        with worker(patient(reached), settings=TASKS) as hand:
            assert reached.wait(20)
            hand.stop(seconds=0.1)
        assert run_of(acme, run_id).finished_at is None
        with worker(settings=TASKS):
            assert finished(acme, run_id).state == "SUCCEEDED"
    assert types(acme, run_id).count("step.dispatched second") == 1


def lose_worker_in(tenant: Tenant, *, begun: bool) -> uuid.UUID:
    """The task of the run, leased by a worker that does not exist; returns the run."""
    (task,) = dispatched(tenant)
    with scope.tenant(tenant.id), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE work_item SET worker_id = %s, token = %s, granted = 1, has_begun = %s"
            " WHERE id = %s",
            [uuid.uuid4(), uuid.uuid4(), begun, task.pk],
        )
    return task.run_id


@pytest.mark.parametrize(("kind", "begun"), [("pure", False), ("keyed", False), ("unsafe", False)])
def test_a_task_whose_worker_died_runs_elsewhere(acme: Tenant, kind: str, begun: bool) -> None:
    run_id = start(acme, heavy(kind))
    with worker(settings=RUNS):
        lose_worker_in(acme, begun=begun)
        with worker(settings=TASKS):
            assert finished(acme, run_id).state == "SUCCEEDED"


def test_an_unsafe_task_that_had_begun_is_never_tried_again(acme: Tenant) -> None:
    run_id = start(acme, heavy("unsafe"))
    hand = ScriptedRunner()
    with worker(settings=RUNS):
        lose_worker_in(acme, begun=True)
        with worker(hand, settings=TASKS):
            reached(acme, run_id, "WAITING")
    with scope.tenant(acme.id):
        waiting = history.latest_event(run_id, "second")
    assert isinstance(waiting, StepWaiting)
    assert (waiting.wait.kind, hand.calls) == (WaitKind.DOUBT, [])


def test_a_reconcilable_task_that_had_begun_is_told_so(acme: Tenant) -> None:
    told: list[bool] = []

    def note(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        told.append(call.interrupted)
        return StepDone(outputs={"value": call.path})

    run_id = start(acme, heavy("reconcilable"))
    with worker(settings=RUNS):
        lose_worker_in(acme, begun=True)
        with worker(ScriptedRunner(note), settings=TASKS):
            finished(acme, run_id)
    assert told == [True]


def test_a_task_that_kills_every_worker_fails_its_step(acme: Tenant) -> None:
    run_id = start(acme, heavy())
    with worker(settings=RUNS):
        (task,) = dispatched(acme)
        with scope.tenant(acme.id), connection.cursor() as cursor:
            cursor.execute("UPDATE work_item SET crashes = 3 WHERE id = %s", [task.pk])
        with worker(settings=TASKS):
            run = finished(acme, run_id)
    assert run.error is not None
    assert run.error["code"] == "WORKER_LOST"


def test_slots_of_all_pools_count_together(acme: Tenant) -> None:
    reached = threading.Event()
    run_id = start(acme, heavy())
    with worker(settings=RUNS):
        dispatched(acme)
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute("UPDATE lane SET max_inflight = 1")
    other = start(acme, raw([a("alone")]), timeout_seconds=None)
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute("UPDATE lane SET max_inflight = 1")
    runner = patient(reached)
    with worker(runner, settings=TASKS), worker(runner, settings=RUNS) as loop:
        assert reached.wait(20)
        loop.ring()
        time.sleep(0.5)
        assert run_of(acme, other).state == "QUEUED", "the task holds the only slot"
        with scope.tenant(acme.id):
            cancel_run(actor=acme.owner, run_id=run_id)
        with scope.tenant(acme.id), connection.cursor() as cursor:
            cursor.execute("UPDATE lane SET max_inflight = 2")
        assert finished(acme, other).state == "SUCCEEDED"
        assert finished(acme, run_id).state == "CANCELED"
