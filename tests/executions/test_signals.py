"""Signals, pause and resume through their actions, on the real database."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from apps.executions.actions import cancel_run, pause_run, resume_run, signal_run
from apps.executions.actions.signaling import PENDING_LIMIT
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepOutcome,
    StepWaits,
    StopSignal,
)
from apps.executions.errors import ExecutionEnded, SignalsFull
from apps.executions.models import InboxMessage, RunEvent
from apps.kit.errors import Forbidden, NotFound, Refusal
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Role
from apps.tenancy.models import AuditRow
from apps.workflows.graph.declaration import Wait, WaitKind
from tests.executions.test_waits import parked
from tests.executions.world import ScriptedRunner, finished, run_of, start, types, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def waiter(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
    """Steps named w… wait for the signal `go`."""
    if call.path.startswith("w"):
        return StepWaits(wait=Wait(kind=WaitKind.SIGNAL, name="go"))
    return StepDone(outputs={"value": call.path})


def signal(tenant: Tenant, run_id: uuid.UUID, **fields: Any) -> None:
    with scope.tenant(tenant.id):
        signal_run(actor=tenant.owner, run_id=run_id, **{"name": "go", **fields})


def pause(tenant: Tenant, run_id: uuid.UUID) -> None:
    with scope.tenant(tenant.id):
        pause_run(actor=tenant.owner, run_id=run_id)


def resume(tenant: Tenant, run_id: uuid.UUID) -> None:
    with scope.tenant(tenant.id):
        resume_run(actor=tenant.owner, run_id=run_id)


def waiting(tenant: Tenant) -> uuid.UUID:
    """w waits for `go`, then b."""
    return start(tenant, raw([a("w"), a("b")], [to("w.payload", "b.value")]))


def test_a_signal_goes_to_the_step_that_waits(acme: Tenant) -> None:
    run_id = waiting(acme)
    with worker(ScriptedRunner(waiter)) as loop:
        loop.ring()
        parked(acme, run_id)
        signal(acme, run_id, payload={"amount": 3})
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"
    with scope.tenant(acme.id):
        row = RunEvent.objects.get(run_id=run_id, type="step.completed", path="w")
        assert row.body is not None
        assert row.body["outputs"] == {"payload": {"amount": 3}}
        assert AuditRow.objects.filter(action="run.signal").count() == 1


def test_fifty_at_once_under_one_key_are_one(acme: Tenant) -> None:
    run_id = start(acme, raw([a("w"), a("w2")]))

    def send(_: int) -> None:
        try:
            signal(acme, run_id, dedup_key="order 7")
        finally:
            connection.close()

    with worker(ScriptedRunner(waiter)) as loop:
        loop.ring()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, range(25)))
        parked(acme, run_id)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, range(25)))
        loop.ring()
        parked(acme, run_id)
        assert types(acme, run_id).count("signal.received") == 1
        signal(acme, run_id)
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"


def test_too_many_that_nobody_takes_are_refused(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.executions.actions.signaling.PENDING_LIMIT", 3)
    assert PENDING_LIMIT == 2_000
    run_id = waiting(acme)
    for number in range(3):
        signal(acme, run_id, name="other", dedup_key=str(number))
    signal(acme, run_id, name="other", dedup_key="0")
    with pytest.raises(SignalsFull):
        signal(acme, run_id, name="other")
    with worker(ScriptedRunner(waiter)) as loop:
        loop.ring()
        parked(acme, run_id)
        assert run_of(acme, run_id).signals == 3
        with pytest.raises(SignalsFull):
            signal(acme, run_id)


@pytest.mark.parametrize(
    "bad",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"dedup_key": "\x00"},
        {"payload": "x" * 40_000},
        {"payload": {"a": "\x00"}},
    ],
)
def test_what_cannot_be_a_signal_writes_nothing(acme: Tenant, bad: dict[str, Any]) -> None:
    run_id = waiting(acme)
    with pytest.raises(Refusal):
        signal(acme, run_id, **bad)
    with scope.tenant(acme.id):
        assert not InboxMessage.objects.exists()


def test_pause_holds_nothing_and_resume_goes_on(acme: Tenant) -> None:
    gate = threading.Event()

    def script(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "a":
            gate.wait(20)
        return StepDone(outputs={"value": call.path})

    run_id = start(acme, raw([a("a", "keyed"), a("b", "keyed")], [to("a", "b")]))
    with worker(ScriptedRunner(script)) as loop:
        loop.ring()
        pause(acme, run_id)
        loop.ring()
        gate.set()
        parked(acme, run_id, "PAUSED")
        assert types(acme, run_id)[-1] in ("run.paused", "step.completed a")
        assert "step.completed b" not in types(acme, run_id)
        pause(acme, run_id)  # Again: nothing.
        resume(acme, run_id)
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"
        with pytest.raises(ExecutionEnded):
            resume(acme, run_id)
        with pytest.raises(ExecutionEnded):
            pause(acme, run_id)
        with pytest.raises(ExecutionEnded):
            signal(acme, run_id)
    with scope.tenant(acme.id):
        assert AuditRow.objects.filter(action="run.pause").count() == 1
        assert AuditRow.objects.filter(action="run.resume").count() == 1


def test_double_clicks_leave_one_pause(acme: Tenant) -> None:
    run_id = waiting(acme)

    def click(number: int) -> None:
        try:
            pause(acme, run_id)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(click, range(16)))
    with worker(ScriptedRunner(waiter)) as loop:
        loop.ring()
        parked(acme, run_id, "PAUSED")
        assert types(acme, run_id) == ["run.queued", "run.started", "run.paused"]
        resume(acme, run_id)
        signal(acme, run_id)
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"


@pytest.mark.parametrize("state", ["WAITING", "PAUSED"])
def test_cancel_of_a_run_that_rests_is_at_once(acme: Tenant, state: str) -> None:
    run_id = waiting(acme)
    if state == "PAUSED":
        pause(acme, run_id)
    with worker(ScriptedRunner(waiter)) as loop:
        loop.ring()
        parked(acme, run_id, state)
        with scope.tenant(acme.id):
            cancel_run(actor=acme.owner, run_id=run_id)
        loop.ring()
        assert finished(acme, run_id).state == "CANCELED"


def test_signal_cancel_and_pause_at_once_end_one_way(acme: Tenant) -> None:
    """Whatever the order, the run ends, history is whole, and nobody is told something else."""
    for _ in range(6):
        run_id = waiting(acme)

        def cancel(run_id: uuid.UUID = run_id) -> None:
            with scope.tenant(acme.id):
                cancel_run(actor=acme.owner, run_id=run_id)

        def quietly(word: Any) -> None:
            try:
                word()
            except ExecutionEnded:
                pass
            finally:
                connection.close()

        with worker(ScriptedRunner(waiter)) as loop:
            loop.ring()
            words = [
                cancel,
                lambda run_id=run_id: signal(acme, run_id),
                lambda run_id=run_id: pause(acme, run_id),
            ]
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(quietly, words))
            loop.ring()
            assert finished(acme, run_id).state in ("CANCELED", "SUCCEEDED")


def test_the_deadline_counts_while_it_rests(acme: Tenant) -> None:
    drawn = raw([a("w"), a("b")], [to("w.payload", "b.value")])
    run_id = start(acme, drawn, timeout_seconds=1.5)
    pause(acme, run_id)
    with worker(ScriptedRunner(waiter)) as loop:
        loop.ring()
        assert finished(acme, run_id).state == "TIMED_OUT"


def test_permissions_and_foreign_runs(acme: Tenant, globex: Tenant) -> None:
    run_id = waiting(acme)
    viewer = Actor.member(tenant_id=acme.id, user_id=uuid.uuid4(), role=Role.VIEWER, name="Vera")
    for verb in (pause_run, resume_run):
        with scope.tenant(globex.id), pytest.raises(NotFound):
            verb(actor=globex.owner, run_id=run_id)
        with scope.tenant(acme.id), pytest.raises(Forbidden):
            verb(actor=viewer, run_id=run_id)
    with scope.tenant(globex.id), pytest.raises(NotFound):
        signal_run(actor=globex.owner, run_id=run_id, name="go")
    with scope.tenant(acme.id), pytest.raises(Forbidden):
        signal_run(actor=viewer, run_id=run_id, name="go")
