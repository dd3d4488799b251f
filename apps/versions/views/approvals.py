"""Approvals of an organization: what waits, and one question with its form."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.kit.errors import Refusal
from apps.kit.html.paging import pager, window_of
from apps.kit.html.refusals import attach, status_of
from apps.kit.html.schema_form import PREFIX, ParametersForm
from apps.kit.pages import paginate
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Permission
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.policies import require
from apps.versions import policies
from apps.versions.actions import decide_approval
from apps.versions.actions.answers import schema_of
from apps.versions.models import Approval, ApprovalStatus, ApprovalVote

_STATES = (
    (ApprovalStatus.PENDING.value, "Waiting"),
    (ApprovalStatus.APPROVED.value, "Approved"),
    (ApprovalStatus.REJECTED.value, "Rejected"),
    (ApprovalStatus.CANCELED.value, "Withdrawn"),
)
_COMMENT = 5_000


class DecisionForm(forms.Form):
    """Yes or no, and why; a no needs its reason."""

    decision = forms.ChoiceField(
        choices=[("approve", "Approve"), ("reject", "Reject")], widget=forms.HiddenInput
    )
    comment = forms.CharField(
        required=False,
        max_length=_COMMENT,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Needed to reject.",
    )


@require_safe
@tenant_page
def index(request: TenantRequest) -> HttpResponse:
    """What people are asked here; what waits comes oldest first."""
    require(request.actor.has(Permission.APPROVALS_DECIDE), "see approvals")
    asked = request.GET.get("status", "")
    status = asked if asked in dict(_STATES) else ApprovalStatus.PENDING.value
    with scope.transaction():
        page = paginate(
            Approval.objects.filter(status=status, by_platform=False).select_related(
                "requested_by"
            ),
            order=("id",) if status == ApprovalStatus.PENDING else ("-id",),
            window=window_of(request),
            key=["approvals", str(request.actor.tenant_id), status],
        )
        context = {"page": pager(page), "states": _STATES, "status": status}
        return render(request, "versions/approvals.html", context)


@never_cache
@tenant_page
def one(request: TenantRequest, approval_id: uuid.UUID) -> HttpResponse:
    """The question, what it wants to know, who has decided; and the decision."""
    require(request.actor.has(Permission.APPROVALS_DECIDE), "see approvals")
    with scope.transaction():
        approval = _found(approval_id)
    form = DecisionForm(request.POST or None)
    rejects = request.POST.get("decision") == "reject"
    answers = ParametersForm(
        request.POST if request.method == "POST" and not rejects else None,
        parameters=_fields_of(approval),
        values=approval.form.get("values"),
    )
    is_filled = rejects or answers.is_valid()
    if request.method == "POST" and form.is_valid() and is_filled:
        approve = form.cleaned_data["decision"] == "approve"
        try:
            decide_approval(
                actor=request.actor,
                approval_id=approval_id,
                approve=approve,
                comment=form.cleaned_data["comment"],
                form=answers.cleaned_parameters() if approve else None,
            )
        except Refusal as refusal:
            is_answer = any(path.path[:1] == ("form",) for path in refusal.parts)
            attach(answers if is_answer else form, refusal, prefix=PREFIX if is_answer else "")
        else:
            messages.success(request, "Your vote counts: approve." if approve else "Rejected.")
            return redirect("versions:approval", request.organization.slug, approval_id)
    with scope.transaction():
        context = {
            "approval": approval,
            "run_id": approval.form.get("run"),
            "form": form,
            "answers": answers,
            "values": approval.form.get("values"),
            "needed": approval.stages[approval.stage]["required"],
            "agreed": sum(vote.approve for vote in _votes(approval)),
            "hindrance": _hindrance(request.actor, approval),
        }
        status = status_of(form, answers)
        return render(request, "versions/approval.html", context, status=status)


def _votes(approval: Approval) -> list[ApprovalVote]:
    """Those of the stage it stands in."""
    return [vote for vote in approval.votes.all() if vote.stage == approval.stage]


def _hindrance(actor: Actor, approval: Approval) -> str | None:
    """Why this reader cannot decide; None for who can."""
    if approval.status != ApprovalStatus.PENDING:
        return "It is decided."
    if any(vote.voter_id == actor.user_id for vote in _votes(approval)):
        return "You have voted; others have to decide with you."
    if not policies.is_asked(actor, approval):
        return "This question is for others: its approvers are named."
    if policies.is_own_request(actor, approval):
        return "You asked for this yourself; somebody else has to decide."
    return None


def _found(approval_id: uuid.UUID) -> Approval:
    found: Approval | None = (
        Approval.objects.with_votes().filter(pk=approval_id, by_platform=False).first()
    )
    if found is None:
        raise Http404
    return found


def _fields_of(approval: Approval) -> list[Mapping[str, Any]]:
    """The schema's properties as the fields of a form."""
    schema = schema_of(approval)
    required = schema.get("required") or ()
    return [
        {
            "name": name,
            "schema": field,
            "required": name in required,
            "default": field.get("default") if isinstance(field, Mapping) else None,
        }
        for name, field in (schema.get("properties") or {}).items()
    ]
