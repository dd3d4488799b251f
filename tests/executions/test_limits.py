"""Who may begin: a workflow's own bounds, a tenant's pace, weights, deadlines, and the door."""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import Any

import pytest
from django.db import connection

from apps.executions.engine.ports import LogSink, StepCall, StepDone, StepOutcome, StopSignal
from apps.executions.models import Run
from apps.executions.store import statements
from apps.executions.store.connections import Connections
from apps.kit.ids import uuid7
from apps.tenancy import scope
from tests import database
from tests.executions.world import ScriptedRunner, finished, run_of, start, worker
from tests.factories.graphs import a, raw
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

ONE = raw([a("only")])


def bounded(tenant: Tenant, workflow: uuid.UUID, **bounds: float) -> uuid.UUID:
    return start(tenant, ONE, workflow_id=str(workflow), bounds=bounds)


def held(tenant: Tenant) -> list[uuid.UUID]:
    with scope.tenant(tenant.id):
        # Ids of one millisecond have no order; their places have.
        rows = Run.objects.filter(held_key__isnull=False).order_by("held_key")
        return list(rows.values_list("pk", flat=True))


def tell(tenant: Tenant, run_id: uuid.UUID, kind: str) -> None:
    with scope.tenant(tenant.id), connection.cursor() as cursor:
        cursor.execute(
            "SELECT executions_tell_1(%s, %s, %s, %s, '{}')", [tenant.id, run_id, uuid7(), kind]
        )


