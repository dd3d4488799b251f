"""What items of maps may do since they are runs: ask people, call workflows; what they refuse."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from apps.executions import crashpoints
from apps.executions.actions import Again, cancel_run, fork_run, pause_run, retry_run
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOpens, StepWaits
from apps.executions.engine.ports import StepOutcome as Outcome
from apps.executions.errors import EffectsNeedConsent, RunRefused
from apps.executions.models import MapItem, Run
from apps.executions.verify import verify_tenant
from apps.executions.worker import tending
from apps.nodes.control.approval import Parameters, approval
from apps.nodes.testing import FakeContext
from apps.tenancy import scope
from apps.versions.actions import decide_approval
from apps.versions.models import Approval
from apps.workflows.graph.mapping import MapOpening, Policy
from apps.workflows.models import Workflow
from tests.executions.families import Family, call
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_nodes"),
]


def opens(call: StepCall, *, items: Any = (0, 1, 2), **settings: Any) -> Outcome | None:
    """The map's answer; None for another step."""
    if call.node.id != "rows":
        return None
    like = {"total": len(items), "items": list(items), "chunk_size": 2, **settings}
    return StepOpens(opening=MapOpening(**like))


def around(family: Family, inside: dict[str, Any], port: str = "value") -> Workflow:
    """rows (body: that) → after."""
    name = inside["id"]
    links = [
        to(f"{name}.{port}", "rows.result"),
        to("rows.results", "after"),
    ]
    return family.draw(a("rows", "each"), {**inside, "parentId": "rows"}, a("after"), links=links)


def items_of(family: Family, run_id: uuid.UUID) -> list[Run]:
    return sorted(family.children(run_id), key=lambda one: one.parent_path or "")


def test_each_item_is_approved_for_itself(acme: Tenant) -> None:
    def ask(call: StepCall) -> Outcome | None:
        if call.node.id != "ask":
            return opens(call)
        given = Parameters.read({"title": f"Pay {call.item}?"})
        context = FakeContext(work_directory=Path())
        return StepWaits(wait=approval(given, {"value": call.item}, context))

    family = Family(acme, ask)
    asked = {"id": "ask", "type": "control.approval", "configuration": {"title": "Pay?"}}
    run_id = family.start(around(family, asked, "approved"))
    with family.working():
        family.until(run_id, lambda _: len(_questions(acme)) == 3)
        for question in _questions(acme):
            is_good = question.title != "Pay 1?"
            with scope.tenant(acme.id, actor=acme.owner):
                decide_approval(
                    actor=acme.owner, approval_id=question.pk, approve=is_good, comment="So."
                )
        run = family.ended(run_id)
    assert run.state == "SUCCEEDED", run.error
    with scope.tenant(acme.id):
        made = dict(MapItem.objects.values_list("idx", "output"))
    assert [bool(made[n]) for n in range(3)] == [True, False, True], "by `rejected` nothing came"
    assert verify_tenant(acme.id) == []


def _questions(tenant: Tenant) -> list[Approval]:
    with scope.tenant(tenant.id):
        return list(Approval.objects.waiting().order_by("title"))


def test_each_item_calls_a_workflow(acme: Tenant) -> None:
    family = Family(acme, opens)
    run_id = family.start(around(family, call(family.child().pk), "result"))
    with family.working():
        run = family.ended(run_id)
    assert run.state == "SUCCEEDED", run.error
    items = items_of(family, run_id)
    assert [one.parent_path for one in items] == ["rows[0]", "rows[1]", "rows[2]"]
    for item in items:
        (below,) = family.children(item.pk)
        assert (below.parent_kind, below.parent_path, below.depth) == ("STEP", "sub", 2)
        assert item.result == {"result": below.result}
    assert verify_tenant(acme.id) == []


def test_a_canceled_run_takes_what_its_items_called_with_it(acme: Tenant) -> None:
    family = Family(acme, opens)
    run_id = family.start(around(family, call(family.endless().pk), "result"))
    with family.working():
        family.until(run_id, lambda _: _called(family, run_id) == 3)
        with scope.tenant(acme.id, actor=acme.owner):
            cancel_run(actor=acme.owner, run_id=run_id)
        assert family.ended(run_id).state == "CANCELED"
        below = [one for item in items_of(family, run_id) for one in family.children(item.pk)]
        for one in below:
            assert family.ended(one.pk).state == "CANCELED"
    assert verify_tenant(acme.id) == []


def _called(family: Family, run_id: uuid.UUID) -> int:
    return sum(len(family.children(item.pk)) for item in family.children(run_id))


