"""What the items of a map did is undone with the run: the last first, once, whatever dies."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StopSignal,
)
from apps.executions.models import MapItem, Run
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from tests.executions.test_maps import Items
from tests.executions.world import ScriptedRunner, finished, start, types, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def drawn(kind: str = "keyed", back: str = "keyed", **fields: Any) -> dict[str, Any]:
    """rows (body: one, undone by back) → after, which fails and has all undone."""
    nodes = [
        a("rows", "each"),
        a("one", kind, parentId="rows", compensation="back"),
        a("back", back, parentId="rows", **fields),
        a("after", onError=[{"do": "compensate"}]),
    ]
    return raw(
        nodes, [to("rows.item", "one"), to("one", "rows.result"), to("rows.results", "after")]
    )


def error_of(run: Run) -> Any:
    return run.error or {}


class Undone(Items):
    """Remembers what was undone, in which order, with what."""

    def __init__(self, total: int, settings: dict[str, Any]) -> None:
        super().__init__(total, settings)
        self.undone: list[int] = []
        self.refused: set[int] = set()
        self.held = Counter[int]()
        self.hold = threading.Event()
        self.hold.set()

    def __call__(self, call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "after":
            return StepFailed(code="NO", message="no")
        if not call.path.endswith("/back"):
            return super().__call__(call, stop, logs)
        assert call.path == f"rows[{call.index}]/one/back"
        assert call.inputs["value"] == call.index**2
        if call.index in self.refused:
            return StepFailed(code="TOO_LATE", message="gone")
        with self.lock:
            self.undone.append(call.index)
            self.keys[call.idempotency_key] += 1
        return StepDone(outputs={"value": 1})


@pytest.mark.parametrize(("kind", "back"), [("keyed", "keyed"), ("unsafe", "unsafe")])
def test_items_are_undone_the_last_first_and_once(acme: Tenant, kind: str, back: str) -> None:
    items = Undone(10, {"concurrency": 1, "chunk_size": 4})
    run_id = start(acme, drawn(kind, back))
    with worker(items.runner()):
        run = finished(acme, run_id)
    assert (run.state, error_of(run)["code"]) == ("FAILED", "NO"), run.error
    assert items.undone == list(range(9, -1, -1))
    history = types(acme, run_id)
    assert history.count("chunk.completed rows") == 3 + 3
    assert history[-2:] == ["step.compensated rows", "run.failed"]
    with scope.tenant(acme.id):
        assert set(MapItem.objects.values_list("undone", flat=True)) == {True}
    assert verify_tenant(acme.id) == []


def test_items_of_a_map_that_failed_are_undone_too(acme: Tenant) -> None:
    items = Undone(6, {"concurrency": 1, "chunk_size": 2})
    items.bad = frozenset({3})
    failing = drawn()
    failing["nodes"][0]["onError"] = [{"do": "compensate"}]
    run_id = start(acme, failing)
    with worker(items.runner()):
        run = finished(acme, run_id)
    assert (run.state, error_of(run)["code"]) == ("FAILED", "MAP_ITEM_FAILED")
    assert sorted(items.undone) == [0, 1, 2], "what failed did nothing"
    assert verify_tenant(acme.id) == []


def test_what_cannot_be_undone_is_named(acme: Tenant) -> None:
    items = Undone(4, {"concurrency": 1, "chunk_size": 2})
    items.refused = {2}
    run_id = start(acme, drawn())
    with worker(items.runner()):
        run = finished(acme, run_id)
    assert error_of(run)["code"] == "COMPENSATION_FAILED"
    assert error_of(run)["details"]["notUndone"][0] == "rows[2]/one"
    assert items.undone == [3], "a compensation that fails forbids to go on"
    lenient = Undone(4, {"concurrency": 1, "chunk_size": 2})
    lenient.refused = {2}
    run_id = start(acme, drawn(onError="continue"))
    with worker(lenient.runner()):
        run = finished(acme, run_id)
    assert error_of(run)["details"] == {"notUndone": ["rows[2]/one"], "count": 1}
    assert lenient.undone == [3, 1, 0]
    assert verify_tenant(acme.id) == []


@pytest.mark.parametrize("back", ["keyed", "unsafe"])
def test_a_worker_that_leaves_in_the_middle_is_followed_by_one_that_goes_on(
    acme: Tenant, back: str
) -> None:
    items = Undone(6, {"concurrency": 1, "chunk_size": 6})
    reached = threading.Event()

    def held(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        outcome = items(call, stop, logs)
        if call.path == "rows[3]/one/back" and not reached.is_set():
            reached.set()
            stop.wait(seconds=0.5)
        return outcome

    run_id = start(acme, drawn("keyed", back))
    with worker(ScriptedRunner(held)):
        assert reached.wait(20)
    with worker(ScriptedRunner(held)):
        run = finished(acme, run_id, seconds=40)
    assert (run.state, error_of(run)["code"]) == ("FAILED", "NO"), run.error
    assert Counter(items.undone) == Counter(range(6)), "each once"
    assert verify_tenant(acme.id) == []
