"""Small proofs of the engine's rules on the real database, each for one mutant to fail."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import psycopg

from apps.executions import relay
from apps.executions.engine.codec import Row, encode
from apps.executions.engine.history import RunStarted, StepDispatched
from apps.executions.engine.slice_ports import Batch, Change, Claim, Left
from apps.executions.engine.state import RunStatus
from apps.executions.engine.task import Task
from apps.executions.store import appends, statements
from apps.executions.store.connections import Connection, Connections
from apps.executions.verify import verify_tenant
from apps.kit.ids import uuid7
from tests import database
from tests.chaos.matrix import begin
from tests.chaos.mutants import Mutant
from tests.factories.tenancy import Tenant

LEASE = 30.0
WAIT_SECONDS = 30.0
"""The outbox waits for the oldest transaction of the server; a neighbor's may be long."""
Check = Callable[[Tenant, Connection], Iterator[str]]


class Office:
    """A worker without threads: it claims when told, in a pool of its own."""

    def __init__(self, tenant: Tenant, connection: Connection) -> None:
        self.tenant = tenant
        self.connection = connection
        self.pool = f"check-{uuid.uuid4().hex[:8]}"
        self.run_id = begin(tenant, uuid7(), pool=self.pool)

    def worker(self) -> uuid.UUID:
        """One more incarnation."""
        worker_id = uuid.uuid4()
        statements.register(
            self.connection,
            worker_id=worker_id,
            host="here",
            pid=1,
            pools=[self.pool],
            slots=1,
            lease_seconds=LEASE,
        )
        return worker_id

    def claims(self, worker_id: uuid.UUID, connection: Connection | None = None) -> list[Claim]:
        """What the pool has for the worker."""
        return statements.claim(
            connection or self.connection, worker_id=worker_id, pool=self.pool, want=5, charges={}
        )

    def die(self, worker_id: uuid.UUID) -> None:
        """As the supervisor says it; the reaper of any process hears it."""
        self.connection.execute("SELECT engine_worker_died_1(%s)", (worker_id,))
        statements.reap(self.connection, lease_seconds=LEASE)

    def close(self) -> None:
        """The run ends, so that nobody else finds it."""
        worker_id = self.worker()
        statements.reap(self.connection, lease_seconds=LEASE)
        for claim in self.claims(worker_id):
            change = Change(status=RunStatus.FAILED, left=Left.FINISHED, error={"code": "X"})
            row = Row(type="run.failed", path=None, attempt=None, body=None)
            appends.append(self.connection, claim, batch(claim, row, change=change))


def batch(claim: Claim, *rows: Row, change: Change) -> Batch:
    """An append at the head that the claim saw."""
    return Batch(head=claim.head, rows=rows, settled=0, change=change)


def fence(tenant: Tenant, connection: Connection) -> Iterator[str]:
    """An owner that was replaced writes nothing, although nobody else has written yet."""
    office = Office(tenant, connection)
    first = office.worker()
    (old,) = office.claims(first)
    office.die(first)
    (new,) = office.claims(office.worker())
    change = Change(status=RunStatus.RUNNING)
    for claim, is_owner in ((old, False), (new, True)):
        held = appends.append(connection, claim, batch(claim, encode(RunStarted()), change=change))
        if held is not is_owner:
            yield f"the {'new' if is_owner else 'old'} owner {'wrote' if held else 'was refused'}"