def test_what_a_failed_item_called_is_called_again_by_consent_only(acme: Tenant) -> None:
    bad = {1}

    def fails(call: StepCall) -> Outcome | None:
        if call.node.id == "late" and call.index in bad:
            return StepFailed(code="NO", message="no")
        return opens(call, policy=Policy.COLLECT)

    family = Family(acme, fails)
    child = family.child()
    drawn = family.draw(
        a("rows", "each"),
        {**call(child.pk), "parentId": "rows"},
        a("late", parentId="rows"),
        links=[to("sub.result", "late"), to("late", "rows.result")],
    )
    run_id = family.start(drawn)
    with family.working():
        assert family.ended(run_id).state == "FAILED"
    bad.clear()
    with scope.tenant(acme.id, actor=acme.owner), pytest.raises(EffectsNeedConsent) as refused:
        retry_run(actor=acme.owner, run_id=run_id)
    (effect,) = refused.value.effects
    assert (effect.path, effect.node_id, effect.times) == ("rows", "sub", 1)
    with scope.tenant(acme.id, actor=acme.owner):
        again = retry_run(actor=acme.owner, run_id=run_id, again=Again(confirmed=["rows"])).pk
    with family.working():
        assert family.ended(again).state == "SUCCEEDED"
    assert [one.parent_path for one in family.children(again)] == ["rows[1]"]
    assert verify_tenant(acme.id) == []


def test_an_item_is_asked_for_by_the_run_it_belongs_to(acme: Tenant) -> None:
    family = Family(acme, opens)
    run_id = family.start(around(family, call(family.child().pk), "result"))
    with family.working():
        family.ended(run_id)
    item = family.children(run_id)[0]
    with scope.tenant(acme.id, actor=acme.owner):
        for ask in (retry_run, pause_run):
            with pytest.raises(RunRefused) as refused:
                ask(actor=acme.owner, run_id=item.pk)
            assert refused.value.reason == "RUN_IS_AN_ITEM"
            assert str(run_id) in refused.value.message
        with pytest.raises(RunRefused):
            fork_run(actor=acme.owner, run_id=item.pk, path="sub")


def test_an_item_that_is_canceled_has_failed(acme: Tenant) -> None:
    family = Family(acme, lambda one: opens(one, items=[0], policy=Policy.COLLECT, tolerated=None))
    run_id = family.start(around(family, call(family.endless().pk), "result"))
    with family.working():
        family.until(run_id, lambda _: _called(family, run_id) == 1)
        (item,) = family.children(run_id)
        with scope.tenant(acme.id, actor=acme.owner):
            cancel_run(actor=acme.owner, run_id=item.pk)
        assert family.ended(run_id).state == "SUCCEEDED"
    with scope.tenant(acme.id):
        (row,) = MapItem.objects.all()
    assert (row.state, row.error["code"]) == ("failed", "ITEM_CANCELED")


@pytest.mark.parametrize(
    ("items", "code"), [(["x" * 40_000], "ITEM_TOO_LARGE"), ([0], "ITEM_TOO_DEEP")]
)
def test_an_item_that_cannot_be_a_run_fails(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, items: list[Any], code: str
) -> None:
    if code == "ITEM_TOO_DEEP":
        monkeypatch.setattr(tending, "DEPTH_LIMIT", 0)
    family = Family(
        acme, lambda one: opens(one, items=items, policy=Policy.COLLECT, tolerated=None)
    )
    run_id = family.start(around(family, call(family.child().pk), "result"))
    with family.working():
        assert family.ended(run_id).state == "SUCCEEDED"
    assert family.children(run_id) == []
    with scope.tenant(acme.id):
        (row,) = MapItem.objects.all()
    assert (row.state, row.error["code"]) == ("failed", code)
    assert verify_tenant(acme.id) == []


def test_of_items_that_workers_die_with_only_the_next_is_given_up(acme: Tenant) -> None:
    struck: list[str] = []

    def strike(name: str) -> None:
        if name == "runs.begun" and len(struck) < 4:
            struck.append(name)
            raise RuntimeError("as if the worker had died")

    settings = {"chunk_size": 4, "policy": Policy.COLLECT, "tolerated": 1}
    family = Family(acme, lambda one: opens(one, items=range(4), **settings))
    run_id = family.start(around(family, call(family.child().pk), "result"))
    crashpoints.arm(strike)
    try:
        with family.working():
            assert family.ended(run_id).state == "SUCCEEDED"
    finally:
        crashpoints.arm(None)
    with scope.tenant(acme.id):
        rows = MapItem.objects.order_by("idx")
        found = [(row.idx, row.state, row.error and row.error["code"]) for row in rows]
    assert found == [(0, "failed", "WORKER_LOST"), *((n, "done", None) for n in (1, 2, 3))]
    assert verify_tenant(acme.id) == []


def test_an_item_whose_result_is_too_large_has_failed(acme: Tenant) -> None:
    def much(call: StepCall) -> Outcome | None:
        if call.node.id == "one":
            return StepDone(outputs={"value": "x" * 30_000, "other": "y" * 2_000})
        if call.node.id == "two":
            return StepDone(outputs={"value": "x" * 30_000})
        if call.node.id == "three":
            return StepDone(outputs={"value": "x" * 30_000})
        return opens(call, items=[0], policy=Policy.COLLECT, tolerated=None)

    family = Family(acme, much)
    inside = [a(name, "waiting", parentId="rows") for name in ("one", "two", "three")]
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = raw([a("rows", "each"), *inside, a("after")], [to("rows.results", "after")])
    run_id = family.start(family.draw(*drawn["nodes"], links=drawn["connections"]))
    with family.working():
        assert family.ended(run_id).state == "SUCCEEDED"
    with scope.tenant(acme.id):
        (row,) = MapItem.objects.all()
    assert (row.state, row.error["code"]) == ("failed", "OUTPUT_TOO_LARGE")
