"""Maps on the real database: chunks on workers, each item recorded once, whatever dies."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection

from apps.executions.actions import cancel_run
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOpens,
    StepOutcome,
    StepStopped,
    StepWaits,
    StopReason,
    StopSignal,
    TransactionalWrite,
)
from apps.executions.models import MapChunk, MapItem, NodeState, WorkItem
from apps.executions.verify import verify_tenant
from apps.executions.worker import chunk_turn
from apps.tenancy import scope
from apps.workflows.graph.mapping import MapOpening, Policy
from apps.workflows.graph.waits import Wait, WaitKind
from tests.executions.world import ScriptedRunner, finished, start, types, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def mapped(kind: str = "pure", **fields: Any) -> dict[str, Any]:
    """rows (body: one) → after."""
    return raw(
        [a("rows", "each"), a("one", kind, parentId="rows", **fields), a("after")],
        [to("rows.item", "one"), to("one", "rows.result"), to("rows.results", "after")],
    )


@dataclass
class Items:
    """A runner whose map opens over numbers and whose body squares them."""

    total: int = 10
    settings: Mapping[str, Any] = field(default_factory=dict)
    bad: frozenset[int] = frozenset()
    seen: Counter[int] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    after: list[Any] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "rows":
            like = {"total": self.total, "items": list(range(self.total)), "chunk_size": 4}
            return StepOpens(opening=MapOpening(**{**like, **self.settings}))
        if call.path == "after":
            self.after.append(call.inputs["value"])
            return StepDone(outputs={"value": "end"})
        with self.lock:
            self.seen[call.index] += 1
            self.keys[call.idempotency_key] += 1
        assert call.inputs == {"value": call.index}
        assert call.path == f"rows[{call.index}]/one"
        if call.index in self.bad:
            return StepFailed(code="BAD", message="no good")
        return StepDone(outputs={"value": call.index**2})

    def runner(self) -> ScriptedRunner:
        return ScriptedRunner(self)


def settled(tenant: Tenant) -> dict[int, str]:
    with scope.tenant(tenant.id):
        return dict(MapItem.objects.values_list("idx", "state"))


def test_every_item_runs_once_and_the_results_come_in_order(acme: Tenant) -> None:
    items = Items()
    run_id = start(acme, mapped())
    with worker(items.runner()):
        run = finished(acme, run_id)
    assert run.state == "SUCCEEDED", run.error
    assert items.after == [[n**2 for n in range(10)]]
    assert items.seen == Counter(range(10))
    assert run.attempts == 1 + 10 + 1 + 1
    history = types(acme, run_id)
    assert history.count("chunk.dispatched rows") == history.count("chunk.completed rows") == 3
    assert settled(acme) == dict.fromkeys(range(10), "done")
    with scope.tenant(acme.id):
        chunks = list(MapChunk.objects.order_by("chunk").values_list("low", "high", "state"))
        assert chunks == [(0, 4, "done"), (4, 8, "done"), (8, 10, "done")]
        assert not WorkItem.objects.exists()
    assert verify_tenant(acme.id) == []


@pytest.mark.parametrize(
    ("policy", "results"),
    [(Policy.CONTINUE, [0, None, 4, 9, 16]), (Policy.COLLECT, [0, 4, 9, 16])],
)
def test_tolerated_failures_stand_beside_the_results(
    acme: Tenant, policy: Policy, results: list[Any]
) -> None:
    items = Items(5, {"policy": policy, "tolerated": 1}, bad=frozenset({1}))
    run_id = start(acme, mapped())
    with worker(items.runner()):
        run = finished(acme, run_id)
    assert run.state == "SUCCEEDED", run.error
    assert items.after == [results]
    with scope.tenant(acme.id):
        (row,) = MapItem.objects.of_map(run_id, "rows").failed()
    assert row.error == {
        "index": 1,
        "code": "BAD",
        "message": "no good",
        "nodeId": "one",
        "attempt": 1,
    }
    assert verify_tenant(acme.id) == []


def test_too_many_failures_fail_the_map(acme: Tenant) -> None:
    items = Items(9, {"policy": Policy.COLLECT, "tolerated": 1}, bad=frozenset({1, 6}))
    run_id = start(acme, mapped())
    with worker(items.runner()):
        run = finished(acme, run_id)
    assert run.state == "FAILED"
    assert run.error is not None
    assert run.error["code"] == "MAP_FAILURES_EXCEEDED"
    assert run.error["details"]["failed"] == 2
    assert verify_tenant(acme.id) == []


def test_the_first_failure_stops_what_else_is_out(acme: Tenant) -> None:
    items = Items(40, {"concurrency": 1}, bad=frozenset({2}))
    run_id = start(acme, mapped())
    with worker(items.runner()):
        run = finished(acme, run_id)
    assert run.error is not None
    assert run.error["code"] == "MAP_ITEM_FAILED"
    assert run.error["details"]["first"]["index"] == 2
    assert max(items.seen) == 2, "nothing behind it was begun"
    assert verify_tenant(acme.id) == []


def test_a_map_that_is_tried_again_runs_failed_items_alone(acme: Tenant) -> None:
    items = Items(10, {"policy": Policy.COLLECT, "tolerated": 0}, bad=frozenset({5}))

    def heal(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "rows" and call.attempt == 2:
            items.bad = frozenset()
        return items(call, stop, logs)

    drawn = mapped()
    drawn["nodes"][0]["retry"] = {"maxAttempts": 2, "backoffSeconds": 0}
    run_id = start(acme, drawn)
    with worker(ScriptedRunner(heal)):
        run = finished(acme, run_id)
    assert run.state == "SUCCEEDED", run.error
    assert items.seen == Counter([*range(10), 5])
    assert verify_tenant(acme.id) == []


def test_an_item_is_tried_again_by_itself(acme: Tenant) -> None:
    items = Items(6)

    def picky(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        outcome = items(call, stop, logs)
        if call.path.endswith("one") and call.attempt < 3:
            return StepFailed(code="BUSY", message="later", retryable=True)
        return outcome

    run_id = start(acme, mapped(retry={"maxAttempts": 3, "backoffSeconds": 1.5}))
    with worker(ScriptedRunner(picky)):
        run = finished(acme, run_id)
    assert run.state == "SUCCEEDED", run.error
    assert set(items.seen.values()) == {3}
    assert len(items.keys) == 6, "the key is the same for every attempt"


def test_a_chunk_that_gives_way_keeps_the_attempts_of_items_that_wait(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_turn, "BUDGET", dt.timedelta(milliseconds=100))
    items, order = Items(3), list[str]()

    def picky(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "other":
            order.append("other")
            return StepDone(outputs={"value": 1})
        outcome = items(call, stop, logs)
        if call.path.endswith("one"):
            order.append("item")
            if call.attempt < 3:
                return StepFailed(code="BUSY", message="later", retryable=True)
        return outcome

    # Long enough for the worker to see that somebody waits.
    run_id = start(acme, mapped(retry={"maxAttempts": 3, "backoffSeconds": 4}))
    with worker(ScriptedRunner(picky), settings={"runs_at_once": 1}) as loop:
        until = time.monotonic() + 20
        while "item" not in order and time.monotonic() < until:
            time.sleep(0.01)
        other = start(acme, raw([a("other")]))
        loop.ring()
        assert finished(acme, other).state == "SUCCEEDED"
        run = finished(acme, run_id, seconds=60)
    assert run.state == "SUCCEEDED", run.error
    assert order[-1] == "item", "the chunk, which holds the only slot, gave way to the other run"
    assert set(items.seen.values()) == {3}


def test_slots_work_on_items_of_one_chunk_together(acme: Tenant) -> None:
    together = threading.Barrier(4)
    items = Items(4, {"concurrency": 4, "chunk_size": 4})

    def meet(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path.endswith("one"):
            together.wait(timeout=20)
        return items(call, stop, logs)

    run_id = start(acme, mapped())
    with worker(ScriptedRunner(meet)):
        assert finished(acme, run_id).state == "SUCCEEDED"


@pytest.mark.parametrize("others", [1, 2])
def test_a_canceled_run_stops_its_items(acme: Tenant, others: int) -> None:
    reached = threading.Event()
    items = Items(20)

    def wait(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path.endswith("one") and call.index == others:
            reached.set()
            return StepStopped(reason=stop.wait(seconds=60) or StopReason.CANCELED)
        return items(call, stop, logs)

    run_id = start(acme, mapped())
    with worker(ScriptedRunner(wait)) as loop:
        assert reached.wait(20)
        with scope.tenant(acme.id):
            cancel_run(actor=acme.owner, run_id=run_id)
        loop.ring()
        assert finished(acme, run_id).state == "CANCELED"
    with scope.tenant(acme.id):
        assert not WorkItem.objects.exists()
    assert verify_tenant(acme.id) == []


def test_an_effect_in_doubt_fails_its_item(acme: Tenant) -> None:
    items = Items(5, {"policy": Policy.COLLECT, "tolerated": 1})

    def doubtful(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        outcome = items(call, stop, logs)
        if call.path == "rows[2]/one":
            return StepFailed(code="STEP_TIMEOUT", message="no answer")
        return outcome

    run_id = start(acme, mapped("unsafe"))
    with worker(ScriptedRunner(doubtful)):
        assert finished(acme, run_id).state == "SUCCEEDED"
    with scope.tenant(acme.id):
        (row,) = MapItem.objects.of_map(run_id, "rows").failed()
    assert (row.idx, row.error["code"]) == (2, "STEP_TIMEOUT")
    assert items.seen == Counter(range(5)), "nobody sends it again"
    assert verify_tenant(acme.id) == []


def test_declared_writes_come_with_the_items_result(acme: Tenant) -> None:
    items = Items(3)

    def write(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        outcome = items(call, stop, logs)
        if isinstance(outcome, StepDone) and call.path.endswith("one"):
            writes = (TransactionalWrite(key=f"k{call.index}", value=call.index),)
            return dataclasses.replace(outcome, writes=writes)
        return outcome

    run_id = start(acme, mapped("transactional"))
    with worker(ScriptedRunner(write)):
        assert finished(acme, run_id).state == "SUCCEEDED"
    with scope.tenant(acme.id):
        kept = dict(NodeState.objects.values_list("key", "value"))
    assert kept == {"k0": 0, "k1": 1, "k2": 2}


def test_what_one_run_has_done_another_takes_over(acme: Tenant) -> None:
    bad = Items(8, {"policy": Policy.COLLECT, "tolerated": 0}, bad=frozenset({3}))
    first = start(acme, mapped())
    with worker(bad.runner()):
        assert finished(acme, first).state == "FAILED"
    second = start(acme, mapped())
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute(
            "SELECT engine_map_inherit_3(%s, %s, %s, %s)", [acme.id, first, second, ["rows"]]
        )
    good = Items(8)
    with worker(good.runner()):
        assert finished(acme, second).state == "SUCCEEDED"
    assert good.seen == Counter([3])
    assert good.after == [[n**2 for n in range(8)]]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (StepWaits(wait=Wait(kind=WaitKind.TIMER, seconds=60)), "WAIT_UNDECLARED"),
        (StepOpens(opening=MapOpening(total=1, items=[1])), "WAIT_UNDECLARED"),
    ],
)
def test_what_would_outlive_a_chunk_is_refused(
    acme: Tenant, outcome: StepOutcome, code: str
) -> None:
    items = Items(2, {"policy": Policy.COLLECT, "tolerated": None})

    def outlive(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        return outcome if call.path.endswith("one") else items(call, stop, logs)

    run_id = start(acme, mapped())
    with worker(ScriptedRunner(outlive)):
        assert finished(acme, run_id).state == "SUCCEEDED"
    with scope.tenant(acme.id):
        assert {row.error["code"] for row in MapItem.objects.all()} == {code}
