"""What the database's absence, and replies that are lost, must not be taken for."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from apps.executions import crashpoints
from apps.executions.engine.codec import Row, encode
from apps.executions.engine.history import RunStarted
from apps.executions.engine.slice_ports import Batch, Change, Claim
from apps.executions.engine.state import RunStatus
from apps.executions.store import statements
from apps.executions.store.connections import Connections
from apps.executions.store.statements import Posted
from apps.executions.store.writer import Writer
from apps.executions.worker.lease import Lease
from tests import database
from tests.executions.world import POOL, VERSIONS, finished, start, types, worker
from tests.factories.graphs import chain
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held() -> Iterator[Connections]:
    connections = Connections(database.url("engine"))
    yield connections
    connections.close_all()


@pytest.fixture
def incarnation(held: Connections) -> uuid.UUID:
    made = uuid.uuid4()
    statements.register(
        held.get(), worker_id=made, host="here", pid=1, pools=[POOL], slots=9, lease_seconds=60
    )
    return made


@pytest.fixture
def writer(held: Connections) -> Iterator[Writer]:
    lease = Lease(trust_seconds=60)
    lease.renewed(sent_at=time.monotonic(), database_time=lease.now())
    writer = Writer(held, lease)
    yield writer
    writer.close()


def claimed(held: Connections, worker_id: uuid.UUID) -> list[Claim]:
    return statements.claim(held.get(), worker_id=worker_id, pool=POOL, want=9, charges={})


class Post:
    """One batch on its way, and what the writer said of it."""

    def __init__(self, writer: Writer, claim: Claim) -> None:
        self.said: list[bool] = []
        self.told = threading.Event()
        rows: tuple[Row, ...] = (encode(RunStarted()),)
        change = Change(status=RunStatus.RUNNING)
        batch = Batch(head=claim.head, rows=rows, settled=0, change=change)
        writer.post(Posted(claim=claim, batch=batch), self._hear)

    def _hear(self, held: bool) -> None:
        self.said.append(held)
        self.told.set()

    def held(self) -> bool:
        assert self.told.wait(20)
        (said,) = self.said
        return said


def test_two_owners_of_a_run_never_write_as_one(
    acme: Tenant, held: Connections, incarnation: uuid.UUID, writer: Writer
) -> None:
    busy_id, run_id = start(acme, chain(1)), start(acme, chain(1))
    claims = {one.run_id: one for one in claimed(held, incarnation)}
    with psycopg.connect(database.url("engine")) as other:
        # The writer waits for this row, and batches gather behind it.
        other.execute("SELECT set_config('app.tenant', %s, true)", [str(acme.id)])
        other.execute("SELECT FROM run WHERE id = %s FOR UPDATE", [busy_id])
        Post(writer, claims[busy_id])
        while not held.get().execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
            pass
        before = Post(writer, claims[run_id])
        statements.give_up(
            held.get(), item_id=claims[run_id].item_id, token=claims[run_id].token, broken=True
        )
        (again,) = claimed(held, incarnation)
        assert again.head == claims[run_id].head
        after = Post(writer, again)
        other.rollback()
    assert (before.held(), after.held()) == (False, True)
    assert types(acme, run_id) == ["run.queued", "run.started"]


def test_a_lost_reply_of_the_writer_loses_no_run(acme: Tenant) -> None:
    run_id = start(acme, chain(3))
    lost: list[str] = []

    def lose(name: str) -> None:
        if name == "batch.committed" and not lost:
            lost.append(name)
            raise psycopg.OperationalError("as if the line had been cut after COMMIT")

    dropped: list[Any] = []
    crashpoints.arm(lambda name: dropped.append(name) if name == "turn.dropped" else lose(name))
    try:
        with worker() as loop:
            loop.ring()
            assert finished(acme, run_id).state == "SUCCEEDED"
    finally:
        crashpoints.arm(None)
    assert lost
    assert not dropped, "the run was its owner's all the time"


def test_a_run_does_not_die_of_a_database_that_does_not_answer(acme: Tenant) -> None:
    run_id = start(acme, chain(1))
    asked: list[Claim] = []

    def absent(claim: Claim) -> Any:
        asked.append(claim)
        if len(asked) <= 4:
            raise psycopg.OperationalError("sorry, too many clients already")
        return VERSIONS(claim)

    with worker(documents=absent) as loop:
        loop.ring()
        run = finished(acme, run_id)
    assert (run.state, run.error) == ("SUCCEEDED", None)
    assert len({claim.token for claim in asked}) == 1