class Crowd:
    """Counts how many steps run at the same time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        stop.wait(seconds=0.02)
        with self.lock:
            self.now -= 1
        return StepDone(outputs={"value": 1})


def test_no_more_runs_of_a_workflow_are_in_progress_than_it_allows(acme: Tenant) -> None:
    workflow, crowd = uuid7(), Crowd()
    runs = [bounded(acme, workflow, maxRuns=2) for _ in range(9)]
    free = start(acme, ONE)
    assert held(acme) == runs[2:]
    with worker(ScriptedRunner(crowd)):
        assert finished(acme, free).state == "SUCCEEDED"
        assert [finished(acme, run).state for run in runs] == ["SUCCEEDED"] * 9
    assert crowd.most <= 3, "two of the workflow and the one beside them"


def test_a_workflow_with_a_rate_lets_a_burst_through_and_then_one_by_one(
    acme: Tenant, engine: Any
) -> None:
    workflow = uuid7()
    runs = [bounded(acme, workflow, startsPerMinute=0.1, burst=3) for _ in range(5)]
    assert held(acme) == runs[3:]
    for left in (runs[4:], []):
        engine.execute(
            "UPDATE workflow_gate SET looked_at = '-infinity', tat = tat - interval '10 minutes'"
        )
        assert statements.open_gates(engine) == {"io"}
        assert held(acme) == left
    with worker():
        assert [finished(acme, run).state for run in runs] == ["SUCCEEDED"] * 5


def test_what_is_held_can_be_canceled_and_hears_mail_without_beginning(acme: Tenant) -> None:
    workflow = uuid7()
    blocker = bounded(acme, workflow, maxRuns=1)
    canceled, patient = (bounded(acme, workflow, maxRuns=1) for _ in range(2))
    gate = threading.Event()

    def script(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.run_id == blocker:
            gate.wait(20)
        return StepDone(outputs={"value": 1})

    with worker(ScriptedRunner(script)) as loop:
        tell(acme, canceled, "cancel")
        tell(acme, patient, "something")
        loop.ring()
        assert finished(acme, canceled).state == "CANCELED"
        until = Until(lambda: not _has_item(patient))
        until.holds()
        assert run_of(acme, patient).state == "QUEUED"
        gate.set()
        assert finished(acme, patient).state == "SUCCEEDED"


class Until:
    """Looks again for twenty seconds at most."""

    def __init__(self, question: Any) -> None:
        self.question = question

    def holds(self) -> None:
        pause = threading.Event()
        for _ in range(2_000):
            if self.question():
                return
            pause.wait(0.01)
        raise AssertionError("it never came true")


def _has_item(run_id: uuid.UUID) -> bool:
    engine = Connections(database.url("engine"))
    try:
        row = engine.get().execute("SELECT FROM work_item WHERE run_id = %s", (run_id,)).fetchone()
    finally:
        engine.close_all()
    return row is not None


def test_admitted_between_the_claim_and_the_parking_nothing_is_lost(acme: Tenant) -> None:
    workflow = uuid7()
    first = bounded(acme, workflow, maxRuns=1)
    second = bounded(acme, workflow, maxRuns=1)
    tell(acme, second, "something")
    engine = Connections(database.url("engine"))
    connected = engine.get()
    nobody = uuid.uuid4()
    statements.register(
        connected,
        worker_id=nobody,
        host="here",
        pid=1,
        pools=["io"],
        slots=8,
        lease_seconds=60,
    )
    claims = statements.claim(connected, worker_id=nobody, pool="io", want=8, charges={})
    assert {claim.run_id: claim.is_held for claim in claims} == {first: False, second: True}
    connected.execute("UPDATE workflow_gate SET max_runs = 2, looked_at = '-infinity'")
    assert statements.open_gates(connected) == {"io"}
    mail = connected.execute("SELECT run_id FROM work_item WHERE has_mail").fetchall()
    assert mail == [(second,)], "its owner reads before it parks"
    statements.release(connected, worker_id=nobody, items=None)
    statements.leave(connected, worker_id=nobody)
    engine.close_all()
    with worker():
        assert finished(acme, second).state == "SUCCEEDED"
        assert finished(acme, first).state == "SUCCEEDED"


@pytest.fixture
def engine() -> Any:
    connections = Connections(database.url("engine"))
    yield connections.get()
    connections.close_all()


@pytest.fixture
def claimer(engine: Any) -> Any:
    """Claims as one worker would, without running anything."""
    worker_id = uuid.uuid4()
    statements.register(
        engine, worker_id=worker_id, host="here", pid=1, pools=["io"], slots=8, lease_seconds=60
    )

    def claim(want: int = 8) -> list[uuid.UUID]:
        claims = statements.claim(engine, worker_id=worker_id, pool="io", want=want, charges={})
        return [one.run_id for one in claims]

    yield claim
    statements.release(engine, worker_id=worker_id, items=None)
    statements.leave(engine, worker_id=worker_id)


def test_an_operators_brake_bounds_the_claims_of_a_tenant(
    acme: Tenant, globex: Tenant, engine: Any, claimer: Any
) -> None:
    slow = [start(acme, ONE) for _ in range(6)]
    quick = [start(globex, ONE) for _ in range(2)]
    engine.execute("UPDATE lane SET rate_per_s = 0.01, burst = 4 WHERE tenant_id = %s", (acme.id,))
    assert set(claimer()) == {*slow[:4], *quick}
    assert claimer() == [], "the next token comes in a hundred seconds"
    blocked = engine.execute(
        "SELECT blocked_until - clock_timestamp() > interval '80 s', has_ready FROM lane"
        " WHERE tenant_id = %s",
        (acme.id,),
    ).fetchone()
    assert blocked == (True, True), "it waits and does not say that it is empty"


def test_who_must_begin_first_to_be_on_time_goes_first(acme: Tenant, claimer: Any) -> None:
    plain = start(acme, ONE)
    late = start(acme, ONE, due_seconds=-120.0)
    important = start(acme, ONE, priority=10)
    assert claimer(1) == [important], "five minutes for its priority"
    assert claimer(1) == [late]
    assert claimer(1) == [plain]


def test_a_weight_is_a_share_of_the_claims(acme: Tenant, globex: Tenant, claimer: Any) -> None:
    for _ in range(30):
        start(acme, ONE, weight=3)
        start(globex, ONE)
    mine = {run.pk for run in _runs(acme)}
    taken = [claimer(1)[0] for _ in range(20)]
    assert sum(run in mine for run in taken) == 15


def _runs(tenant: Tenant) -> list[Run]:
    with scope.tenant(tenant.id):
        return list(Run.objects.all())


def test_bounds_are_exact_under_eight_claimers_who_also_start_and_end_runs(
    acme: Tenant, engine: Any
) -> None:
    workflow, most, burst, pace = uuid7(), 4, 5, 0.05
    runs = [bounded(acme, workflow, maxRuns=most, startsPerMinute=60 / pace, burst=burst)]
    (opened,) = engine.execute("SELECT clock_timestamp()").fetchone()
    crowd = Crowd()
    loops = [worker(ScriptedRunner(crowd), settings={"beat_seconds": 0.5}) for _ in range(8)]
    with contextlib.ExitStack() as stack:
        for loop in loops:
            stack.enter_context(loop)
        runs += [
            bounded(acme, workflow, maxRuns=most, startsPerMinute=60 / pace, burst=burst)
            for _ in range(39)
        ]
        for run_id in runs:
            assert finished(acme, run_id, seconds=60).state == "SUCCEEDED"
    assert crowd.most <= most
    times = ((run.started_at, run.finished_at) for run in _runs(acme))
    rows = sorted((begun, ended) for begun, ended in times if begun and ended)
    assert len(rows) == 40
    for at, _ in rows:
        assert sum(begun <= at < ended for begun, ended in rows) <= most, "of runs in progress"
    for number, (begun, _) in enumerate(rows):
        earned = burst + (begun - opened).total_seconds() / pace + 1
        assert number < earned, "no more have begun than the rate had room for"
