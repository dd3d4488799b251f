"""What a statement reads of a tenant's runs: those it is about, however many there are."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from apps.executions import relay
from apps.executions.engine.codec import encode
from apps.executions.engine.history import CancelReason, RunCanceling, RunEnded, RunStarted
from apps.executions.engine.slice_ports import Batch, Change, Claim, Left
from apps.executions.engine.state import RunStatus
from apps.executions.models import Run
from apps.executions.store import appends, statements
from apps.executions.store.connections import Connection, Connections
from apps.executions.store.statements import Posted
from apps.kit.ids import uuid7
from apps.tenancy import scope
from tests import database
from tests.database import as_engine
from tests.executions.test_live import _due as due
from tests.executions.world import POOL, start
from tests.factories.graphs import chain
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

RUNS = 60
FEW = 2
READS_EACH = 10
ENDING = (
    encode(RunStarted()),
    encode(RunCanceling(reason=CancelReason.REQUESTED, by="a test")),
    encode(RunEnded(status=RunStatus.CANCELED)),
)
_READ = """
SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_xact_user_tables
 WHERE relname LIKE %s
"""


ENDS = 900
_ENDS = """
INSERT INTO outbox (tenant_id, run_id, kind)
SELECT %s, gen_random_uuid(), 'run.started' FROM generate_series(1, %s)
"""
_LANES = (
    "INSERT INTO lane (tenant_id, pool) SELECT gen_random_uuid(), %s FROM generate_series(1, %s)"
)
CHUNKS = 100
OPEN = 98
"""The first that is not done."""
_CHUNKS = f"""
INSERT INTO map_chunk (tenant_id, run_id, path, chunk, attempt, low, high, state, done)
SELECT %s, %s, 'rows', n, 1, 10 * n, 10 * n + 10,
       CASE WHEN n < {OPEN} THEN 'done' ELSE 'open' END, CASE WHEN n < {OPEN} THEN 10 ELSE 0 END
  FROM generate_series(0, {CHUNKS - 1}) AS n
"""
_ITEMS = """
INSERT INTO map_item (tenant_id, run_id, path, idx, attempt, state, child)
SELECT %s, %s, 'rows', n, 1, CASE WHEN n < 10 * %s THEN 'done' ELSE 'begun' END, gen_random_uuid()
  FROM generate_series(0, %s - 1) AS n
"""


ENDED = 2_000
_ENDED = """
INSERT INTO run (tenant_id, id, workflow_id, version_id, environment_id, environment, lineage_id,
                 trigger, pool, slots, state, error, finished_at)
SELECT r.tenant_id, gen_random_uuid(), r.workflow_id, r.version_id, r.environment_id, r.environment,
       r.lineage_id, r.trigger, r.pool, r.slots, %s, %s::jsonb, clock_timestamp()
  FROM run r, generate_series(1, %s) WHERE r.id = %s
"""


@pytest.fixture
def engine() -> Iterator[Connection]:
    held = Connections(database.url("engine"))
    yield held.get()
    held.close_all()


def claimed(engine: Connection, *, want: int) -> list[Claim]:
    worker_id = uuid.uuid4()
    statements.register(
        engine, worker_id=worker_id, host="here", pid=1, pools=[POOL], slots=9, lease_seconds=30
    )
    return statements.claim(engine, worker_id=worker_id, pool=POOL, want=want, charges={})


def read(engine: Connection, table: str = "run") -> int:
    """Rows of the table that the transaction has read."""
    row = engine.execute(_READ, [table]).fetchone()
    assert row is not None
    return int(row[0])


def test_a_claim_reads_the_runs_it_takes(acme: Tenant, engine: Connection) -> None:
    for _ in range(RUNS):
        start(acme, chain(1))
    with engine.transaction():
        assert len(claimed(engine, want=FEW)) == FEW
        assert read(engine) <= FEW * READS_EACH


def test_a_batch_reads_the_runs_it_writes(acme: Tenant, engine: Connection) -> None:
    for _ in range(RUNS):
        start(acme, chain(1))
    posts = [
        Posted(
            claim=claim,
            batch=Batch(
                head=1,
                rows=ENDING,
                settled=0,
                change=Change(status=RunStatus.CANCELED, left=Left.FINISHED),
            ),
        )
        for claim in claimed(engine, want=FEW)
    ]
    with engine.transaction():
        assert len(appends.append_batch(engine, acme.id, posts)) == FEW
        assert read(engine) <= FEW * READS_EACH
    left = engine.execute("SELECT count(*) FROM work_item").fetchone()
    told = engine.execute("SELECT count(*) FROM outbox").fetchone()
    assert (left, told) == ((RUNS - FEW,), (FEW,))


def test_the_relay_reads_what_it_announces(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "AT_ONCE", FEW)
    monkeypatch.setattr(relay, "TURN_SECONDS", 60)
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute(_ENDS, [acme.id, ENDS])
    with as_engine():
        with transaction.atomic(), connection.cursor() as cursor:
            assert len(due(FEW)) == FEW
            cursor.execute(_READ, ["outbox"])
            assert cursor.fetchone()[0] <= FEW * READS_EACH
        assert relay.relay_due() == ENDS, "as many as there are, not as many as it reads at once"


def test_a_chunk_of_runs_reads_what_is_open(acme: Tenant, engine: Connection) -> None:
    run_id = uuid7()
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute(_CHUNKS, [acme.id, run_id])
        cursor.execute(_ITEMS, [acme.id, run_id, OPEN, CHUNKS * 10])
    with engine.transaction():
        engine.execute("SELECT set_config('app.tenant', %s, true)", [str(acme.id)])
        row = engine.execute(
            "SELECT engine_map_room_6(%s, %s, 'rows', 32)", [acme.id, run_id]
        ).fetchone()
        assert row == (32 - 10 * (CHUNKS - OPEN),)
        assert read(engine, "map_item%") <= 10 * (CHUNKS - OPEN) * 2


def test_a_payment_reads_the_lanes_it_is_for(acme: Tenant, engine: Connection) -> None:
    for _ in range(FEW):
        start(acme, chain(1))
    engine.execute(_LANES, [POOL, ENDS])
    with engine.transaction():
        # A claim that wants nothing only pays.
        engine.execute(
            "SELECT * FROM engine_claim_7(%s, %s, 0, %s::uuid[], '{5}')",
            [uuid.uuid4(), POOL, [acme.id]],
        )
        assert read(engine, "lane") <= READS_EACH
    paid = engine.execute("SELECT count(*) FROM lane WHERE vtime > 0").fetchone()
    assert paid == (1,)


def test_a_list_of_what_failed_walks_through_nothing_else(acme: Tenant) -> None:
    run_id = start(acme, chain(1))
    with scope.tenant(acme.id), connection.cursor() as cursor:
        for many, state, error in ((ENDED, "SUCCEEDED", None), (FEW, "FAILED", "{}")):
            cursor.execute(_ENDED, [state, error, many, run_id])
        cursor.execute("ANALYZE run")
        found = Run.objects.whole().newest().in_state([RunStatus.FAILED, RunStatus.TIMED_OUT])
        before = _read_so_far(cursor)
        assert len(found.summary()[:20]) == FEW
        assert _read_so_far(cursor) - before <= FEW * READS_EACH
        transaction.set_rollback(True)


def _read_so_far(cursor: Any) -> int:
    cursor.execute(_READ, ["run"])
    return int(cursor.fetchone()[0])
