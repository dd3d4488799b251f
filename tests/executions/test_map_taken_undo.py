"""What a map did that another run has taken over is undone where it stands, once in the lineage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from apps.executions.actions import retry_run, start_run
from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOpens,
    StepOutcome,
    StepWaits,
)
from apps.executions.errors import EffectsNeedConsent
from apps.executions.models import MapChunk, MapItem, Run, RunEvent
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from apps.workflows.graph.mapping import MapOpening
from apps.workflows.graph.waits import Wait, WaitKind
from tests.executions.test_lineage import asked, ran
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_nodes"),
]
TOTAL = 5


@dataclass
class World:
    """What was done and undone outside; `middle` fails at first, `end` always."""

    is_good: bool = False
    done: Counter[int] = field(default_factory=Counter)
    undone: list[int] = field(default_factory=list)

    def __call__(self, call: StepCall, *_: object) -> StepOutcome:
        match call.node.id:
            case "rows":
                items: Any = list(range(TOTAL))
                return StepOpens(
                    opening=MapOpening(total=TOTAL, items=items, chunk_size=2, concurrency=1)
                )
            case "ask" if call.node.type == "test.waiting":
                wait = Wait(kind=WaitKind.TIMER, seconds=0.02, due={"value": 1})
                return call.given or StepWaits(wait=wait)
            case "one":
                self.done[call.index] += 1
            case "back":
                self.undone.append(call.index)
            case "middle" if not self.is_good:
                return StepFailed(code="BUSY", message="later")
            case "end":
                return StepFailed(code="NO", message="no")
        return StepDone(outputs={"value": call.index})


def drawn(*, parks: bool) -> dict[str, Any]:
    """rows (body: ask → one, undone by back) → middle → end, which has all undone."""
    nodes = [
        a("rows", "each"),
        a("ask", "waiting" if parks else "pure", parentId="rows"),
        a("one", "keyed", parentId="rows", compensation="back"),
        a("back", "keyed", parentId="rows"),
        a("middle"),
        a("end", onError=[{"do": "compensate"}]),
    ]
    links = [
        *(to("rows.item", "ask"), to("ask", "one"), to("one", "rows.result")),
        *(to("rows.results", "middle"), to("middle", "end")),
    ]
    return raw(nodes, links)


def two(tenant: Tenant, world: World, *, parks: bool) -> tuple[Run, Run]:
    """A run that failed behind its map, and what repeats it, not begun."""
    with scope.tenant(tenant.id, actor=tenant.owner):
        workflow = create_workflow(actor=tenant.owner, document=drawn(parks=parks))
        run = start_run(actor=tenant.owner, workflow_id=workflow.pk)
    first = ran(tenant, run, world)
    assert (first.error or {})["code"] == "BUSY"
    world.is_good = True
    return first, asked(tenant, retry_run, run_id=first.pk)


@pytest.mark.parametrize("parks", [False, True])
def test_what_a_map_did_in_another_run_is_undone(acme: Tenant, *, parks: bool) -> None:
    world = World()
    first, again = two(acme, world, parks=parks)
    second = ran(acme, again, world)
    assert (second.state, (second.error or {})["code"]) == ("FAILED", "NO"), second.error
    assert world.undone == [4, 3, 2, 1, 0]
    assert set(world.done.values()) == {1}
    with scope.tenant(acme.id):
        rows = MapItem.objects.filter(run_id=first.pk)
        assert set(rows.values_list("undone", flat=True)) == {True}
        assert not MapItem.objects.filter(run_id=second.pk).exists()
    assert verify_tenant(acme.id) == []


@pytest.mark.parametrize("parks", [False, True])
def test_what_another_run_has_undone_is_not_undone_again(acme: Tenant, *, parks: bool) -> None:
    world = World()
    first, again = two(acme, world, parks=parks)
    ran(acme, again, world)
    third = ran(acme, asked(acme, retry_run, run_id=first.pk), world)
    assert (third.error or {})["code"] == "NO", third.error
    assert Counter(world.undone) == Counter(range(TOTAL))
    assert verify_tenant(acme.id) == []


def test_what_another_run_has_begun_with_is_named(acme: Tenant) -> None:
    world = World()
    first, again = two(acme, world, parks=False)
    with scope.tenant(acme.id):
        MapItem.objects.filter(run_id=first.pk, idx=3).update(undoer=first.pk)
    error: Any = ran(acme, again, world).error
    assert error["code"] == "COMPENSATION_FAILED"
    assert error["details"]["notUndone"] == ["rows[3]"]
    assert world.undone == [4, 2, 1, 0]


@pytest.mark.parametrize("parks", [False, True])
def test_what_nobody_knows_any_more_is_named(acme: Tenant, *, parks: bool) -> None:
    world = World()
    first, again = two(acme, world, parks=parks)
    with scope.tenant(acme.id):
        for kind in (MapItem, MapChunk, RunEvent):
            kind.objects.filter(run_id=first.pk).delete()
        Run.objects.filter(pk=first.pk).delete()
    error: Any = ran(acme, again, world).error
    assert error["code"] == "COMPENSATION_FAILED"
    named = [f"rows[{index}]" for index in range(TOTAL)]
    assert sorted(error["details"]["notUndone"]) == named
    assert not world.undone


def test_a_map_of_which_nobody_has_said_where_it_is_from_is_named(acme: Tenant) -> None:
    world = World()
    _, again = two(acme, world, parks=False)
    with scope.tenant(acme.id):
        RunEvent.objects.filter(run_id=again.pk, type="step.given").update(body={})
    error: Any = ran(acme, again, world).error
    assert (error["code"], error["details"]["notUndone"]) == ("COMPENSATION_FAILED", ["rows"])
    assert not world.undone


def test_a_map_that_is_undone_is_done_again_by_who_repeats_the_run(acme: Tenant) -> None:
    world = World()
    _, again = two(acme, world, parks=False)
    second = ran(acme, again, world)
    with pytest.raises(EffectsNeedConsent):
        asked(acme, retry_run, run_id=second.pk)
