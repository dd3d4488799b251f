"""What goes wrong around a run: lost fences, lost replies, races, cancellation, a dead doorbell."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connection

from apps.executions.actions import cancel_run
from apps.executions.engine.fold import fold
from apps.executions.engine.history import RunStarted, encode
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
from apps.executions.engine.slice_ports import Batch, Change, Claim, LeaseLost
from apps.executions.engine.state import RunStatus
from apps.executions.models import NodeState
from apps.executions.store import resilient, statements
from apps.executions.store.connections import Connections
from apps.executions.worker.lease import Lease
from apps.tenancy import scope
from config import logs
from tests import database
from tests.executions.world import (
    POOL,
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


class Trusting:
    """A lease that never ends."""

    def is_lost(self) -> bool:
        return False


@pytest.fixture
def connections() -> Any:
    held = Connections(database.url("engine"))
    yield held
    held.close_all()


def claim_one(connections: Connections, *, worker_id: uuid.UUID | None = None) -> Claim:
    """Lease the one ready run as a worker that exists."""
    worker_id = worker_id or uuid.uuid4()
    statements.register(
        connections.get(),
        worker_id=worker_id,
        host="here",
        pid=1,
        pools=[POOL],
        slots=1,
        lease_seconds=30,
    )
    (claim,) = statements.claim(
        connections.get(), worker_id=worker_id, pool=POOL, want=5, charges={}
    )
    return claim


def opening(claim: Claim) -> Batch:
    """The first append of a run."""
    change = Change(status=RunStatus.RUNNING, started=True)
    return Batch(head=claim.head, rows=(encode(RunStarted()),), settled=0, change=change)


def test_an_owner_that_was_replaced_writes_nothing(acme: Tenant, connections: Connections) -> None:
    run_id = start(acme, chain(2))
    old = claim_one(connections)
    statements.release(connections.get(), worker_id=_holder(run_id), items=None)
    new = claim_one(connections)
    assert new.token != old.token
    with pytest.raises(LeaseLost):
        resilient.append_surely(connections, Trusting(), old, opening(old))
    assert types(acme, run_id) == ["run.queued"]
    resilient.append_surely(connections, Trusting(), new, opening(new))
    assert types(acme, run_id) == ["run.queued", "run.started"]
    statements.release(connections.get(), worker_id=_holder(run_id), items=None)


def _holder(run_id: uuid.UUID) -> uuid.UUID:
    with psycopg.connect(database.url("engine"), autocommit=True) as direct:
        row = direct.execute(
            "SELECT worker_id FROM work_item WHERE run_id = %s", (run_id,)
        ).fetchone()
    assert row is not None
    return uuid.UUID(str(row[0]))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_lost_reply_neither_doubles_nor_loses_the_append(
    acme: Tenant, connections: Connections, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    run_id = start(acme, chain(2))
    claim = claim_one(connections)
    real, calls = statements.append, []

    def append(connection: Any, claim: Claim, batch: Batch) -> bool:
        calls.append(moment)
        if len(calls) == 1:
            if moment == "after":
                real(connection, claim, batch)
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return real(connection, claim, batch)

    monkeypatch.setattr(statements, "append", append)
    resilient.append_surely(connections, Trusting(), claim, opening(claim))
    assert types(acme, run_id) == ["run.queued", "run.started"]
    assert len(calls) == {"before": 2, "after": 1}[moment]
    statements.release(connections.get(), worker_id=_holder(run_id), items=None)


def test_a_lost_reply_of_a_fenced_owner_is_a_lost_lease(
    acme: Tenant, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = start(acme, chain(2))
    old = claim_one(connections)

    def append(connection: Any, claim: Claim, batch: Batch) -> bool:
        statements.release(connections.get(), worker_id=_holder(run_id), items=None)
        claim_one(connections)
        raise psycopg.OperationalError("reset by peer")

    monkeypatch.setattr(statements, "append", append)
    with pytest.raises(LeaseLost):
        resilient.append_surely(connections, Trusting(), old, opening(old))
    assert types(acme, run_id) == ["run.queued"]
    statements.release(connections.get(), worker_id=_holder(run_id), items=None)


def test_an_append_gives_up_when_the_lease_cannot_be_trusted(
    acme: Tenant, connections: Connections
) -> None:
    run_id = start(acme, chain(2))
    claim = claim_one(connections)
    with pytest.raises(LeaseLost):
        resilient.append_surely(connections, Lease(trust_seconds=0), claim, opening(claim))
    assert types(acme, run_id) == ["run.queued"]
    statements.release(connections.get(), worker_id=_holder(run_id), items=None)


def test_a_dead_incarnation_never_beats_again(acme: Tenant, connections: Connections) -> None:
    worker_id = uuid.uuid4()
    start(acme, chain(1))
    claim_one(connections, worker_id=worker_id)
    direct = connections.get()
    assert statements.beat(direct, worker_id=worker_id, lease_seconds=30) is not None
    direct.execute("SELECT engine_worker_died_1(%s)", (worker_id,))
    assert statements.beat(direct, worker_id=worker_id, lease_seconds=30) is None
    assert statements.reap(direct, lease_seconds=30) == {POOL}
    again = claim_one(connections)
    assert again.crashes == 1
    statements.release(direct, worker_id=_holder(again.run_id), items=None)


def test_two_loops_share_the_runs_and_run_each_once(acme: Tenant, globex: Tenant) -> None:
    runs = [(t, start(t, chain(5, k))) for t in (acme, globex) for k in ("pure", "keyed") * 10]
    one, two = ScriptedRunner(), ScriptedRunner()
    with worker(one) as first, worker(two) as second:
        first.ring()
        second.ring()
        for tenant, run_id in runs:
            assert finished(tenant, run_id, seconds=60).state == "SUCCEEDED"
    assert len(one.calls) + len(two.calls) == 5 * len(runs)


def test_a_tenants_slots_are_a_ceiling(acme: Tenant, connections: Connections) -> None:
    for _ in range(6):
        start(acme, chain(1))
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute("UPDATE lane SET max_inflight = 2")
    busy: list[int] = []
    peaks: list[int] = []
    lock = threading.Lock()

    def count(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        with lock:
            busy.append(1)
            peaks.append(len(busy))
        time.sleep(0.05)
        with lock:
            busy.pop()
        return StepDone(outputs={})

    with worker(ScriptedRunner(count)) as loop:
        loop.ring()
        with scope.tenant(acme.id), connection.cursor() as cursor:
            cursor.execute("SELECT id FROM run")
            runs = [row[0] for row in cursor.fetchall()]
        for run_id in runs:
            finished(acme, run_id, seconds=60)
    assert max(peaks) <= 2


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
    monkeypatch.setattr(logging.getLogger("apps.executions.worker.turn"), "handlers", [handler])

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


def test_a_claim_whose_reply_was_lost_is_found(acme: Tenant, connections: Connections) -> None:
    with worker() as loop:
        run_id = start(acme, chain(2))
        worker_id = loop.settings.worker_id
        lost = statements.claim(
            connections.get(), worker_id=worker_id, pool=POOL, want=1, charges={}
        )
        assert [claim.run_id for claim in lost] in ([run_id], [])
        assert finished(acme, run_id).state == "SUCCEEDED"


def test_a_cancellation_and_a_claim_do_not_wait_for_each_other(
    acme: Tenant, connections: Connections
) -> None:
    run_id = start(acme, chain(2))
    with psycopg.connect(database.url("engine")) as teller:
        teller.execute(
            "SELECT executions_tell_1(%s, %s, %s, 'cancel', NULL)", (acme.id, run_id, uuid.uuid4())
        )
        claimed = statements.claim(
            connections.get(), worker_id=uuid.uuid4(), pool=POOL, want=1, charges={}
        )
        assert claimed == []
    with worker() as loop:
        loop.ring()
        assert finished(acme, run_id).state == "CANCELED"
