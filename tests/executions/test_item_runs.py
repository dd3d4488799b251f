"""Maps whose items may wait: each is a run of its own, on the real database."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection

from apps.executions.actions import cancel_run, pause_run, resume_run, signal_run
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOpens,
    StepOutcome,
    StepWaits,
    StopSignal,
)
from apps.executions.models import MapItem, MapNews, Run, WorkItem
from apps.executions.verify import verify_tenant
from apps.executions.worker import tending
from apps.tenancy import scope
from apps.workflows.graph.mapping import MapOpening, Policy
from apps.workflows.graph.waits import Wait, WaitKind
from tests.executions.world import ScriptedRunner, finished, run_of, start, types, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)
NEVER = Wait(kind=WaitKind.SIGNAL, name="never")
SOON = Wait(kind=WaitKind.TIMER, seconds=0.05, due={"value": None})


def mapped(*, kind: str = "pure", **configuration: Any) -> dict[str, Any]:
    """rows (body: ask → one) → after."""
    return raw(
        [
            a("rows", "each"),
            a("ask", "waiting", parentId="rows"),
            a("one", kind, parentId="rows"),
            a("after"),
        ],
        [
            to("rows.item", "ask"),
            to("ask", "one"),
            to("one", "rows.result"),
            to("rows.results", "after"),
        ],
        **configuration,
    )


@dataclass
class Items:
    """A map over numbers; each item waits a moment, or for a signal, and is squared."""

    total: int = 6
    settings: Mapping[str, Any] = field(default_factory=dict)
    bad: frozenset[int] = frozenset()
    wait: Wait = SOON
    seen: Counter[int] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    runs: set[uuid.UUID] = field(default_factory=set)
    after: list[Any] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        match call.path:
            case "rows":
                like = {"total": self.total, "items": list(range(self.total)), "chunk_size": 2}
                return StepOpens(opening=MapOpening(**{**like, **self.settings}))
            case "after":
                self.after.append(call.inputs["value"])
                return StepDone(outputs={"value": "end"})
            case "ask":
                return call.given or StepWaits(wait=self.wait)
        assert call.path == "one"
        assert call.item == call.index
        assert call.upstream["ask"] is not None
        with self.lock:
            self.seen[call.index] += 1
            self.keys[call.idempotency_key] += 1
            self.runs.add(call.run_id)
        if call.index in self.bad:
            return StepFailed(code="BAD", message="no good")
        return StepDone(outputs={"value": call.item**2})

    def runner(self) -> ScriptedRunner:
        return ScriptedRunner(self)


def items_of(tenant: Tenant, run_id: uuid.UUID) -> list[Run]:
    with scope.tenant(tenant.id):
        return list(Run.objects.children(run_id).order_by("parent_path"))


def until(is_so: Callable[[], bool], *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_item_that_waits_is_a_run_of_its_own(acme: Tenant) -> None:
    items = Items()
    run_id = start(acme, mapped(kind="keyed"))
    with worker(items.runner()):
        run = finished(acme, run_id)
    assert run.state == "SUCCEEDED", run.error
    assert items.after == [[n**2 for n in range(6)]]
    assert items.seen == Counter(range(6))
    children = items_of(acme, run_id)
    assert {one.pk for one in children} == items.runs
    assert [one.parent_path for one in children] == [f"rows[{n}]" for n in range(6)]
    assert {(one.parent_kind, one.depth, one.lineage_id) for one in children} == {
        ("ITEM", 1, run_id)
    }
    assert [one.result for one in children] == [{"result": n**2} for n in range(6)]
    assert set(items.keys) == {f"{acme.id}/{run_id}/rows[{n}]/one/{n}/1" for n in range(6)}
    history = types(acme, run_id)
    assert history.count("chunk.dispatched rows") == history.count("chunk.completed rows") == 3
    assert types(acme, children[0].pk)[:3] == ["run.queued", "item.given", "run.started"]
    with scope.tenant(acme.id):
        rows = dict(MapItem.objects.values_list("idx", "child"))
        assert rows == {n: one.pk for n, one in enumerate(children)}
        assert not WorkItem.objects.exists()
        assert not MapNews.objects.exists()
    assert verify_tenant(acme.id) == []


@pytest.mark.parametrize(
    ("policy", "results"),
    [(Policy.CONTINUE, [0, None, 4, 9]), (Policy.COLLECT, [0, 4, 9])],
)
def test_tolerated_failures_stand_beside_the_results(
    acme: Tenant, policy: Policy, results: list[Any]
) -> None:
    items = Items(4, {"policy": policy, "tolerated": 1}, bad=frozenset({1}))
    run_id = start(acme, mapped())
    with worker(items.runner()):
        run = finished(acme, run_id)
    assert run.state == "SUCCEEDED", run.error
    assert items.after == [results]
    with scope.tenant(acme.id):
        (row,) = MapItem.objects.failed()
    assert (row.error["index"], row.error["code"]) == (1, "BAD")
    assert verify_tenant(acme.id) == []


def test_one_failure_stops_what_waits_elsewhere(acme: Tenant) -> None:
    never = Wait(kind=WaitKind.SIGNAL, name="never")
    items = Items(4, bad=frozenset({1}))

    def waits(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "ask" and call.index != 1:
            return call.given or StepWaits(wait=never)
        return items(call, stop, logs)

    run_id = start(acme, mapped())
    with worker(ScriptedRunner(waits)):
        run = finished(acme, run_id)
    error: Any = run.error
    assert (run.state, error["code"]) == ("FAILED", "MAP_ITEM_FAILED")
    assert error["details"]["first"]["index"] == 1
    states = {one.parent_path: one.state for one in items_of(acme, run_id)}
    assert states == {
        **dict.fromkeys((f"rows[{n}]" for n in range(4)), "CANCELED"),
        "rows[1]": "FAILED",
    }
    assert verify_tenant(acme.id) == []


def test_a_canceled_run_takes_its_items_with_it(acme: Tenant) -> None:
    items = Items(wait=Wait(kind=WaitKind.SIGNAL, name="never"))
    run_id = start(acme, mapped())
    with worker(items.runner()):
        until(lambda: sum(one.state == "WAITING" for one in items_of(acme, run_id)) == 6)
        with scope.tenant(acme.id, actor=acme.owner):
            cancel_run(actor=acme.owner, run_id=run_id)
        assert finished(acme, run_id).state == "CANCELED"
    assert {one.state for one in items_of(acme, run_id)} == {"CANCELED"}
    assert verify_tenant(acme.id) == []


def test_a_paused_run_pauses_its_items(acme: Tenant) -> None:
    items = Items(wait=Wait(kind=WaitKind.TIMER, seconds=3, due={"value": None}))
    run_id = start(acme, mapped())
    with worker(items.runner()):
        until(lambda: sum(one.state == "WAITING" for one in items_of(acme, run_id)) == 6)
        with scope.tenant(acme.id, actor=acme.owner):
            pause_run(actor=acme.owner, run_id=run_id)
        until(lambda: {one.state for one in items_of(acme, run_id)} == {"PAUSED"})
        assert run_of(acme, run_id).state == "PAUSED"
        assert not items.seen
        assert verify_tenant(acme.id) == []
        with scope.tenant(acme.id, actor=acme.owner):
            resume_run(actor=acme.owner, run_id=run_id)
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert items.after == [[n**2 for n in range(6)]]
    assert verify_tenant(acme.id) == []


def test_a_map_that_is_tried_again_redoes_failed_items_only(acme: Tenant) -> None:
    items = Items(5, {"policy": Policy.COLLECT, "tolerated": 0}, bad=frozenset({3}))

    def better(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if items.seen[3]:
            items.bad = frozenset()
        return items(call, stop, logs)

    drawn = mapped()
    drawn["nodes"][0]["retry"] = {"maxAttempts": 2, "backoffSeconds": 0}
    run_id = start(acme, drawn)
    with worker(ScriptedRunner(better)):
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert items.seen == Counter({0: 1, 1: 1, 2: 1, 3: 2, 4: 1})
    assert items.after == [[n**2 for n in range(5)]]
    attempts = [
        one.parent_attempt for one in items_of(acme, run_id) if one.parent_path == "rows[3]"
    ]
    assert sorted(filter(None, attempts)) == [1, 2]
    assert verify_tenant(acme.id) == []


def test_as_many_items_are_begun_as_may_be_at_once(acme: Tenant) -> None:
    items = Items(6, {"concurrency": 2, "chunk_size": 3})
    most = 0
    run_id = start(acme, mapped())
    with worker(items.runner()):
        while run_of(acme, run_id).finished_at is None:
            open_ = sum(one.finished_at is None for one in items_of(acme, run_id))
            most = max(most, open_)
            time.sleep(0.01)
    assert 1 <= most <= 2
    assert items.after == [[n**2 for n in range(6)]]


def test_an_item_that_waits_long_holds_one_place_and_no_chunk(acme: Tenant) -> None:
    items = Items(8, {"concurrency": 2, "chunk_size": 2})

    def first_waits(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "ask" and call.index == 0:
            return call.given or StepWaits(wait=Wait(kind=WaitKind.SIGNAL, name="go"))
        return items(call, stop, logs)

    run_id = start(acme, mapped())
    with worker(ScriptedRunner(first_waits)):
        until(lambda: set(items.seen) == set(range(1, 8)))
        assert verify_tenant(acme.id) == []
        (first,) = (one for one in items_of(acme, run_id) if one.finished_at is None)
        with scope.tenant(acme.id, actor=acme.owner):
            signal_run(actor=acme.owner, run_id=first.pk, name="go")
        assert finished(acme, run_id).state == "SUCCEEDED"
    # What is connected to the waiting step takes another port than a signal leaves by.
    assert items.after == [[None, *(n**2 for n in range(1, 8))]]
    assert verify_tenant(acme.id) == []


def test_many_items_begin_in_several_statements(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tending, "AT_ONCE", 2)
    items = Items(7, {"concurrency": 100, "chunk_size": 7}, wait=NEVER)
    run_id = start(acme, mapped())
    with worker(items.runner()):
        until(lambda: sum(one.state == "WAITING" for one in items_of(acme, run_id)) == 7)
        with scope.tenant(acme.id, actor=acme.owner):
            cancel_run(actor=acme.owner, run_id=run_id)
        assert finished(acme, run_id).state == "CANCELED"
    assert verify_tenant(acme.id) == []


def nested() -> dict[str, Any]:
    """rows (body: inner (body: deep → leaf) → sum) → after."""
    return raw(
        [
            a("rows", "each"),
            a("inner", "each", parentId="rows"),
            a("ask", "waiting", parentId="inner"),
            a("leaf", "keyed", parentId="inner"),
            a("after"),
        ],
        [
            to("rows.item", "inner"),
            to("inner.item", "ask"),
            to("ask", "leaf"),
            to("leaf", "inner.result"),
            to("inner.results", "rows.result"),
            to("rows.results", "after"),
        ],
    )


@pytest.mark.parametrize("waits", [True, False])
def test_maps_stand_inside_maps(acme: Tenant, *, waits: bool) -> None:
    keys: Counter[str] = Counter()
    after: list[Any] = []

    def run(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        match call.node.id:
            case "rows":
                items: Any = [[1, 2], [3, 4, 5]]
            case "inner":
                items = call.inputs["value"]
            case "after":
                after.append(call.inputs["value"])
                return StepDone(outputs={"value": "end"})
            case "ask":
                timer = Wait(kind=WaitKind.TIMER, seconds=0.02, due={"value": None})
                return call.given or StepWaits(wait=timer)
            case _:
                keys[call.idempotency_key] += 1
                item: Any = call.item
                return StepDone(outputs={"value": item * 10})
        return StepOpens(opening=MapOpening(total=len(items), items=items))

    drawn = nested()
    if not waits:
        drawn["nodes"][2]["type"] = "test.pure"
    run_id = start(acme, drawn)

    def run_or_pass(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.node.type == "test.pure" and call.node.id == "ask":
            return StepDone(outputs={"value": None})
        return run(call, stop, logs)

    with worker(ScriptedRunner(run_or_pass)):
        done = finished(acme, run_id)
    assert done.state == "SUCCEEDED", done.error
    assert after == [[[10, 20], [30, 40, 50]]]
    outer = items_of(acme, run_id)
    assert [one.depth for one in outer] == [1, 1]
    assert [len(items_of(acme, one.pk)) for one in outer] == ([2, 3] if waits else [0, 0])
    leaves = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert set(keys) == {f"{acme.id}/{run_id}/rows[{i}]/inner[{j}]/leaf/{j}/1" for i, j in leaves}
    assert verify_tenant(acme.id) == []


def test_items_that_wait_are_stopped_when_their_run_is_to_be_undone(acme: Tenant) -> None:
    items = Items(3, wait=Wait(kind=WaitKind.SIGNAL, name="never"))
    drawn = mapped(kind="keyed")
    drawn["nodes"][3]["onError"] = [{"match": {}, "do": "compensate"}]
    drawn["connections"].pop()

    def fails(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "after":
            until(lambda: sum(one.state == "WAITING" for one in items_of(acme, call.run_id)) == 3)
            connection.close()  # This thread is the engine's.
            return StepFailed(code="NO", message="no")
        return items(call, stop, logs)

    run_id = start(acme, drawn)
    with worker(ScriptedRunner(fails)):
        run = finished(acme, run_id, seconds=30)
    error: Any = run.error
    assert (run.state, error["code"]) == ("FAILED", "NO")
    assert {one.state for one in items_of(acme, run_id)} == {"CANCELED"}
    assert verify_tenant(acme.id) == []
