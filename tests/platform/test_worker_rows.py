"""What the supervisor says of a dead worker: its lease ends, its work is free, a bell rings."""

from __future__ import annotations

import uuid
from typing import Any

import dramatiq
import pytest
import redis
from django.conf import settings

from apps.executions.models import WorkItem
from apps.executions.store import statements
from apps.executions.store.connections import Connections
from apps.tenancy import scope
from config.env import BELLS
from config.supervisor import worker_rows
from tests import database
from tests.executions.world import POOL, start
from tests.factories.graphs import a, raw
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_a_dead_worker_held_is_free_at_once(acme: Tenant) -> None:
    start(acme, raw([a("only")]))
    connections, dead, alive = Connections(database.url("engine")), uuid.uuid4(), uuid.uuid4()
    said: list[str] = []
    try:
        for worker_id, slots in ((dead, 1), (alive, 1)):
            statements.register(
                connections.get(),
                worker_id=worker_id,
                host="here",
                pid=1,
                pools=[POOL],
                slots=slots,
                lease_seconds=60.0,
                labels=(),
            )
        claimed = statements.claim(connections.get(), worker_id=dead, pool=POOL, want=1, charges={})
        assert len(claimed) == 1
        assert worker_rows.expire(database.url("engine"), alive, report=said.append) == set()
        assert worker_rows.expire(database.url("engine"), dead, report=said.append) == {POOL}
        with scope.tenant(acme.id):
            item = WorkItem.objects.get()
        assert (item.worker_id, item.crashes) == (None, 1)
        assert said == []
    finally:
        statements.leave(connections.get(), worker_id=dead)
        connections.close_all()


def test_a_database_that_is_gone_is_said_and_nothing_fails() -> None:
    said: list[str] = []
    nowhere = "postgresql://nobody@127.0.0.1:9/none"
    assert worker_rows.expire(nowhere, uuid.uuid4(), report=said.append) == set()
    assert len(said) == 1


def test_the_bell_that_rings_is_the_one_the_broker_hears() -> None:
    broker: Any = dramatiq.get_broker()
    assert broker.bell_of("x") == f"{BELLS}x"
    worker_rows.ring(settings.REDIS_BROKER_URL, ["gone"])
    heard = redis.Redis.from_url(settings.REDIS_BROKER_URL)
    assert heard.blpop([broker.bell_of("gone")], 2) is not None
    worker_rows.ring("redis://127.0.0.1:9/0", ["gone"])
