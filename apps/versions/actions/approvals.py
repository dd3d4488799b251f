"""Asking people and counting their votes: stages, quorum, and the two-person rule."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.kit import events
from apps.kit.clock import now
from apps.kit.errors import NotFound, Refusal
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.policies import require
from apps.tenancy.scope import Scope
from apps.versions import policies
from apps.versions.actions.answers import checked
from apps.versions.errors import AlreadyDecided, NotAsked, OwnRequest
from apps.versions.events import ApprovalDecided, ApprovalRequested
from apps.versions.models import Approval, ApprovalKind, ApprovalStatus, ApprovalVote

MAX_COMMENT = 5_000
MAX_FORM = 32_768
MAX_STAGES = 5


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One round of votes; `required` people must agree."""

    name: str = "review"
    required: int = 1


def request_approval(  # noqa: PLR0913 - a question has this many sides, all named
    *,
    actor: Actor,
    kind: ApprovalKind,
    subject: str,
    title: str,
    stages: tuple[Stage, ...] = (Stage(),),
    by_platform: bool = False,
    prevent_self_approval: bool = True,
    form: Mapping[str, Any] | None = None,
    audience: Mapping[str, Any] | None = None,
    due_at: dt.datetime | None = None,
) -> Approval:
    """Ask; a question about the same subject that still waits is returned instead.

    Whoever calls has checked that `actor` may ask: only the guarded app knows what it guards.
    """
    if not 1 <= len(stages) <= MAX_STAGES or any(stage.required < 1 for stage in stages):
        raise Refusal(f"An approval has 1 to {MAX_STAGES} stages of at least one vote each.")
    with scope.transaction():
        waiting: Approval | None = (
            Approval.objects.waiting().about(subject).filter(kind=kind).first()
        )
        if waiting is not None:
            return waiting
        approval: Approval = Approval.objects.create(
            kind=kind,
            subject=subject,
            title=title[:200],
            stages=[{"name": stage.name, "required": stage.required} for stage in stages],
            by_platform=by_platform,
            prevent_self_approval=prevent_self_approval,
            form=dict(form or {}),
            audience=dict(audience or {}),
            requested_by_id=actor.user_id,
            due_at=due_at,
        )
        _record(actor, approval, "approval.request", {"kind": kind, "subject": subject})
        events.publish(
            ApprovalRequested(
                tenant_id=scope.current_tenant_id(),
                approval_id=approval.pk,
                kind=kind,
                subject=subject,
            )
        )
        return approval


def decide_approval(
    *,
    actor: Actor,
    approval_id: uuid.UUID,
    approve: bool,
    comment: str = "",
    form: Mapping[str, Any] | None = None,
) -> Approval:
    """Cast one vote. A no decides at once; the last yes of the last stage approves.

    Staff come from the platform scope; the vote is written in the scope of the tenant that asked.
    """
    if len(comment) > MAX_COMMENT:
        raise Refusal(f"A comment has at most {MAX_COMMENT} characters.", path=("comment",))
    if not approve and not comment.strip():
        raise Refusal("Say why, so that it can be mended.", path=("comment",))
    if form is not None and len(json.dumps(form)) > MAX_FORM:
        raise Refusal(f"A form has at most {MAX_FORM} characters of JSON.", path=("form",))
    with scope.transaction():
        seen = found(approval_id, actor=actor)
        with _scope_of(seen, actor), scope.transaction():
            approval = _locked(approval_id)
            _check(actor, approval)
            _vote(actor, approval, approve=approve, comment=comment.strip(), form=form)
        return found(approval_id, actor=actor)


def cancel_approval(*, actor: Actor, approval_id: uuid.UUID, reason: str = "") -> Approval:
    """Withdraw a question that nobody has to answer any more. Repeatable."""
    with scope.transaction():
        approval = _locked(approval_id)
        if approval.status == ApprovalStatus.CANCELED:
            return approval
        if approval.status != ApprovalStatus.PENDING:
            raise AlreadyDecided(status=approval.status)
        _record(actor, approval, "approval.cancel", {"reason": reason})
        _settle(actor, approval, ApprovalStatus.CANCELED, comment=reason)
        return approval


def found(approval_id: uuid.UUID, *, actor: Actor) -> Approval:
    """The approval of this id, if this actor may know of it."""
    approval: Approval | None = Approval.objects.with_votes().filter(pk=approval_id).first()
    if approval is None or not policies.can_see_approval(actor, approval):
        raise NotFound.of("approval", path=("approvalId",))
    return approval


def _scope_of(approval: Approval, actor: Actor) -> Any:
    """Members are in it already; staff enter the scope of the tenant that asked."""
    return scope.enter(Scope(tenant_id=approval.tenant_id, user_id=actor.user_id, actor=actor))


def _locked(approval_id: uuid.UUID) -> Approval:
    approval: Approval | None = (
        Approval.objects.select_for_update().order_by("pk").filter(pk=approval_id).first()
    )
    if approval is None:
        raise NotFound.of("approval", path=("approvalId",))
    return approval


def _check(actor: Actor, approval: Approval) -> None:
    require(policies.can_vote_at_all(actor, approval), "decide this approval")
    if approval.status != ApprovalStatus.PENDING:
        raise AlreadyDecided(status=approval.status)
    if not policies.is_asked(actor, approval):
        raise NotAsked
    if policies.is_own_request(actor, approval):
        raise OwnRequest


def _vote(
    actor: Actor,
    approval: Approval,
    *,
    approve: bool,
    comment: str,
    form: Mapping[str, Any] | None,
) -> None:
    answers = _answers(approval, form or {}, approve=approve)
    votes = ApprovalVote.objects.filter(approval=approval, stage=approval.stage)
    _vote_once, new = votes.get_or_create(
        voter_id=actor.user_id,
        defaults={
            "approval": approval,
            "stage": approval.stage,
            "approve": approve,
            "comment": comment,
        },
    )
    if not new:
        raise Refusal("You have voted in this stage already; others have to decide with you.")
    approval.form = {**approval.form, **answers}
    verb = "approve" if approve else "reject"
    _record(actor, approval, f"approval.{verb}", {"stage": approval.stage, "comment": comment})
    if not approve:
        _settle(actor, approval, ApprovalStatus.REJECTED, comment=comment)
    elif votes.filter(approve=True).count() < approval.stages[approval.stage]["required"]:
        approval.save(update_fields=["form"])
    elif approval.stage + 1 < len(approval.stages):
        approval.stage += 1
        approval.save(update_fields=["stage", "form"])
    else:
        _settle(actor, approval, ApprovalStatus.APPROVED, comment=comment)


def _answers(approval: Approval, form: Mapping[str, Any], *, approve: bool) -> Mapping[str, Any]:
    """What the form gains; a step's form holds its values apart from what is asked.

    Who says no need not have filled it in.
    """
    if approval.kind != ApprovalKind.RUN_STEP:
        return form
    return {"values": checked(approval, form)} if approve else {}


def _settle(actor: Actor, approval: Approval, status: ApprovalStatus, *, comment: str) -> None:
    approval.status, approval.decided_at = status.value, now()
    approval.save(update_fields=["status", "decided_at", "form"])
    events.publish(
        ApprovalDecided(
            tenant_id=scope.current_tenant_id(),
            approval_id=approval.pk,
            kind=approval.kind,
            subject=approval.subject,
            status=status.value,
            decided_by=actor.user_id,
            comment=comment,
        )
    )


def _record(actor: Actor, approval: Approval, action: str, after: Mapping[str, Any]) -> None:
    audit.record(actor=actor, action=action, target=f"Approval:{approval.pk}", after=after)
