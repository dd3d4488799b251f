"""What failed runs start: once, with the facts, and never in a circle."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from apps.executions.actions import set_error_handler
from apps.executions.actions.handling import default_handler, handle
from apps.executions.engine.ports import StepCall, StepFailed, StepOutcome
from apps.executions.models import OwedHandler, Run
from apps.kit.clock import now
from apps.kit.errors import Forbidden, NotFound
from apps.tenancy import limits, scope
from apps.tenancy.actors import Role
from apps.tenancy.limits import Metric
from apps.tenancy.models import AuditRow
from apps.workflows.actions import archive_workflow
from apps.workflows.errors import WorkflowIsArchived
from apps.workflows.models import Workflow
from tests.executions.families import Family, call
from tests.factories import tenancy as make
from tests.factories.graphs import a
from tests.factories.tenancy import Tenant

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_nodes"),
]
TAKES = [{"name": name} for name in ("failure", "errorCode", "url")]


def breaks(call: StepCall) -> StepOutcome | None:
    if call.path.startswith("bad"):
        return StepFailed(code="NO_STOCK", message="None left.")
    return None


def chosen(tenant: Tenant, workflow: Workflow | None) -> None:
    with scope.tenant(tenant.id, actor=tenant.owner):
        key = None if workflow is None else workflow.pk
        set_error_handler(actor=tenant.owner, workflow_id=key)


def audited(tenant: Tenant, action: str) -> list[Any]:
    with scope.tenant(tenant.id):
        return [row.after for row in AuditRow.objects.filter(action=action).order_by("pk")]


@pytest.mark.parametrize("own", [True, False])
def test_the_handler_starts_once_with_the_facts(acme: Tenant, *, own: bool) -> None:
    family = Family(acme, breaks)
    handler = family.draw(a("tell"), parameters=TAKES)
    named = {"errorHandler": {"workflow": str(handler.pk)}} if own else {}
    if not own:
        chosen(acme, handler)
    run_id = family.start(family.draw(a("bad"), **named))
    with family.working():
        assert family.ended(run_id).state == "FAILED"
        family.until(run_id, lambda run: bool(family.children(run_id)))
        (child,) = family.children(run_id)
        assert family.ended(child.pk).state == "SUCCEEDED"
    with scope.tenant(acme.id):
        handle(run_id)  # A second announcement changes nothing.
    assert [one.pk for one in family.children(run_id)] == [child.pk]
    assert (child.parent_kind, child.workflow_id, child.depth) == ("HANDLER", handler.pk, 1)
    facts = child.parameters
    assert facts["errorCode"] == facts["failure"]["errorCode"] == "NO_STOCK"
    assert (facts["failure"]["runId"], facts["failure"]["failedStep"]) == (str(run_id), "bad")
    assert facts["url"].endswith(f"/t/acme/runs/{run_id}/")


def test_a_handler_that_fails_starts_nothing(acme: Tenant) -> None:
    """Neither itself, nor for what it calls: the whole tree below it is left alone."""
    family = Family(acme, breaks)
    handler = family.draw(call(family.draw(a("bad_too")).pk))
    chosen(acme, handler)
    run_id = family.start(family.draw(a("bad")))
    with family.working():
        family.until(run_id, lambda run: bool(family.children(run_id)))
        (child,) = family.children(run_id)
        assert family.ended(child.pk).state == "FAILED"
    family.pass_on()
    with scope.tenant(acme.id):
        assert Run.objects.count() == 3


def test_a_run_of_the_handler_itself_is_not_handled(acme: Tenant) -> None:
    family = Family(acme, breaks)
    handler = family.draw(a("bad"))
    chosen(acme, handler)
    run_id = family.start(handler)
    with family.working():
        assert family.ended(run_id).state == "FAILED"
    family.pass_on()
    assert family.children(run_id) == []


def test_a_child_is_its_parents_unless_its_document_names_a_handler(acme: Tenant) -> None:
    family = Family(acme, breaks)
    everybodys, its = family.draw(a("tell")), family.draw(a("note"))
    chosen(acme, everybodys)
    named = {"errorHandler": {"workflow": str(its.pk)}}
    for child, handlers in ((family.draw(a("bad")), []), (family.draw(a("bad"), **named), [its])):
        run_id = family.start(family.draw(call(child.pk, onError="continue")))
        with family.working():
            assert family.ended(run_id).state == "PARTIAL"
        family.pass_on()
        (below,) = family.children(run_id)
        started = [one.workflow_id for one in family.children(below.pk)]
        assert started == [one.pk for one in handlers]


def test_a_handler_that_cannot_start_is_on_record(acme: Tenant) -> None:
    family = Family(acme, breaks)
    handler = family.draw(a("tell"), parameters=[{"name": "what", "required": True}])
    chosen(acme, handler)
    run_id = family.start(family.draw(a("bad")))
    with family.working():
        assert family.ended(run_id).state == "FAILED"
    family.pass_on()
    assert family.children(run_id) == []
    (refused,) = audited(acme, "error_handler.refuse")
    assert "`what`" in refused["reason"]


def bounded(tenant: Tenant, starts: int) -> None:
    with scope.tenant(tenant.id, actor=tenant.owner):
        limits.set_limits({Metric.STARTS_PER_MINUTE: starts})


def due(tenant: Tenant, **fields: Any) -> None:
    """What is owed is looked at now."""
    with scope.tenant(tenant.id):
        OwedHandler.objects.update(due_at=now() - dt.timedelta(seconds=1), **fields)


def owed() -> list[uuid.UUID]:
    return list(OwedHandler.objects.values_list("run_id", flat=True))


def failed_without_room(family: Family) -> uuid.UUID:
    """A run that has failed, whose handler found no room, by now."""
    chosen(family.tenant, family.draw(a("tell")))
    run_id = family.start(family.draw(a("bad")))
    bounded(family.tenant, 1)
    with family.working():
        assert family.ended(run_id).state == "FAILED"
    family.pass_on()
    return run_id


def test_a_handler_that_finds_no_room_is_owed_until_it_has_started_once(acme: Tenant) -> None:
    family = Family(acme, breaks)
    run_id = failed_without_room(family)
    with scope.tenant(acme.id):
        assert owed() == [run_id]
    assert audited(acme, "error_handler.refuse") == [], "nobody has given up"
    due(acme)
    family.pass_on()
    assert family.children(run_id) == [], "there is no room yet"
    with scope.tenant(acme.id):
        assert OwedHandler.objects.get().due_at > now(), "later again"
    bounded(acme, 100)
    due(acme)
    family.pass_on()
    assert len(family.children(run_id)) == 1
    with scope.tenant(acme.id):
        assert owed() == []
        assert not handle(run_id)  # Announced once more, it is the same run.
    assert len(family.children(run_id)) == 1


def test_what_finds_no_room_for_a_day_is_given_up_and_on_record(acme: Tenant) -> None:
    family = Family(acme, breaks)
    run_id = failed_without_room(family)
    due(acme, since=now() - dt.timedelta(days=1, minutes=1))
    family.pass_on()
    (refused,) = audited(acme, "error_handler.refuse")
    assert "limit of 1" in refused["reason"]
    with scope.tenant(acme.id):
        assert owed() == []
    bounded(acme, 100)
    family.pass_on()
    assert family.children(run_id) == []


def test_the_default_is_an_administrators_and_audited(acme: Tenant, globex: Tenant) -> None:
    family = Family(acme)
    handler, old = family.draw(a("tell")), family.draw(a("old"))
    with scope.tenant(acme.id, actor=acme.owner):
        archive_workflow(actor=acme.owner, workflow_id=old.pk)
    editor = make.member(acme, role=Role.EDITOR)
    foreign = Family(globex).draw(a("theirs")).pk
    for actor, workflow_id, refusal in (
        (editor, handler.pk, Forbidden),
        (acme.owner, foreign, NotFound),
        (acme.owner, uuid.uuid4(), NotFound),
        (acme.owner, old.pk, WorkflowIsArchived),
    ):
        with scope.tenant(acme.id, actor=actor), pytest.raises(refusal):
            set_error_handler(actor=actor, workflow_id=workflow_id)
    for wanted in (handler, handler, None):
        chosen(acme, wanted)
        with scope.tenant(acme.id):
            assert default_handler() == (wanted and wanted.pk)
    with scope.tenant(globex.id):
        assert default_handler() is None
    said = [row["workflow"] for row in audited(acme, "error_handler.set")]
    assert said == [str(handler.pk), None]
