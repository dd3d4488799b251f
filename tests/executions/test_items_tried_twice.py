"""An item that its map tries again: what every attempt of it did is undone, or named."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

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
from apps.executions.models import Run
from apps.executions.verify import verify_tenant
from apps.workflows.graph.mapping import MapOpening
from apps.workflows.graph.waits import Wait, WaitKind
from tests.executions.world import ScriptedRunner, finished, start, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)
SOON = Wait(kind=WaitKind.TIMER, seconds=0.02, due={"value": None})


def drawn(kind: str, first: str) -> dict[str, Any]:
    """rows (body: first → one → two → last) → after; a failure has all undone."""
    nodes = [
        a("rows", "each", onError=[{"do": "compensate"}]),
        a("first", first, parentId="rows"),
        a("one", kind, parentId="rows", compensation="back"),
        a("two", kind, parentId="rows", compensation="back"),
        a("back", "keyed", parentId="rows"),
        a("last", parentId="rows"),
        a("after", onError=[{"do": "compensate"}]),
    ]
    nodes[0]["retry"] = {"maxAttempts": 2, "backoffSeconds": 0}
    links = [
        to("rows.item", "first"),
        to("first", "one"),
        to("one", "two"),
        to("two", "last"),
        to("last", "rows.result"),
        to("rows.results", "after"),
    ]
    return raw(nodes, links)


class Twice:
    """Item 1 fails at `last` in the first attempt of its map; what becomes of it in the second?"""

    def __init__(self, *, again: str) -> None:
        """`again`: the step at which the second attempt fails; `after`: behind the map."""
        self.again = again
        self.attempt = 0
        self.done = Counter[str]()
        self.undone = Counter[str]()

    def __call__(self, call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        name = call.node.id
        if name == "rows":
            self.attempt = call.attempt
            return StepOpens(opening=MapOpening(total=3, items=[0, 1, 2], concurrency=1))
        if call.given is not None:
            return call.given
        if name == self.again and (name == "after" or self._is_bad(call, attempt=2)):
            return StepFailed(code="NO", message="no")
        if name == "last" and self._is_bad(call, attempt=1):
            return StepFailed(code="BUSY", message="later", retryable=True)
        if name == "first" and call.node.type.endswith("waiting"):
            return StepWaits(wait=SOON)
        if call.index == 1 and name in ("one", "two"):
            self.done[name] += 1
        if call.index == 1 and name == "back":
            self.undone[call.path.split("/")[-2].split("]")[-1]] += 1
        return StepDone(outputs={"value": 1})

    def _is_bad(self, call: StepCall, *, attempt: int) -> bool:
        return self.attempt == attempt and call.index == 1


def error_of(run: Run) -> Any:
    return run.error or {}


@pytest.mark.parametrize("first", ["pure", "waiting"])
@pytest.mark.parametrize(
    ("kind", "again", "left"),
    [
        ("keyed", "first", []),
        ("unsafe", "first", []),
        ("keyed", "two", ["rows[1]/two"]),
        ("unsafe", "two", ["rows[1]/two", "rows[1]/one"]),
        ("keyed", "after", []),
        ("unsafe", "after", ["rows[1]/two", "rows[1]/one"]),
    ],
)
def test_what_the_first_attempt_did_is_undone_by_the_second_or_named(
    acme: Tenant, kind: str, again: str, left: list[str], first: str
) -> None:
    items = Twice(again=again)
    run_id = start(acme, drawn(kind, first))
    with worker(ScriptedRunner(items)):
        run = finished(acme, run_id, seconds=40)
    error = error_of(run)
    assert run.state == "FAILED"
    if left:
        assert error["code"] == "COMPENSATION_FAILED", error
        assert error["details"]["notUndone"] == left
    else:
        assert error["code"] == ("NO" if again == "after" else "MAP_ITEM_FAILED"), error
    twice = {"first": [], "two": ["one"], "after": ["one", "two"]}[again]
    assert items.done == Counter(["one", "two", *twice])
    assert items.undone == Counter(["one"] if again == "two" else ["one", "two"])
    assert verify_tenant(acme.id) == []
