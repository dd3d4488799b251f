"""Appends of every size: the same rows, one fence, and states only the table knows."""

from __future__ import annotations

import json
import uuid
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction

from apps.executions.engine.codec import Row
from apps.executions.engine.slice_ports import Batch, Change, Claim
from apps.executions.models import Run, RunEvent
from apps.executions.store import appends, statements
from apps.executions.store.connections import Connection, Connections
from apps.tenancy import scope
from tests import database
from tests.executions.world import POOL, start
from tests.factories.graphs import chain
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = (
    Row(type="step.started", path="n0", attempt=1, body='{"startedAt":1}'),
    Row(
        type="step.completed",
        path="n0",
        attempt=1,
        body='{"startedAt":1,"outputs":{"ü":"{,}\\"\\\\"}}',
    ),
    Row(type="step.started", path="n1", attempt=1, body='{"startedAt":2}'),
)
SETTLED = (0, 0, 1, 1)


@pytest.fixture
def engine() -> Any:
    held = Connections(database.url("engine"))
    yield held.get()
    held.close_all()


@pytest.fixture
def claim(acme: Tenant, engine: Connection) -> Claim:
    start(acme, chain(2))
    worker_id = uuid.uuid4()
    statements.register(
        engine, worker_id=worker_id, host="here", pid=1, pools=[POOL], slots=1, lease_seconds=30
    )
    (claim,) = statements.claim(engine, worker_id=worker_id, pool=POOL, want=1, charges={})
    return claim


def batch(rows: tuple[Row, ...], *, head: int = 1) -> Batch:
    return Batch(head=head, rows=rows, settled=SETTLED[len(rows)], change=Change())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_size_writes_the_same_rows(
    acme: Tenant, engine: Connection, claim: Claim, count: int
) -> None:
    assert appends.append(engine, claim, batch(ROWS[:count]))
    with scope.tenant(acme.id):
        run = Run.objects.get(pk=claim.run_id)
        found = list(
            RunEvent.objects.filter(run_id=run.pk, seq__gt=1)
            .order_by("seq")
            .values_list("seq", "type", "path", "attempt", "body")
        )
    assert (run.head, run.settled) == (1 + count, SETTLED[count])
    assert found == [
        (2 + at, row.type, row.path, row.attempt, json.loads(row.body or ""))
        for at, row in enumerate(ROWS[:count])
    ]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_neither_another_head_nor_another_fence_writes(
    acme: Tenant, engine: Connection, claim: Claim, count: int
) -> None:
    assert not appends.append(engine, claim, batch(ROWS[:count], head=2))
    engine.execute("SELECT engine_give_up_1(%s, %s, false)", (claim.item_id, claim.token))
    worker_id = uuid.uuid4()
    statements.register(
        engine, worker_id=worker_id, host="here", pid=1, pools=[POOL], slots=1, lease_seconds=30
    )
    (other,) = statements.claim(engine, worker_id=worker_id, pool=POOL, want=1, charges={})
    assert not appends.append(engine, claim, batch(ROWS[:count]))
    assert appends.append(engine, other, batch(ROWS[:count]))


def test_a_run_takes_no_state_that_does_not_exist(acme: Tenant) -> None:
    run_id = start(acme, chain(2))
    with scope.tenant(acme.id), connection.cursor() as cursor:
        with pytest.raises(IntegrityError, match="run: QUEUED to ASLEEP"), transaction.atomic():
            cursor.execute("UPDATE run SET state = 'ASLEEP' WHERE id = %s", [run_id])
        cursor.execute("UPDATE run SET state = 'RUNNING' WHERE id = %s", [run_id])
        transaction.set_rollback(True)


def test_another_tenants_run_is_out_of_reach(engine: Connection, claim: Claim) -> None:
    given = [uuid.uuid4(), claim.run_id, claim.token, 1, 0, "step.started"]
    row = engine.execute(
        "SELECT engine_append_few_3(%s, %s, %s, %s, %s, %s, NULL, NULL, NULL, NULL, NULL, NULL,"
        " NULL)",
        given,
    ).fetchone()
    assert row == (False,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        engine.execute("INSERT INTO run_event (tenant_id, run_id, seq, type) VALUES"
                       " (%s, %s, 9, 'x')", given[:2])  # fmt: skip
