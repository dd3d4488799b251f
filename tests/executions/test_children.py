"""Steps that are runs: who starts them, how often, what their end means, on the real database."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from apps.executions import asks, relay
from apps.executions.actions import Again, cancel_run, retry_run
from apps.executions.engine.ports import StepCall, StepFailed, StepOutcome
from apps.executions.errors import EffectsNeedConsent
from apps.executions.models import Ask, InboxMessage, OpenChild, OutboxEntry, Run, RunEvent
from apps.tenancy import scope
from apps.tenancy.models import AuditRow, EnvironmentKind
from tests.executions.families import Family, call
from tests.executions.world import types
from tests.factories.graphs import a, to
from tests.factories.tenancy import Tenant

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_nodes"),
]


def test_a_step_starts_a_run_and_takes_its_result(acme: Tenant) -> None:
    family = Family(acme)
    run_id = family.start(family.parent(family.child()))
    with family.working():
        run = family.ended(run_id)
    assert run.state == "SUCCEEDED", run.error
    (child,) = family.children(run_id)
    assert (child.parent_kind, child.parent_path, child.parent_attempt) == ("STEP", "sub", 1)
    assert (child.depth, child.lineage_id, child.trigger) == (1, child.pk, "EVENT")
    assert child.started_by_id == run.started_by_id
    assert run.result == {"after": {"value": "after"}}
    with scope.tenant(acme.id):
        assert not OpenChild.objects.exists()
        assert not AuditRow.objects.filter(target=f"Run:{child.pk}").exists()
    assert types(acme, run_id)[1:] == [
        "run.started",
        "step.waiting sub",
        "step.completed sub",
        "step.completed after",
        "run.succeeded",
    ]


def test_a_child_that_fails_fails_its_step_with_its_code(acme: Tenant) -> None:
    def fails(call: StepCall) -> StepOutcome | None:
        return StepFailed(code="NO_STOCK", message="None left.") if call.path == "work" else None

    family = Family(acme, fails)
    run_id = family.start(family.parent(family.child()))
    with family.working():
        run = family.ended(run_id)
    (child,) = family.children(run_id)
    assert (run.state, child.state) == ("FAILED", "FAILED")
    error: Any = run.error
    assert (error["code"], error["nodeId"]) == ("NO_STOCK", "sub")
    assert "None left." in error["message"]
    assert error["details"]["run"] == str(child.pk)


def test_a_retry_of_the_step_is_a_new_child(acme: Tenant) -> None:
    seen: list[uuid.UUID] = []

    def fails_once(call: StepCall) -> StepOutcome | None:
        if call.path == "work":
            seen.append(call.run_id)
            if len(seen) == 1:
                return StepFailed(code="HTTP_503", message="Busy.")
        return None

    family = Family(acme, fails_once)
    again = {"maxAttempts": 2, "backoffSeconds": 0}
    run_id = family.start(family.parent(family.child(), retry=again))
    with family.working():
        assert family.ended(run_id).state == "SUCCEEDED"
    first, second = family.children(run_id)
    assert [one.parent_attempt for one in (first, second)] == [1, 2]
    assert seen == [first.pk, second.pk]


def test_a_canceled_run_takes_its_children_with_it(acme: Tenant) -> None:
    family = Family(acme)
    run_id = family.start(family.parent(family.parent(family.endless())))
    with family.working():
        family.until(run_id, lambda run: bool(family.children(run_id)))
        (child,) = family.children(run_id)
        family.until(child.pk, lambda run: bool(family.children(child.pk)))
        (grandchild,) = family.children(child.pk)
        with scope.tenant(acme.id, actor=acme.owner):
            cancel_run(actor=acme.owner, run_id=run_id)
        for one in (run_id, child.pk, grandchild.pk):
            assert family.ended(one).state == "CANCELED"


def test_a_child_that_is_canceled_fails_the_step(acme: Tenant) -> None:
    family = Family(acme)
    run_id = family.start(family.parent(family.child()))
    with family.working():
        family.until(run_id, lambda run: run.state == "WAITING")
    family.pass_on()
    (child,) = family.children(run_id)
    with scope.tenant(acme.id, actor=acme.owner):
        cancel_run(actor=acme.owner, run_id=child.pk)
    with family.working():
        error: Any = family.ended(run_id).error
    assert error["code"] == "SUBWORKFLOW_CANCELED"


def test_the_end_of_the_time_cancels_the_child(acme: Tenant) -> None:
    family = Family(acme)
    run_id = family.start(family.parent(family.endless(), given={"deadline_seconds": 0.2}))
    with family.working():
        error: Any = family.ended(run_id).error
        assert error["code"] == "WAIT_TIMEOUT"
        (child,) = family.children(run_id)
        assert family.ended(child.pk).state == "CANCELED"


def test_a_worker_that_dies_between_asking_and_starting_starts_one(acme: Tenant) -> None:
    family = Family(acme)
    run_id = family.start(family.parent(family.child()))
    with family.working():
        family.until_asked(run_id)
    assert family.children(run_id) == []
    with scope.tenant(acme.id):
        assert Ask.objects.filter(run_id=run_id, child_at__isnull=False).count() == 1
        assert (asks.ask_due(), asks.ask_due()) == (1, 0)
    with family.working():
        assert family.ended(run_id).state == "SUCCEEDED"
    assert len(family.children(run_id)) == 1


def test_an_end_that_nobody_was_told_of_is_passed_on(acme: Tenant) -> None:
    family = Family(acme)
    run_id = family.start(family.parent(family.child()))
    with family.working():
        family.until_asked(run_id)
        with scope.tenant(acme.id):
            asks.ask_due()
        (child,) = family.children(run_id)
        family.until_ended(child.pk)
    with scope.tenant(acme.id):
        # A process of the release before has announced it, to nobody who answers.
        OutboxEntry.objects.filter(run_id=child.pk).delete()
        OpenChild.objects.update(due_at=child.created_at)
    with family.working():
        assert family.ended(run_id).state == "SUCCEEDED"
    assert types(acme, run_id).count("step.completed sub") == 1


def test_an_end_is_answered_once(acme: Tenant) -> None:
    family = Family(acme)
    run_id = family.start(family.parent(family.child()))
    with family.working():
        family.until_asked(run_id)
        with scope.tenant(acme.id):
            asks.ask_due()
        (child,) = family.children(run_id)
        family.until_ended(child.pk)
    family.pass_on()
    with scope.tenant(acme.id):
        OpenChild.objects.update(due_at=child.created_at)
    family.pass_on()
    with scope.tenant(acme.id):
        assert relay.relay_due() == 0
        assert InboxMessage.objects.filter(run_id=run_id, kind="answer").count() == 1


@pytest.mark.parametrize("pinned", [True, False])
def test_pinned_is_for_ever_and_tracking_takes_what_stands(acme: Tenant, *, pinned: bool) -> None:
    family = Family(acme)
    child = family.child()
    first = family.deploy(child)
    parent = family.parent(child, given={"version": first.version} if pinned else {})
    family.deploy(parent)
    family.redraw(child, a("other"))
    second = family.deploy(child)
    run_id = family.start(parent, environment=EnvironmentKind.PRODUCTION)
    with family.working():
        assert family.ended(run_id).state == "SUCCEEDED"
    (ran,) = family.children(run_id)
    assert ran.version_id == (first if pinned else second).pk
    assert ran.environment == "PRODUCTION"


def test_a_workflow_that_calls_itself_ends_at_a_bound(acme: Tenant) -> None:
    family = Family(acme)
    drawn = family.draw(a("x"))
    family.redraw(drawn, call(drawn.pk))
    run_id = family.start(drawn)
    with family.working():
        error: Any = family.ended(run_id, seconds=60).error
    assert error["code"] == "SUBWORKFLOW_TOO_DEEP"
    with scope.tenant(acme.id):
        assert Run.objects.count() == 17


def test_a_retry_of_the_parent_asks_before_it_calls_again(acme: Tenant) -> None:
    family = Family(acme, lambda call: _no(call, "after"))
    run_id = family.start(family.parent(family.child()))
    with family.working():
        assert family.ended(run_id).state == "FAILED"
    with scope.tenant(acme.id, actor=acme.owner):
        again = retry_run(actor=acme.owner, run_id=run_id)
        assert not Run.objects.children(again.pk).exists(), "what succeeded is kept"
        cancel_run(actor=acme.owner, run_id=again.pk)
    with family.working():
        family.ended(again.pk)
    with scope.tenant(acme.id, actor=acme.owner), pytest.raises(EffectsNeedConsent) as caught:
        retry_run(actor=acme.owner, run_id=run_id, checkpoint=2)
    assert [effect.path for effect in caught.value.effects] == ["sub"]


def _no(call: StepCall, path: str) -> StepOutcome | None:
    return StepFailed(code="NO", message="no") if call.path == path else None


def _standing_in(family: Family, **configuration: Any) -> Any:
    """`pay` fails; the workflow drawn from `configuration` stands in."""
    takes = [{"name": "failure"}, {"name": "value"}]
    other = family.draw(a("cash"), parameters=takes, **configuration)
    rules = [{"do": "fallback", "with": {"workflow": str(other.pk)}}, {"do": "continue"}]
    nodes = (a("first"), a("pay", "keyed", onError=rules), a("after"))
    links = [to("first", "pay"), to("pay", "after")]
    return family.draw(*nodes, links=links)


def test_a_workflow_stands_in_for_a_step_that_failed(acme: Tenant) -> None:
    family = Family(acme, lambda call: _no(call, "pay"))
    run_id = family.start(_standing_in(family))
    with family.working():
        run = family.ended(run_id)
    assert (run.state, run.error) == ("SUCCEEDED", None)
    (child,) = family.children(run_id)
    assert (child.parent_kind, child.parent_path) == ("FALLBACK", "pay")
    assert child.parameters["value"] == "first"
    assert child.parameters["failure"]["code"] == "NO"
    with scope.tenant(acme.id):
        (done,) = RunEvent.objects.filter(run_id=run_id, path="pay", type="step.completed")
    assert done.body is not None
    assert done.body["outputs"] == {"value": "cash"}


def test_where_the_one_that_stands_in_fails_the_next_rule_decides(acme: Tenant) -> None:
    family = Family(acme, lambda call: _no(call, "pay") or _no(call, "cash"))
    run_id = family.start(_standing_in(family))
    with family.working():
        assert family.ended(run_id).state == "PARTIAL"
    assert len(family.children(run_id)) == 1


def test_a_workflow_that_cannot_stand_in_leaves_the_failure(acme: Tenant) -> None:
    family = Family(acme, lambda call: _no(call, "pay"))
    drawn = _standing_in(family)
    run_id = family.start(drawn)
    family.archive_all(but=drawn)
    with family.working():
        assert family.ended(run_id).state == "PARTIAL"
    assert family.children(run_id) == []


@pytest.mark.parametrize("touches", [True, False])
def test_a_child_that_failed_after_an_effect_is_listed_too(acme: Tenant, *, touches: bool) -> None:
    family = Family(acme, lambda call: _no(call, "end"))
    inner = family.child() if touches else family.draw(a("end"))
    run_id = family.start(family.parent(family.parent(inner)))
    with family.working():
        assert family.ended(run_id).state == "FAILED"
    with scope.tenant(acme.id, actor=acme.owner):
        if touches:
            with pytest.raises(EffectsNeedConsent) as caught:
                retry_run(actor=acme.owner, run_id=run_id)
            assert [effect.path for effect in caught.value.effects] == ["sub"]
        again = retry_run(actor=acme.owner, run_id=run_id, again=Again(confirmed=("sub",)))
    with family.working():
        assert family.ended(again.pk).state == "FAILED"
    assert len(family.children(again.pk)) == 1
