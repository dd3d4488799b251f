"""Steps that wait for people: the question goes down to the approvals, the decision comes back."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from typing import Any, Final

from apps.executions.actions.finding import found
from apps.executions.actions.telling import answer_step
from apps.executions.engine.ports import StepDone, StepFailed
from apps.executions.engine.wait_events import StepAnswer
from apps.executions.events import StepAsks
from apps.executions.models import ParentKind, Run
from apps.kit.errors import Refusal
from apps.kit.graphql.nodes import global_id
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import Membership
from apps.versions.actions import Stage, cancel_approval, request_approval
from apps.versions.models import Approval, ApprovalKind, ApprovalStatus
from apps.workflows.graph.declaration import Json
from apps.workflows.graph.waits import WaitKind
from apps.workflows.models import Workflow

SUBJECT_LIMIT: Final = 200
COMMENT_LIMIT: Final = 500
"""Characters of a comment that travel on in the run; the approval keeps all of it."""
WITHDRAWN: Final = StepFailed(
    code="APPROVAL_WITHDRAWN", message="The question was withdrawn before it was decided."
)


def ask(event: StepAsks) -> None:
    """Request the approval that a step waits for; what cannot be asked fails the step."""
    asked = event.wait.payload
    withdraw(run_id=event.run_id, path=event.path)
    named = list(asked.get("approvers") or ())
    users = _members(named)
    roles = list(asked.get("roles") or ())
    required = int(asked.get("required", 1))
    if named and not roles and len(users) < required:
        message = f"{required} must agree, and {len(users)} of the approvers are members here."
        _answer(event, StepFailed(code="APPROVERS_UNKNOWN", message=message))
        return
    run = found(event.run_id)
    _request(
        event,
        actor=replace(Actor.system(event.tenant_id, "a run"), user_id=run.started_by_id),
        kind=ApprovalKind.RUN_STEP,
        subject=subject_of(event.run_id, event.path),
        title=event.wait.name,
        stages=(Stage(name="decision", required=required),),
        prevent_self_approval=bool(asked.get("separateDuties")),
        form={
            "run": str(event.run_id),
            "path": event.path,
            "attempt": event.attempt,
            "instructions": asked.get("instructions", ""),
            "schema": asked.get("form") or {},
            "workflow": _workflow_name(run),
            "item": run.parent_path if run.parent_kind == ParentKind.ITEM else None,
        },
        audience={"users": users, "roles": roles} if users or roles else None,
        due_at=event.wait.until,
    )


def _workflow_name(run: Run) -> str:
    """What tells people where the question comes from."""
    name = Workflow.objects.filter(pk=run.workflow_id).values_list("name", flat=True).first()
    return str(name or "")


def withdraw(*, run_id: uuid.UUID, path: str | None, attempt: int | None = None) -> None:
    """Cancel what nobody has decided, of a step (until that attempt) or of the run. Repeatable."""
    waiting = Approval.objects.waiting().filter(kind=ApprovalKind.RUN_STEP, form__run=str(run_id))
    if path is not None:
        waiting = waiting.filter(form__path=path)
    if attempt is not None:
        waiting = waiting.filter(form__attempt__lte=attempt)
    actor = Actor.system(scope.current_tenant_id(), "a run")
    for approval in waiting.select_for_update().order_by("pk"):
        cancel_approval(
            actor=actor, approval_id=approval.pk, reason="The run does not wait any more."
        )


def answer(approval_id: uuid.UUID) -> None:
    """A decided approval's word to its run; a step that waits no more is not reached by it."""
    approval: Approval = Approval.objects.with_votes().get(pk=approval_id)
    asked = approval.form
    outcome: StepDone | StepFailed = WITHDRAWN
    if approval.status != ApprovalStatus.CANCELED:
        port = "approved" if approval.status == ApprovalStatus.APPROVED else "rejected"
        outcome = StepDone(
            outputs={port: {"values": asked.get("values") or {}, "decisions": _decisions(approval)}}
        )
    answer_step(
        run_id=uuid.UUID(asked["run"]),
        answer=_told(asked["path"], asked["attempt"], outcome),
    )


def _request(event: StepAsks, **question: Any) -> None:
    try:
        request_approval(**question)
    except Refusal as refusal:
        # It would be refused again, however often it is asked.
        _answer(event, StepFailed(code=refusal.code.value, message=refusal.message))


def _answer(event: StepAsks, outcome: StepFailed) -> None:
    answer_step(
        run_id=event.run_id,
        answer=_told(event.path, event.attempt, outcome),
    )


def _told(path: str, attempt: int, outcome: StepDone | StepFailed) -> StepAnswer:
    return StepAnswer(path=path, attempt=attempt, outcome=outcome, kind=WaitKind.APPROVAL)


def _members(emails: list[Any]) -> list[str]:
    found = Membership.objects.filter(user__email__in=emails).order_by("pk")
    return [str(user_id) for user_id in found.values_list("user_id", flat=True)]


def subject_of(run_id: uuid.UUID, path: str) -> str:
    """The step, by a digest of its path where that is too long: no two steps share a question."""
    step = global_id("NodeRun", f"{run_id}/{path}")
    if len(step) <= SUBJECT_LIMIT:
        return step
    return global_id("NodeRun", f"{run_id}/{hashlib.sha256(path.encode()).hexdigest()}")


def _decisions(approval: Approval) -> list[Json]:
    return [
        {
            "by": vote.voter.display_name,
            "approve": vote.approve,
            "comment": vote.comment[:COMMENT_LIMIT],
            "at": vote.at.isoformat(),
        }
        for vote in approval.votes.all()
    ]
