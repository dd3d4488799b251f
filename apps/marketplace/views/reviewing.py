"""The console of the platform's staff: the queue, and one release with what to judge it by."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from apps.kit.errors import Refusal
from apps.kit.graphql.nodes import global_id, key_of
from apps.kit.html.paging import pager, window_of
from apps.kit.html.refusals import attach, status_of
from apps.kit.pages import paginate
from apps.marketplace.actions.publishing import SUBJECT
from apps.marketplace.models import Release
from apps.marketplace.terms import ReleaseStatus
from apps.marketplace.views.shelf import facts
from apps.tenancy import scope
from apps.tenancy.doors import StaffRequest, staff_page
from apps.versions import policies
from apps.versions.actions import decide_approval
from apps.versions.models import Approval, ApprovalKind, ApprovalStatus
from apps.workflows.drawing import draw, marks_of
from apps.workflows.graph import difference
from apps.workflows.graph.document import parse

_STATES = (
    (ApprovalStatus.PENDING.value, "Waiting"),
    (ApprovalStatus.APPROVED.value, "Approved"),
    (ApprovalStatus.REJECTED.value, "Rejected"),
)
_COMMENT = 5_000


class DecisionForm(forms.Form):
    """Yes or no, and why; a no needs its reason."""

    decision = forms.ChoiceField(
        choices=[("approve", "Approve"), ("reject", "Reject")],
        widget=forms.HiddenInput,
        required=True,
    )
    comment = forms.CharField(
        required=False,
        max_length=_COMMENT,
        label="Reason",
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="The publisher reads it.",
    )

    def clean(self) -> dict[str, Any]:
        """A publisher who is refused must be able to mend it."""
        given = super().clean() or {}
        if given.get("decision") == "reject" and not str(given.get("comment", "")).strip():
            self.add_error("comment", "Say why, so that it can be mended.")
        return given


@staff_page
@require_safe
def approvals(request: StaffRequest) -> HttpResponse:
    """Releases that wait for a person, oldest first; decided ones newest first."""
    asked = request.GET.get("status", "")
    status = asked if asked in dict(_STATES) else ApprovalStatus.PENDING.value
    order = ("id",) if status == ApprovalStatus.PENDING else ("-id",)
    with scope.transaction():
        page = paginate(
            Approval.objects.for_staff()
            .filter(kind=ApprovalKind.LISTING_PUBLISH, status=status)
            .select_related("requested_by"),
            order=order,
            window=window_of(request),
            key=["approvals", status],
        )
        releases = {
            global_id(SUBJECT, one.pk): one
            for one in Release.objects.filter(pk__in=[_release_id(a) for a in page.items])
            .select_related("listing__publisher")
            .without_document()
        }
        context = {
            "page": pager(page),
            "releases": releases,
            "states": _STATES,
            "status": status,
        }
        return render(request, "marketplace/approvals.html", context)


@staff_page
def approval(request: StaffRequest, approval_id: uuid.UUID) -> HttpResponse:
    """One release: findings, graph, changes, permissions, and the decision."""
    form = DecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        approve = form.cleaned_data["decision"] == "approve"
        try:
            decide_approval(
                actor=request.actor,
                approval_id=approval_id,
                approve=approve,
                comment=form.cleaned_data["comment"],
            )
        except Refusal as refusal:
            attach(form, refusal)
        else:
            said = "Approved: it is on the marketplace." if approve else "Rejected with the reason."
            messages.success(request, said)
            return redirect("marketplace:approvals")
    with scope.transaction():
        found = Approval.objects.for_staff().with_votes().filter(pk=approval_id).first()
        release = None if found is None else _release(found)
        if found is None or release is None:
            raise Http404
        context = {
            "approval": found,
            "release": release,
            "listing": release.listing,
            "described": release.described,
            "scan": release.scan_summary,
            "form": form,
            "may_decide": policies.can_decide_approval(request.actor, found),
            **_difference(release),
            **facts(release),
        }
        return render(request, "marketplace/approval.html", context, status=status_of(form))


def _release_id(one: Approval) -> uuid.UUID | None:
    try:
        return key_of(one.subject, SUBJECT)
    except Refusal:
        return None


def _release(one: Approval) -> Release | None:
    return (
        Release.objects.select_related("listing__publisher")
        .filter(pk__in=[_release_id(one)])
        .first()
    )


def _difference(release: Release) -> dict[str, Any]:
    """Against the newest release on the shelf before it; the first one is all new."""
    previous = (
        Release.objects.of_listing(release.listing_id)
        .filter(pk__lt=release.pk, status__in=[ReleaseStatus.PUBLISHED, ReleaseStatus.YANKED])
        .first()
    )
    changes = (
        None
        if previous is None
        else difference.compare(parse(previous.document), parse(release.document))
    )
    return {
        "previous": previous,
        "changes": changes,
        "groups": (changes.added, changes.modified, changes.removed) if changes else (),
        "drawing": draw(release.document, marks=marks_of(changes) if changes else {}),
    }
