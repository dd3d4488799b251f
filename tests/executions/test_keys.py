"""At most so many steps with one key at once: over runs, crashes and pools; the key is a text."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest

from apps.executions.engine.ports import LogSink, StepCall, StepDone, StepOutcome, StopSignal
from apps.executions.runner.keys import key_of
from apps.executions.store.connections import Connection, Connections
from apps.kit.ids import uuid7
from tests import database
from tests.executions.world import ScriptedRunner, call_of, finished, start, worker
from tests.factories.graphs import a, raw
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

ENTER = "SELECT engine_enter_3(%s, %s, %s, %s, %s)"


@pytest.fixture
def engine() -> Iterator[Connection]:
    held = Connections(database.url("engine"))
    yield held.get()
    held.close_all()


class Crowd:
    """The most steps of each key that ran at the same time."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.lock = threading.Lock()

    def __call__(self, call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        key = str(call.parameters["account"])
        with self.lock:
            self.now[key] += 1
            self.most[key] = max(self.most[key], self.now[key])
        stop.wait(seconds=0.05)
        with self.lock:
            self.now[key] -= 1
        return StepDone(outputs={"value": 1})


def account(call: StepCall, text: str) -> str:
    assert text == "{{ parameters.account }}"
    return str(call.parameters["account"])


@pytest.mark.parametrize("kind", ["keyed", "unsafe"])
def test_no_more_steps_of_a_key_run_at_once_than_its_limit(acme: Tenant, kind: str) -> None:
    bound = {"key": "{{ parameters.account }}", "limit": 2}
    drawn = raw([a("pay", kind, concurrency=bound)])
    workflow, crowd = str(uuid7()), Crowd()
    runs = [
        start(acme, drawn, workflow_id=workflow, parameters={"account": key}, slots=1)
        for key in ("a", "a", "a", "a", "b", "a")
    ]
    with worker(ScriptedRunner(crowd), read_key=account):
        assert {finished(acme, run).state for run in runs} == {"SUCCEEDED"}
    assert crowd.most["a"] <= 2
    assert crowd.most["b"] == 1


def test_a_dispatched_step_holds_its_place_as_a_task(acme: Tenant, engine: Connection) -> None:
    drawn = raw([a("pay", "keyed", concurrency={"limit": 1}, resources={"pool": "cpu"})])
    workflow, crowd = str(uuid7()), Crowd()
    given = {"account": "a"}
    runs = [start(acme, drawn, workflow_id=workflow, parameters=given) for _ in range(3)]
    runner = ScriptedRunner(crowd)
    with worker(runner), worker(runner, settings={"pools": ["cpu"], "tasks_at_once": 3}):
        assert {finished(acme, run).state for run in runs} == {"SUCCEEDED"}
    assert crowd.most["a"] == 1


def test_a_place_counts_as_long_as_its_run_or_task_has_an_item(
    acme: Tenant, engine: Connection
) -> None:
    first, second = (start(acme, raw([a("pay", "keyed")])) for _ in range(2))
    gate = uuid.uuid4()

    def enter(run_id: uuid.UUID, path: str = "pay") -> bool:
        row = engine.execute(ENTER, (acme.id, gate, run_id, path, 1)).fetchone()
        return row is not None and bool(row[0])

    assert enter(first)
    assert not enter(second)
    assert enter(first), "whoever owns the run now finds its place"
    engine.execute("UPDATE work_item SET kind = 'task', path = 'other' WHERE run_id = %s", (first,))
    assert enter(second), "the run went on without it"
    engine.execute("SELECT engine_leave_3(%s, %s, 'pay')", (acme.id, second))
    assert enter(first)
    engine.execute("UPDATE work_item SET kind = 'run', path = '' WHERE run_id = %s", (first,))


def test_a_key_is_a_text_with_expressions() -> None:
    call = call_of("pay")
    assert key_of(call, "all") == "all"
    assert key_of(call, "{{ environment }}-{{ index }}") == "DEVELOPMENT-0"
    broken = key_of(call, "{{ parameters.nothing }}")
    assert not isinstance(broken, str)
    assert broken.code == "EXPRESSION_FAILED"
    unreadable = key_of(call, "{{ ( }}")
    assert not isinstance(unreadable, str)
