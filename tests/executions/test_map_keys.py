"""Keys inside the items of a map: bounded over chunks and runs, no worker held, nothing twice."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from apps.executions.engine.ports import LogSink, StepCall, StepOutcome, StopSignal
from apps.executions.models import KeyHolder, KeyWait, MapChunk, MapItem, WorkItem
from apps.executions.store import statements
from apps.executions.store.connections import Connection, Connections
from apps.executions.verify import verify_tenant
from apps.kit.ids import uuid7
from apps.tenancy import scope
from tests import database
from tests.executions.test_maps import Items, mapped
from tests.executions.test_maps_held import until
from tests.executions.world import ScriptedRunner, finished, run_of, start, worker
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


class Crowd(Items):
    """The most steps of each key that ran at the same time."""

    seconds = 0.02

    def __init__(self, total: int, settings: Mapping[str, Any]) -> None:
        super().__init__(total, settings)
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    def __call__(self, call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if not call.path.endswith("/one"):
            return super().__call__(call, stop, logs)
        key = by_item(call, "")
        with self.lock:
            self.now[key] += 1
            self.most[key] = max(self.most[key], self.now[key])
        stop.wait(seconds=self.seconds)
        with self.lock:
            self.now[key] -= 1
        return super().__call__(call, stop, logs)


def by_item(call: StepCall, text: str) -> str:
    return f"k{call.index % 2}"


@pytest.fixture
def engine() -> Iterator[Connection]:
    held = Connections(database.url("engine"))
    yield held.get()
    held.close_all()


@pytest.mark.parametrize("kind", ["keyed", "unsafe"])
def test_items_of_a_key_are_bounded_over_chunks_and_runs(acme: Tenant, kind: str) -> None:
    crowd, workflow = Crowd(24, {"chunk_size": 8, "concurrency": 4}), str(uuid7())
    drawn = mapped(kind, concurrency={"key": "{{ item.account }}", "limit": 2})
    runs = [start(acme, drawn, workflow_id=workflow) for _ in range(2)]
    with (
        worker(ScriptedRunner(crowd), read_key=by_item),
        worker(ScriptedRunner(crowd), read_key=by_item),
    ):
        for run_id in runs:
            assert finished(acme, run_id, seconds=60).state == "SUCCEEDED"
    assert crowd.most == {"k0": 2, "k1": 2}, "as many as may, and no more"
    assert set(crowd.seen.values()) == {2}, "each item of each run once"
    with scope.tenant(acme.id):
        assert not KeyHolder.objects.exists()
        assert not KeyWait.objects.exists()
    assert verify_tenant(acme.id) == []


def test_a_chunk_whose_key_is_taken_sleeps_without_a_worker_and_keeps_what_is_done(
    acme: Tenant, engine: Connection
) -> None:
    crowd = Crowd(8, {"chunk_size": 8, "concurrency": 2})
    crowd.seconds = 0.0
    gates: dict[str, uuid.UUID] = {}
    drawn = mapped("keyed", concurrency={"key": "{{ item.account }}", "limit": 1})
    other = start(acme, mapped())
    run_id = start(acme, drawn, workflow_id=str(uuid7()))

    def take_all(call: StepCall, text: str) -> str:
        """Another run takes the place of odd items before any of them asks."""
        key = by_item(call, text)
        if key == "k1" and not gates:
            name = f"{call.workflow_id}\0{call.node.id}\0{key}"
            gates[key] = uuid.uuid5(uuid.UUID("6f1c4b0e-7a55-4c0a-9f3e-0d5d7a1f2b90"), name)
            engine.execute(
                "SELECT engine_enter_5(%s, %s, %s, 'x', 1, NULL)", (acme.id, gates[key], other)
            )
        return key

    lock = threading.Lock()

    def read_key(call: StepCall, text: str) -> str:
        with lock:
            return take_all(call, text)

    engine.execute("UPDATE work_item SET pool = 'nobody' WHERE run_id = %s", (other,))
    with worker(ScriptedRunner(crowd), read_key=read_key) as loop:
        with scope.tenant(acme.id):
            until(lambda: WorkItem.objects.filter(pool="asleep/io", kind="chunk").exists())
            known = MapItem.objects.of_map(run_id, "rows").settled()
            assert set(known.values_list("idx", flat=True)) == {0, 2, 4, 6}
            assert MapChunk.objects.get(run_id=run_id).spent["attempts"] == 4
            assert KeyWait.objects.filter(run_id=run_id, most=1).exists()
        engine.execute("SELECT engine_leave_3(%s, %s, 'x')", (acme.id, other))
        assert finished(acme, run_id).state == "SUCCEEDED"
        engine.execute("UPDATE work_item SET pool = 'io' WHERE run_id = %s", (other,))
        engine.execute("UPDATE lane SET has_ready = true WHERE tenant_id = %s", (acme.id,))
        loop.ring()
        assert finished(acme, other).state == "SUCCEEDED"
    assert crowd.after[0] == [n * n for n in range(8)]
    assert run_of(acme, run_id).attempts == 8 + 3, "the map's own two, and what follows"
    assert {crowd.seen[n] for n in range(0, 8, 2)} == {2}, "by each run once"
    assert verify_tenant(acme.id) == []


def test_a_holder_in_a_chunk_counts_as_long_as_its_chunk(acme: Tenant, engine: Connection) -> None:
    first, second = start(acme, mapped("keyed")), start(acme, mapped("keyed"))
    gate = uuid.uuid4()
    row = engine.execute(
        "INSERT INTO work_item (tenant_id, run_id, kind, path, idx, pool)"
        " VALUES (%s, %s, 'chunk', 'rows', 0, 'io') RETURNING id",
        (acme.id, first),
    ).fetchone()
    assert row is not None

    def enter(run_id: uuid.UUID, path: str, item_id: int | None = None) -> bool:
        given = (acme.id, gate, run_id, path, 1, item_id)
        found = engine.execute("SELECT engine_enter_5(%s, %s, %s, %s, %s, %s)", given).fetchone()
        return found is not None and bool(found[0])

    assert enter(first, "rows[0]/one", row[0])
    assert not enter(second, "one")
    old = engine.execute("SELECT engine_enter_3(%s, %s, %s, 'one', 1)", (acme.id, gate, second))
    assert old.fetchone() == (False,), "workers of the release before see it too"
    engine.execute("DELETE FROM work_item WHERE id = %s", (row[0],))
    assert enter(second, "one"), "its run has an item still, its chunk has come home"
    statements.wake(engine)
