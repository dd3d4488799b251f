"""What goes into quarantine, and that all of it comes out again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection

from apps.executions.engine.slice_ports import Batch, Change, Left
from apps.executions.models import WorkItem
from apps.executions.store import appends, statements
from apps.executions.store.connections import Connection
from apps.executions.verify import verify_tenant
from apps.kit.ids import uuid7
from apps.tenancy import scope
from tests.executions.test_queueing import LEASE, ONE, claim, die, engine, leave, register
from tests.executions.world import start
from tests.factories.tenancy import Tenant

__all__ = ["engine"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_mail_for_a_run_that_parks_in_quarantine_is_read_outside(
    acme: Tenant, engine: Connection
) -> None:
    run_id = start(acme, ONE)
    victim, guard = register(engine, "io"), register(engine, "quarantine")
    assert claim(engine, victim, "io") == [run_id]
    die(engine, victim)
    assert statements.reap(engine, lease_seconds=LEASE) == {"quarantine"}
    (held,) = statements.claim(engine, worker_id=guard, pool="quarantine", want=1, charges={})
    assert claim(engine, guard, "quarantine") == [], "the lane has nothing more"
    with scope.tenant(acme.id), connection.cursor() as cursor:
        word: list[Any] = [acme.id, run_id, uuid7(), "cancel", json.dumps({})]
        cursor.execute("SELECT executions_tell_1(%s, %s, %s, %s, %s::jsonb)", word)
    parked = Batch(head=held.head, rows=(), settled=0, change=Change(left=Left.PARKED))
    assert appends.append(engine, held, parked)
    assert verify_tenant(acme.id) == []
    other = register(engine, "io")
    assert claim(engine, other, "io") == [run_id]
    leave(engine, other)


def test_each_comes_back_to_its_own_pool(acme: Tenant, engine: Connection) -> None:
    run_id = start(acme, ONE)
    with scope.tenant(acme.id), connection.cursor() as cursor:
        tasks = [{"path": p, "attempt": 1, "pool": p, "slots": 1} for p in ("cpu", "gpu-a100")]
        given: list[Any] = [acme.id, run_id, json.dumps(tasks)]
        cursor.execute("SELECT engine_dispatch_2(%s, %s, %s::jsonb)", given)
    victim, guard = register(engine, "io", "cpu", "gpu-a100"), register(engine, "quarantine")
    for pool in ("cpu", "gpu-a100"):
        assert claim(engine, victim, pool) == [run_id]
    die(engine, victim)
    assert statements.reap(engine, lease_seconds=LEASE) == {"quarantine", "gpu-a100"}
    assert pools(acme) == {"only": "io"} | {"cpu": "quarantine", "gpu-a100": "gpu-a100"}
    leave(engine, guard)
    assert "cpu" in statements.reap(engine, lease_seconds=LEASE)
    assert pools(acme) == {"only": "io", "cpu": "cpu", "gpu-a100": "gpu-a100"}


def pools(tenant: Tenant) -> dict[str, str]:
    """Where each task is, by its path, and the run."""
    with scope.tenant(tenant.id):
        rows = WorkItem.objects.values_list("path", "pool")
        return {path or "only": pool for path, pool in rows}
