"""What tenants pay for their places, and when that is not worth a write."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from apps.executions.engine.plan import RUN_POOL
from apps.executions.engine.slice_ports import Claim
from apps.executions.store import statements
from apps.executions.store.connections import Connection, Connections
from apps.executions.worker.places import WORTH_MS, Places
from tests import database
from tests.executions.world import start
from tests.factories.graphs import a, raw
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

ONE = raw([a("only")])


@pytest.fixture
def engine() -> Iterator[Connection]:
    connections = Connections(database.url("engine"))
    yield connections.get()
    connections.close_all()


@pytest.fixture
def hand(engine: Connection) -> Iterator[uuid.UUID]:
    one = uuid.uuid4()
    statements.register(
        engine,
        worker_id=one,
        host="here",
        pid=1,
        pools=[RUN_POOL],
        slots=8,
        lease_seconds=60,
        labels=(),
    )
    yield one
    statements.release(engine, worker_id=one, items=None)
    statements.leave(engine, worker_id=one)


def claim(
    engine: Connection, worker_id: uuid.UUID, charges: Mapping[uuid.UUID, float] | None = None
) -> list[Claim]:
    return statements.claim(
        engine, worker_id=worker_id, pool=RUN_POOL, want=1, charges=charges or {}
    )


def lane(engine: Connection, tenant: Tenant) -> tuple[Any, ...] | None:
    """Which version of its row stands, its turn, and whether it is blocked."""
    return engine.execute(
        "SELECT ctid::text, vtime, blocked_until IS NOT NULL FROM lane WHERE tenant_id = %s",
        [tenant.id],
    ).fetchone()


def test_a_lane_alone_is_not_written(engine: Connection, hand: uuid.UUID, acme: Tenant) -> None:
    for _ in range(2):
        start(acme, ONE)
    before = lane(engine, acme)
    assert len(claim(engine, hand)) == 1
    assert len(claim(engine, hand, {acme.id: 0.0})) == 1
    assert lane(engine, acme) == before


def test_beside_another_each_claim_moves_the_turn(
    engine: Connection, hand: uuid.UUID, acme: Tenant, globex: Tenant
) -> None:
    for tenant in (acme, globex, acme, globex):
        start(tenant, ONE)
    (first,), (second,) = claim(engine, hand), claim(engine, hand)
    assert {first.tenant_id, second.tenant_id} == {acme.id, globex.id}


def test_what_was_used_is_paid_by_a_lane_alone(
    engine: Connection, hand: uuid.UUID, acme: Tenant
) -> None:
    start(acme, ONE)
    _, before, _ = lane(engine, acme) or ()
    claim(engine, hand, {acme.id: 250.0})
    _, after, _ = lane(engine, acme) or ()
    assert after == before + 250.0


def test_a_place_that_is_free_again_opens_the_lane(
    engine: Connection, hand: uuid.UUID, acme: Tenant
) -> None:
    start(acme, ONE)
    engine.execute("UPDATE lane SET blocked_until = clock_timestamp() + interval '1 hour'")
    assert claim(engine, hand) == []
    assert len(claim(engine, hand, {acme.id: 0.0})) == 1


def test_small_debts_are_kept_until_they_are_worth_a_write(
    engine: Connection, hand: uuid.UUID, acme: Tenant
) -> None:
    start(acme, ONE)
    (held,) = claim(engine, hand)
    places = Places({RUN_POOL: 4})

    def done(busy_ms: float) -> dict[uuid.UUID, float]:
        places.take(RUN_POOL)
        places.done(held, busy_ms=busy_ms)
        return places.charges(RUN_POOL)

    assert places.charges(RUN_POOL) == {}
    assert done(WORTH_MS * 0.75) == {acme.id: 0.0}
    assert places.charges(RUN_POOL) == {}, "said once"
    assert done(WORTH_MS * 0.75) == {acme.id: WORTH_MS * 1.5}
    assert done(WORTH_MS * 0.5) == {acme.id: 0.0}, "what was said is not owed any more"
