"""A worker that was told of a run sleeps at the lock of who writes it."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString

import psycopg
import pytest
from django.db import connection

from apps.executions.actions import start_run
from apps.executions.models import Run
from apps.executions.store import statements
from apps.executions.store.connections import Connections
from apps.tenancy import scope
from apps.tenancy.models import EnvironmentKind
from apps.tenancy.scope import Scope, enter
from tests import database
from tests.executions.rest_calls import deployed
from tests.factories import tenancy as make

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_nodes")]
COMING = "SELECT pg_advisory_lock(engine_coming_7(%s, %s))"
STANDS = (
    "SELECT FROM pg_locks WHERE relation = 'work_item'::regclass AND mode = 'RowExclusiveLock'"
    " AND NOT granted"
)
EXCLUSIVE = (
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory'"
    " AND mode = 'ExclusiveLock' AND granted AND objsubid = 1"
)


def _begin(acme: make.Tenant, workflow_id: uuid.UUID) -> Run:
    try:
        with enter(Scope(tenant_id=acme.id, actor=acme.owner)):
            return start_run(
                actor=acme.owner, workflow_id=workflow_id, environment=EnvironmentKind.PRODUCTION
            )
    finally:
        connection.close()


def _locks() -> set[int]:
    return {row[0] for row in _asked(EXCLUSIVE)}


def _asked(question: LiteralString) -> list[Any]:
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        return owner.execute(question).fetchall()


def test_a_start_holds_the_lock_of_its_run_until_it_is_there(acme: make.Tenant) -> None:
    workflow_id = deployed(acme)
    _begin(acme, workflow_id)
    with ThreadPoolExecutor(1) as threads:
        with scope.tenant(acme.id, actor=acme.owner):
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE work_item IN SHARE MODE")
            before = _locks()
            starting = threads.submit(_begin, acme, workflow_id)
            while not _asked(STANDS) and not starting.done():
                time.sleep(0.01)
            held = _locks() - before
        run = starting.result()
    with scope.tenant(acme.id, actor=acme.owner), connection.cursor() as cursor:
        cursor.execute("SELECT engine_coming_7(%s, 2)", [run.pk])
        assert cursor.fetchone()[0] in held
    assert _locks() == before


@pytest.mark.parametrize("part", [1, 2])
def test_who_waits_in_vain_claims_what_is_there(acme: make.Tenant, part: int) -> None:
    run = _begin(acme, deployed(acme))
    connections = Connections(database.url("engine"))
    try:
        engine = connections.get()
        worker = uuid.uuid4()
        with psycopg.connect(database.url("engine"), autocommit=True) as writer:
            coming = uuid.uuid4()
            writer.execute(COMING, [coming, part])
            (claim,) = statements.claim(
                engine, worker_id=worker, pool="io", want=5, charges={}, expected=coming
            )
        assert claim.run_id == run.pk
        # Nothing of the waiting has stayed.
        assert engine.execute("SHOW lock_timeout").fetchone() == ("5s",)
        advisory = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        assert engine.execute(advisory).fetchone() == (0,)
    finally:
        connections.close_all()
