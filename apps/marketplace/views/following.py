"""The organization's releases: the list, the way of one to the shelf, and taking it off again."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import assert_never

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from apps.kit.html.paging import pager, window_of
from apps.kit.html.refusals import status_of
from apps.kit.html.tags import size
from apps.kit.pages import paginate
from apps.marketplace import policies
from apps.marketplace.actions import yank_release
from apps.marketplace.models import Release
from apps.marketplace.terms import ReleaseStatus, Risk
from apps.tenancy import scope
from apps.tenancy.doors import TenantRequest, tenant_page

_MOVING = frozenset({ReleaseStatus.UPLOADED, ReleaseStatus.SCANNING})
_REASON_LIMIT = 2_000


class WithdrawForm(forms.Form):
    """Why a release should not be installed any more, and how bad it is for who has it."""

    severity = forms.ChoiceField(
        label="Risk for those who have it",
        choices=[(one.value, one.value.capitalize()) for one in Risk],
    )
    reason = forms.CharField(
        max_length=_REASON_LIMIT,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Everybody who has installed it can read this.",
    )


@dataclass(frozen=True)
class Stage:
    """One step of a release's way to the shelf."""

    title: str
    text: str
    state: str = ""
    is_done: bool = False
    is_refused: bool = False


def own_releases(request: TenantRequest) -> QuerySet[Release]:
    """The organization's releases; everybody's public ones are visible to it too."""
    return (
        Release.objects.filter(tenant_id=request.actor.tenant_id)
        .select_related("listing", "listing__publisher")
        .without_document()
        .order_by("-id")
    )


@require_safe
@tenant_page
def releases(request: TenantRequest) -> HttpResponse:
    """What the organization handed in."""
    with scope.transaction():
        page = paginate(
            own_releases(request), order=("-id",), window=window_of(request), key="own releases"
        )
        return render(request, "marketplace/releases.html", {"page": pager(page)})


@require_safe
@tenant_page
def release(request: TenantRequest, release_id: uuid.UUID) -> HttpResponse:
    """Where a release is on its way, and what the scan found; moves while the scan runs."""
    return _release(request, release_id, form=WithdrawForm())


@require_POST
@tenant_page
def withdraw(request: TenantRequest, release_id: uuid.UUID) -> HttpResponse:
    """Take a release off the shelf; installations keep working."""
    form = WithdrawForm(request.POST)
    if form.is_valid():
        yank_release(
            actor=request.actor,
            release_id=release_id,
            reason=form.cleaned_data["reason"],
            severity=Risk(form.cleaned_data["severity"]),
        )
        messages.success(request, "Withdrawn: nobody can install it any more.")
        return redirect("marketplace:release", request.organization.slug, release_id)
    return _release(request, release_id, form=form)


def _release(request: TenantRequest, release_id: uuid.UUID, *, form: WithdrawForm) -> HttpResponse:
    with scope.transaction():
        one = own_releases(request).filter(pk=release_id).first()
        if one is None:
            raise Http404
        is_listed = one.status == ReleaseStatus.PUBLISHED
        context = {
            "release": one,
            "listing": one.listing,
            "scan": one.scan_summary,
            "progress": _progress(one),
            "is_moving": one.status in _MOVING,
            "may_withdraw": is_listed and policies.can_yank(request.actor, one),
            "form": form,
        }
        is_part = bool(request.headers.get("HX-Request"))
        template = "marketplace/_release_status.html" if is_part else "marketplace/release.html"
        return render(request, template, context, status=status_of(form))


def _progress(one: Release) -> list[Stage]:
    status = ReleaseStatus(one.status)
    verdict = str(one.scan_summary.get("verdict", "PENDING"))
    scanned = verdict != "PENDING"
    return [
        Stage("Frozen", f"{size(one.size_bytes)}, named by their digest.", is_done=True),
        Stage(
            "Scanned",
            "The findings are below." if scanned else "Usually a matter of seconds.",
            verdict if scanned else "SCANNING",
            is_done=scanned and verdict != "FAILED",
            is_refused=verdict == "FAILED",
        ),
        _review(one, status, is_refused=verdict == "FAILED"),
        Stage(
            "On the marketplace",
            one.yank_reason
            or (
                "Not listed." if status is ReleaseStatus.REJECTED else "Others find and install it."
            ),
            status.value if one.published_at else "",
            is_done=status is ReleaseStatus.PUBLISHED,
        ),
    ]


def _review(one: Release, status: ReleaseStatus, *, is_refused: bool) -> Stage:
    if is_refused:
        return Stage("Reviewed", "Not reached: mend the findings and publish a new version.")
    match status:
        case ReleaseStatus.UPLOADED | ReleaseStatus.SCANNING:
            return Stage("Reviewed", "After the scan.")
        case ReleaseStatus.AWAITING_APPROVAL:
            text = "A person reads the changes and the findings."
            return Stage("Reviewed", text, "PENDING")
        case ReleaseStatus.REJECTED:
            text = one.decision_comment or "Mend the findings and publish again."
            return Stage("Reviewed", text, "REJECTED", is_refused=True)
        case ReleaseStatus.PUBLISHED | ReleaseStatus.YANKED | ReleaseStatus.REVOKED:
            return Stage("Reviewed", "", "APPROVED", is_done=True)
        case _:
            assert_never(status)
