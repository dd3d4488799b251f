"""Items whose steps give more than can be kept of them: a failure of that item, at once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepOpens,
    StepOutcome,
    StopSignal,
)
from apps.executions.models import MapItem
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from apps.workflows.graph.mapping import MapOpening, Policy
from tests.executions.world import ScriptedRunner, finished, start, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

LONG = 85
PIECE = "x" * 32_000


def drawn(last: str, **first: Any) -> dict[str, Any]:
    """rows (body: first → 85 steps → last) → after."""
    names = ["first", *(f"n{n}" for n in range(LONG)), "last"]
    kinds = ["keyed", *["pure"] * LONG, last]
    nodes = [a("rows", "each", onError=[{"do": "compensate"}])]
    nodes += [a(name, kind, parentId="rows") for name, kind in zip(names, kinds, strict=True)]
    nodes[1] |= first
    nodes += [a("back", "keyed", parentId="rows"), a("after")]
    ends = [to("rows.item", "first"), to("last", "rows.result"), to("rows.results", "after")]
    return raw(nodes, [*(to(*pair) for pair in pairwise(names)), *ends])


class Long:
    """The second item's steps give all that a step may."""

    def __init__(self) -> None:
        self.ran = Counter[tuple[str, int]]()

    def __call__(self, call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "rows":
            opening = MapOpening(total=3, items=[0, 1, 2], policy=Policy.COLLECT, tolerated=1)
            return StepOpens(opening=opening)
        if call.path != "after":
            self.ran[call.node.id, call.index] += 1
        is_long = call.index == 1 and call.node.id.startswith("n")
        return StepDone(outputs={"value": PIECE if is_long else 1})


def test_an_item_that_gives_too_much_before_an_effect_fails_by_itself(acme: Tenant) -> None:
    items = Long()
    run_id = start(acme, drawn("unsafe"))
    with worker(ScriptedRunner(items)):
        run = finished(acme, run_id, seconds=40)
    assert run.state == "SUCCEEDED", run.error
    with scope.tenant(acme.id):
        errors = {row.idx: row.error for row in MapItem.objects.all()}
    assert errors[1]["code"] == "ITEM_HISTORY_TOO_LARGE"
    assert errors[0] is errors[2] is None
    assert items.ran["last", 1] == 0, "what could not be kept did not happen"
    assert items.ran["n0", 1] == 1, "nobody tries in vain"
    assert verify_tenant(acme.id) == []


def test_what_it_did_until_then_is_undone(acme: Tenant) -> None:
    items = Long()
    document = drawn("pure", compensation="back")
    run_id = start(acme, document)

    def strict(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        outcome = items(call, stop, logs)
        if isinstance(outcome, StepOpens):
            return StepOpens(opening=MapOpening(total=3, items=[0, 1, 2], concurrency=1))
        return outcome

    with worker(ScriptedRunner(strict)):
        run = finished(acme, run_id, seconds=40)
    error: Any = run.error
    assert error["code"] == "MAP_ITEM_FAILED", error
    assert error["details"]["first"]["code"] == "ITEM_HISTORY_TOO_LARGE"
    assert (items.ran["back", 0], items.ran["back", 1]) == (1, 1)
    assert verify_tenant(acme.id) == []
