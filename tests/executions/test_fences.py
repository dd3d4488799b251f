"""Who may write a run: fences, lost replies, leases in doubt, claims nobody heard of."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import psycopg
import pytest
from django.db import connection

from apps.executions.engine.codec import encode
from apps.executions.engine.history import RunStarted
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepOutcome,
    StopSignal,
)
from apps.executions.engine.slice_ports import Batch, Change, Claim, LeaseLost
from apps.executions.engine.state import RunStatus
from apps.executions.store import appends, resilient, statements
from apps.executions.store.connections import Connections
from apps.executions.worker.lease import Lease
from apps.tenancy import scope
from tests import database
from tests.executions.world import (
    POOL,
    ScriptedRunner,
    finished,
    start,
    types,
    worker,
)
from tests.factories.graphs import chain
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
    change = Change(status=RunStatus.RUNNING)
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
    real, calls = appends.append, []

    def append(connection: Any, claim: Claim, batch: Batch) -> bool:
        calls.append(moment)
        if len(calls) == 1:
            if moment == "after":
                real(connection, claim, batch)
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return real(connection, claim, batch)

    monkeypatch.setattr(appends, "append", append)
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

    monkeypatch.setattr(appends, "append", append)
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


@pytest.mark.parametrize("ceiling", ["max_inflight", "max_runs"])
def test_what_a_tenant_may_use_at_once_is_a_ceiling(acme: Tenant, ceiling: str) -> None:
    for _ in range(6):
        start(acme, chain(1))
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute(f"UPDATE lane SET {ceiling} = 2")
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