def together(tenant: Tenant, connection: Connection) -> Iterator[str]:
    """Whoever dies after the append that dispatches leaves the task behind."""
    office = Office(tenant, connection)
    (claim,) = office.claims(office.worker())
    dispatched = StepDispatched(path="a", attempt=1, pool=office.pool)
    change = Change(
        status=RunStatus.RUNNING,
        left=Left.PARKED,
        tasks=(Task(path="a", attempt=1, pool=office.pool),),
    )
    rows = encode(RunStarted()), encode(dispatched)
    appends.append(connection, claim, batch(claim, *rows, change=change))
    found = verify_tenant(tenant.id)
    yield from (one.invariant for one in found)
    connection.execute("DELETE FROM work_item WHERE kind = 'task' AND pool = %s", (office.pool,))
    connection.execute(
        "INSERT INTO work_item (tenant_id, run_id, pool) SELECT %s, %s, %s"
        " WHERE NOT EXISTS (SELECT FROM work_item WHERE run_id = %s)",
        (tenant.id, office.run_id, office.pool, office.run_id),
    )
    connection.execute(
        "UPDATE lane SET has_ready = true WHERE tenant_id = %s AND pool = %s",
        (tenant.id, office.pool),
    )
    office.close()


def announced(tenant: Tenant, connection: Connection) -> Iterator[str]:
    """An entry whose transaction was slow is announced, although younger ones came first."""
    entry = "INSERT INTO outbox (tenant_id, run_id, kind) VALUES (%s, %s, 'run.started')"
    slow, quick = uuid7(), uuid7()
    with database.as_engine():
        with psycopg.connect(database.url("engine")) as writer:
            writer.execute(entry, (tenant.id, slow))
            connection.execute(entry, (tenant.id, quick))
            relay.relay_due()
        until = time.monotonic() + WAIT_SECONDS
        while (left := _left(connection, slow, quick)) and time.monotonic() < until:
            relay.relay_due()
            if left == [slow] and time.monotonic() > until - WAIT_SECONDS + 2:
                break  # The quick one has gone: nothing older holds back the outbox.
    if left:
        yield "an entry stays in the outbox for ever"
        connection.execute("DELETE FROM outbox WHERE run_id = ANY (%s)", ([slow, quick],))


def _left(connection: Connection, *runs: uuid.UUID) -> list[uuid.UUID]:
    entries = connection.execute(
        "SELECT run_id FROM outbox WHERE run_id = ANY (%s)", (list(runs),)
    ).fetchall()
    return [row[0] for row in entries]


def unique(tenant: Tenant, connection: Connection) -> Iterator[str]:
    """A claim whose commit the server lost has a token that nobody else ever gets."""
    office = Office(tenant, connection)
    first, second = office.worker(), office.worker()
    with connected() as other, other.transaction(force_rollback=True):
        (lost,) = office.claims(first, other)
    (claim,) = office.claims(second)
    if claim.token == lost.token:
        yield "two owners have one token"
    office.die(second)
    office.close()


def counted(tenant: Tenant, connection: Connection) -> Iterator[str]:
    """A run that kills every worker is known by it."""
    office = Office(tenant, connection)
    for deaths in range(3):
        worker_id = office.worker()
        (claim,) = office.claims(worker_id)
        if claim.crashes != deaths:
            yield f"{deaths} deaths count as {claim.crashes}"
        office.die(worker_id)
    office.close()


def unknown(tenant: Tenant, connection: Connection) -> Iterator[str]:
    """What a worker without a row holds becomes ready."""
    office = Office(tenant, connection)
    worker_id = office.worker()
    (claim,) = office.claims(worker_id)
    connection.execute("DELETE FROM worker WHERE id = %s", (worker_id,))
    statements.reap(connection, lease_seconds=LEASE)
    if not office.claims(office.worker()):
        yield "an item of nobody stays leased for ever"
        statements.give_up(connection, item_id=claim.item_id, token=claim.token, broken=False)


CHECKS: Mapping[Mutant, Check] = {
    Mutant.NO_FENCE: fence,
    Mutant.TASKS_LATER: together,
    Mutant.ID_CURSOR: announced,
    Mutant.COUNTER_TOKEN: unique,
    Mutant.CRASHES_FORGOTTEN: counted,
    Mutant.UNKNOWN_WORKERS_SPARED: unknown,
}


@contextmanager
def connected() -> Iterator[Connection]:
    """As a worker's thread is."""
    held = Connections(database.url("engine"))
    try:
        yield held.get()
    finally:
        held.close_all()
