"""Why something waits, quarantine for what kills workers, and small tenants beside a large one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from apps.executions.engine.ports import LogSink, StepCall, StepDone, StepOutcome, StopSignal
from apps.executions.queueing import Cause, reasons
from apps.executions.store import statements
from apps.executions.store.connections import Connection, Connections
from apps.kit.ids import uuid7
from apps.tenancy import scope
from tests import database
from tests.executions.world import ScriptedRunner, finished, run_of, start, types, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

ONE = raw([a("only")])
LEASE = 60.0


@pytest.fixture
def engine() -> Iterator[Connection]:
    connections = Connections(database.url("engine"))
    yield connections.get()
    connections.close_all()


def register(engine: Connection, *pools: str) -> uuid.UUID:
    worker_id = uuid.uuid4()
    statements.register(
        engine,
        worker_id=worker_id,
        host="here",
        pid=1,
        pools=pools,
        slots=8,
        lease_seconds=LEASE,
        labels=("rack=7",),
    )
    return worker_id


def claim(engine: Connection, worker_id: uuid.UUID, pool: str, want: int = 8) -> list[uuid.UUID]:
    claims = statements.claim(engine, worker_id=worker_id, pool=pool, want=want, charges={})
    return [one.run_id for one in claims]


def leave(engine: Connection, worker_id: uuid.UUID) -> None:
    statements.release(engine, worker_id=worker_id, items=None)
    statements.leave(engine, worker_id=worker_id)


def die(engine: Connection, worker_id: uuid.UUID) -> None:
    engine.execute("SELECT engine_worker_died_1(%s)", (worker_id,))


def cause(tenant: Tenant, run_id: uuid.UUID, path: str = "") -> Cause | None:
    with scope.tenant(tenant.id):
        found = reasons([run_id]).get((run_id, path))
    assert found is None or found.message
    return None if found is None else found.cause


def test_each_reason_is_told(acme: Tenant, engine: Connection) -> None:
    lonely = start(acme, ONE)
    assert cause(acme, lonely) is Cause.NO_WORKER
    mine = register(engine, "io")
    assert cause(acme, lonely) is Cause.IN_LINE
    assert claim(engine, mine, "io") == [lonely]
    assert cause(acme, lonely) is None, "it has a worker"
    engine.execute("UPDATE lane SET max_inflight = 1, max_runs = 1")
    late = start(acme, ONE)
    engine.execute("UPDATE lane SET max_inflight = 1, max_runs = 1")
    assert cause(acme, late) is Cause.TENANT_CEILING
    engine.execute("UPDATE lane SET max_inflight = 9")
    assert cause(acme, late) is Cause.TENANT_CEILING, "of runs"
    engine.execute(
        "UPDATE lane SET max_runs = 9, rate_per_s = 1,"
        " blocked_until = clock_timestamp() + interval '1 hour'"
    )
    assert cause(acme, late) is Cause.TENANT_RATE
    workflow = str(uuid7())
    bounded = [start(acme, ONE, workflow_id=workflow, bounds={"maxRuns": 1}) for _ in range(2)]
    assert cause(acme, bounded[1]) is Cause.WORKFLOW_CONCURRENCY
    workflow = str(uuid7())
    paced = [start(acme, ONE, workflow_id=workflow, bounds={"startsPerMinute": 1}) for _ in "ab"]
    assert cause(acme, paced[1]) is Cause.WORKFLOW_RATE
    leave(engine, mine)


def test_what_killed_a_worker_runs_alone_and_comes_back(acme: Tenant, engine: Connection) -> None:
    victim = register(engine, "io")
    poison, plain = start(acme, ONE), start(acme, ONE)
    assert set(claim(engine, victim, "io")) == {poison, plain}
    guard = register(engine, "quarantine")
    die(engine, victim)
    assert statements.reap(engine, lease_seconds=LEASE) == {"quarantine"}
    other = register(engine, "io")
    assert claim(engine, other, "io") == [], "no ordinary worker touches them"
    assert cause(acme, poison) is Cause.QUARANTINE
    (first,) = claim(engine, guard, "quarantine", want=1)
    assert first in {poison, plain}
    leave(engine, guard)
    engine.execute("DELETE FROM worker WHERE id = %s", (guard,))
    assert "io" in statements.reap(engine, lease_seconds=LEASE), "nobody works in quarantine now"
    assert set(claim(engine, other, "io")) == {poison, plain}
    leave(engine, other)


def test_a_run_in_quarantine_ends_like_any_other(acme: Tenant, engine: Connection) -> None:
    run_id = start(acme, raw([a("first"), a("second", "keyed")], [to("first", "second")]))
    victim = register(engine, "io")
    assert claim(engine, victim, "io") == [run_id]
    with worker(settings={"pools": ["quarantine"]}):
        die(engine, victim)
        assert finished(acme, run_id).state == "SUCCEEDED"


def test_a_step_that_asks_for_a_gpu_goes_where_one_is(acme: Tenant) -> None:
    run_id = start(acme, raw([a("train", resources={"gpu": "1"})]))
    runner = ScriptedRunner()
    with worker(runner), worker(runner, settings={"pools": ["gpu"]}):
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert "step.dispatched train" in types(acme, run_id)


def test_small_tenants_do_not_wait_behind_a_large_one(acme: Tenant, globex: Tenant) -> None:
    """A smaller sister of `make fairness`."""
    large = [start(acme, ONE) for _ in range(120)]
    order: list[uuid.UUID] = []

    def script(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        order.append(call.run_id)
        return StepDone(outputs={"value": 1})

    small = start(globex, ONE)
    with worker(ScriptedRunner(script)):
        finished(globex, small)
        ahead = order.index(small)
        assert ahead <= 32, "one round of claims at most"
        assert finished(acme, large[-1]).state == "SUCCEEDED"
    assert run_of(globex, small).state == "SUCCEEDED"


def test_workers_say_what_they_are(engine: Connection) -> None:
    mine = register(engine, "io", "gpu")
    row: Any = engine.execute("SELECT pools, labels, abi FROM worker WHERE id = %s", (mine,))
    assert row.fetchone() == (["io", "gpu"], ["rack=7"], statements.ABI)
    leave(engine, mine)
