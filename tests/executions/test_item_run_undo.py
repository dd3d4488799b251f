"""What items did that are runs of their own is undone with the map's run, each effect once."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from apps.executions.actions import cancel_run, pause_run, resume_run
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
from apps.executions.models import InboxMessage, MapItem, Run, WorkItem
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from apps.workflows.graph.mapping import MapOpening
from apps.workflows.graph.waits import Wait, WaitKind
from tests.executions.test_item_runs import Items, mapped, nested, until
from tests.executions.world import ScriptedRunner, finished, run_of, start, types, worker
from tests.factories.graphs import a, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def drawn(kind: str = "keyed", back: str = "keyed", **fields: Any) -> dict[str, Any]:
    """rows (body: ask → one, undone by back) → after, which fails and has all undone."""
    found = mapped(kind=kind)
    found["nodes"][2]["compensation"] = "back"
    found["nodes"].append(a("back", back, parentId="rows", **fields))
    found["nodes"][3]["onError"] = [{"do": "compensate"}]
    return found


class Undone(Items):
    """Remembers what was undone, in which order, under which keys."""

    def __init__(self, total: int, **settings: Any) -> None:
        super().__init__(total, {"concurrency": 1, **settings})
        self.undone: list[int] = []
        self.back_keys = Counter[str]()
        self.refused: set[int] = set()
        self.waits = False

    def __call__(self, call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "after":
            return StepFailed(code="NO", message="no")
        if call.node.id != "back":
            return super().__call__(call, stop, logs)
        assert call.inputs["value"] == call.index**2
        if call.index in self.refused:
            return StepFailed(code="TOO_LATE", message="gone")
        with self.lock:
            self.undone.append(call.index)
            self.back_keys[call.idempotency_key] += 1
        if self.waits:
            return StepWaits(wait=Wait(kind=WaitKind.TIMER, seconds=0.05, due={"value": 1}))
        return StepDone(outputs={"value": 1})


def error_of(run: Run) -> Any:
    return run.error or {}


def undoers(tenant: Tenant, run_id: uuid.UUID) -> list[Run]:
    with scope.tenant(tenant.id):
        return list(Run.objects.children(run_id).filter(parent_attempt=0))


def words(tenant: Tenant, runs: Sequence[Run]) -> set[str]:
    """What these have been told and have not read."""
    with scope.tenant(tenant.id):
        told = InboxMessage.objects.filter(run_id__in=[run.pk for run in runs])
        return set(told.values_list("kind", flat=True))


@pytest.mark.parametrize(("kind", "back"), [("keyed", "keyed"), ("unsafe", "unsafe")])
def test_runs_of_items_are_undone_the_last_first_and_once(
    acme: Tenant, kind: str, back: str
) -> None:
    items = Undone(5)
    run_id = start(acme, drawn(kind, back))
    with worker(items.runner()):
        run = finished(acme, run_id, seconds=40)
    assert (run.state, error_of(run)["code"]) == ("FAILED", "NO"), run.error
    assert items.undone == [4, 3, 2, 1, 0]
    assert set(items.back_keys) == {
        f"{acme.id}/{run_id}/rows[{n}]/one/back/{n}/1" for n in range(5)
    }
    history = types(acme, run_id)
    assert history.count("chunk.completed rows") == 3 + 3
    assert history[-2:] == ["step.compensated rows", "run.failed"]
    assert {(one.state, one.error) for one in undoers(acme, run_id)} == {("SUCCEEDED", None)}
    with scope.tenant(acme.id):
        assert set(MapItem.objects.values_list("undone", flat=True)) == {True}
        assert not WorkItem.objects.exists()
    assert verify_tenant(acme.id) == []


def test_a_compensation_may_wait_where_items_are_runs(acme: Tenant) -> None:
    items = Undone(3, concurrency=3)
    items.waits = True
    run_id = start(acme, drawn(back="waiting"))
    with worker(items.runner()):
        run = finished(acme, run_id, seconds=40)
    assert (run.state, error_of(run)["code"]) == ("FAILED", "NO"), run.error
    assert sorted(items.undone) == [0, 1, 2]
    assert verify_tenant(acme.id) == []


@pytest.mark.parametrize("is_lenient", [True, False])
def test_what_cannot_be_undone_is_named(acme: Tenant, *, is_lenient: bool) -> None:
    items = Undone(4)
    items.refused = {2}
    run_id = start(acme, drawn(**({"onError": "continue"} if is_lenient else {})))
    with worker(items.runner()):
        run = finished(acme, run_id, seconds=40)
    error = error_of(run)
    assert error["code"] == "COMPENSATION_FAILED"
    assert error["details"]["notUndone"] == ["rows[2]/one", *([] if is_lenient else ["rows"])]
    assert items.undone == ([3, 1, 0] if is_lenient else [3])
    assert verify_tenant(acme.id) == []


def test_an_item_that_failed_is_undone_as_far_as_it_came(acme: Tenant) -> None:
    items = Undone(3)
    failing = drawn()
    failing["nodes"][0]["onError"] = [{"do": "compensate"}]
    failing["nodes"].append(a("last", parentId="rows"))
    failing["connections"].append(to("one", "last"))
    run_id = start(acme, failing)

    def breaks(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "last":
            return StepFailed(code="BAD", message="no good")
        return items(call, stop, logs)

    with worker(ScriptedRunner(breaks)):
        run = finished(acme, run_id, seconds=40)
    assert (run.state, error_of(run)["code"]) == ("FAILED", "MAP_ITEM_FAILED"), run.error
    assert sorted(items.undone) == sorted(items.seen)
    assert verify_tenant(acme.id) == []


def test_maps_inside_items_are_undone(acme: Tenant) -> None:
    deep = nested()
    deep["nodes"][3]["compensation"] = "back"
    deep["nodes"].append(a("back", "keyed", parentId="inner"))
    deep["nodes"][4]["onError"] = [{"do": "compensate"}]
    back = Counter[str]()

    def run(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        match call.node.id:
            case "rows":
                values: Any = [[1, 2], [3, 4, 5]]
            case "inner":
                values = call.inputs["value"]
            case "after":
                return StepFailed(code="NO", message="no")
            case "ask":
                timer = Wait(kind=WaitKind.TIMER, seconds=0.02, due={"value": None})
                return call.given or StepWaits(wait=timer)
            case "back":
                back[call.idempotency_key] += 1
                return StepDone(outputs={"value": 1})
            case _:
                return StepDone(outputs={"value": 1})
        return StepOpens(opening=MapOpening(total=len(values), items=values))

    run_id = start(acme, deep)
    with worker(ScriptedRunner(run)):
        done = finished(acme, run_id, seconds=60)
    assert (done.state, error_of(done)["code"]) == ("FAILED", "NO"), done.error
    leaves = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert back == Counter(
        f"{acme.id}/{run_id}/rows[{i}]/inner[{j}]/leaf/back/{j}/1" for i, j in leaves
    )
    assert verify_tenant(acme.id) == []


def test_a_worker_that_leaves_in_the_middle_is_followed_by_one_that_goes_on(acme: Tenant) -> None:
    items = Undone(4, chunk_size=4)
    reached = threading.Event()

    def held(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        outcome = items(call, stop, logs)
        if call.node.id == "back" and call.index == 2 and not reached.is_set():
            reached.set()
            stop.wait(seconds=0.5)
        return outcome

    run_id = start(acme, drawn())
    with worker(ScriptedRunner(held)):
        assert reached.wait(30)
    with worker(ScriptedRunner(held)):
        run = finished(acme, run_id, seconds=40)
    assert (run.state, error_of(run)["code"]) == ("FAILED", "NO"), run.error
    assert Counter(items.undone) == Counter(range(4)), "each once"
    assert verify_tenant(acme.id) == []


def test_a_run_that_rests_undoes_nothing_and_a_canceled_one_ends(acme: Tenant) -> None:
    items = Undone(4)
    reached = threading.Event()
    go_on = threading.Event()

    def held(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.node.id == "back" and call.index == 3:
            reached.set()
            go_on.wait(20)
        return items(call, stop, logs)

    run_id = start(acme, drawn())
    with worker(ScriptedRunner(held)):
        assert reached.wait(30)
        with scope.tenant(acme.id, actor=acme.owner):
            pause_run(actor=acme.owner, run_id=run_id)
        until(lambda: run_of(acme, run_id).state == "PAUSED")
        # Its thread is in the step: it hears the word when that returns.
        until(lambda: words(acme, undoers(acme, run_id)) == {"pause"})
        go_on.set()
        until(lambda: {one.state for one in undoers(acme, run_id)} == {"PAUSED"})
        until(lambda: items.undone == [3])
        assert verify_tenant(acme.id) == []
        with scope.tenant(acme.id, actor=acme.owner):
            resume_run(actor=acme.owner, run_id=run_id)
        until(lambda: len(items.undone) > 1 or run_of(acme, run_id).finished_at is not None)
        with scope.tenant(acme.id, actor=acme.owner):
            cancel_run(actor=acme.owner, run_id=run_id)
        assert finished(acme, run_id, seconds=40).state in ("CANCELED", "FAILED")
    assert verify_tenant(acme.id) == []
