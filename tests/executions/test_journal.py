"""What a run's owner is told by its journal: each word once, until its end is durable."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from apps.executions.actions import signal_run
from apps.executions.engine.slice_ports import Batch, Change, Claim
from apps.executions.models import InboxMessage
from apps.executions.store import statements
from apps.executions.store.connections import Connections
from apps.executions.store.convoy import Convoy
from apps.executions.store.journal import RunJournal
from apps.tenancy import scope
from tests import database
from tests.executions.world import POOL, start
from tests.factories.graphs import chain
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


class Held:
    """A lease that lasts."""

    def is_lost(self) -> bool:
        return False

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)


@pytest.fixture
def journal(acme: Tenant) -> Iterator[RunJournal]:
    held: Any = Held()
    unused: Any = None
    connections = Connections(database.url("engine"))
    yield RunJournal(
        claimed(acme, connections),
        convoy=Convoy(connections),
        writer=unused,
        patience=held,
        tell=lambda head, is_over: None,
        ring=lambda pools: None,
        asked=lambda: None,
    )
    connections.close_all()


def claimed(tenant: Tenant, connections: Connections) -> Claim:
    start(tenant, chain(2))
    engine, worker_id = connections.get(), uuid.uuid4()
    statements.register(
        engine, worker_id=worker_id, host="here", pid=1, pools=[POOL], slots=1, lease_seconds=30
    )
    (claim,) = statements.claim(engine, worker_id=worker_id, pool=POOL, want=1, charges={})
    return claim


def sent(tenant: Tenant, journal: RunJournal, name: str) -> None:
    with scope.tenant(tenant.id, actor=tenant.owner):
        signal_run(actor=tenant.owner, run_id=journal._claim.run_id, name=name)


def test_a_word_is_said_once_and_stays_until_its_end_is_durable(
    acme: Tenant, journal: RunJournal
) -> None:
    sent(acme, journal, "first")
    first = journal.inbox()
    assert [one.name for one in first.signals] == ["first"]
    sent(acme, journal, "second")
    second = journal.inbox()
    assert [one.name for one in second.signals] == ["second"]
    assert set(first.ids) < set(second.ids), "the next append consumes both"
    assert journal.inbox().signals == ()
    journal.append(Batch(head=1, rows=(), settled=0, change=Change(consumed=second.ids)))
    assert journal.inbox().ids == ()
    with scope.tenant(acme.id):
        assert not InboxMessage.objects.exists()
