"""What a statement reads of a tenant's runs: those it is about, however many there are."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from apps.executions.engine.codec import encode
from apps.executions.engine.history import CancelReason, RunCanceling, RunEnded, RunStarted
from apps.executions.engine.slice_ports import Batch, Change, Claim, Left
from apps.executions.engine.state import RunStatus
from apps.executions.store import appends, statements
from apps.executions.store.connections import Connection, Connections
from apps.executions.store.statements import Posted
from tests import database
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
SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'run'
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


def read(engine: Connection) -> int:
    """Rows of `run` that the transaction has read."""
    row = engine.execute(_READ).fetchone()
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
