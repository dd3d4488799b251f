"""The life of a release after it was handed in: scanned, approved or refused, published, yanked."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from apps.kit import events
from apps.kit.clock import now
from apps.kit.errors import Conflict, NotFound, Refusal
from apps.kit.graphql.nodes import global_id
from apps.marketplace import search_index, semver
from apps.marketplace.actions.publishing import SUBJECT
from apps.marketplace.events import ReleasePublished, ReleaseRejected
from apps.marketplace.models import Listing, ListingStatistics, Release
from apps.marketplace.policies import can_yank
from apps.marketplace.terms import Channel, ListingStatus, ReleaseStatus, Risk, Visibility
from apps.security_scan.models import Scan
from apps.security_scan.scanner import Verdict
from apps.security_scan.summaries import Summary
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.policies import require
from apps.tenancy.scope import Scope
from apps.versions.actions import request_approval
from apps.versions.models import ApprovalKind

MAX_REASON = 2_000
_OPEN = frozenset({ListingStatus.DRAFT, ListingStatus.IN_REVIEW})
_SHOWN = frozenset({ListingStatus.PUBLISHED, ListingStatus.DEPRECATED})


def finish_scan(*, actor: Actor, release_id: uuid.UUID, scan_id: uuid.UUID) -> Release | None:
    """Take over a scan's verdict: FAILED rejects the release, anything else asks for approval.

    Repeating it, or an older scan's verdict, changes nothing.
    """
    with scope.transaction():
        release = _locked(release_id)
        if release is None or release.status != ReleaseStatus.SCANNING:
            return release
        scan = Scan.objects.filter(pk=scan_id).first()
        if scan is None or release.scan_id != scan.pk or scan.verdict == Verdict.PENDING:
            return release
        release.scan_summary = Summary.of_scan(scan).to_json()
        if scan.verdict == Verdict.FAILED:
            release.status = ReleaseStatus.REJECTED.value
            release.decision_comment = "Refused by the security scan."
            release.save(update_fields=["status", "scan_summary", "decision_comment"])
            _reopen_draft(release)
            _announce_rejection(release)
            return release
        approval = request_approval(
            # In the publisher's name, so that nobody approves what they handed in themselves.
            actor=replace(actor, user_id=release.submitted_by_id),
            kind=ApprovalKind.LISTING_PUBLISH,
            subject=global_id(SUBJECT, release.pk),
            title=f"Publish {release.described['name']} {release.version}",
            by_platform=True,
        )
        release.approval_id = approval.pk
        release.status = ReleaseStatus.AWAITING_APPROVAL.value
        release.save(update_fields=["status", "scan_summary", "approval_id"])
    return release


def publish_approved(*, actor: Actor, release_id: uuid.UUID) -> Release | None:
    """Put an approved release on the shelf; the listing now says what it was handed in with."""
    with scope.transaction():
        release = _locked(release_id)
        if release is None or release.status != ReleaseStatus.AWAITING_APPROVAL:
            return release
        listing = _locked_listing(release)
        release.status = ReleaseStatus.PUBLISHED.value
        release.published_at = now()
        release.save(update_fields=["status", "published_at"])
        _put_on_shelf(listing, release)
        audit.record(
            actor=actor,
            action="marketplace.release",
            target=f"{SUBJECT}:{release.pk}",
            after={"listing": listing.slug, "version": release.version},
        )
        events.publish(
            ReleasePublished(
                tenant_id=scope.current_tenant_id(), listing_id=listing.pk, release_id=release.pk
            )
        )
    return release


def reject_release(*, actor: Actor, release_id: uuid.UUID, comment: str) -> Release | None:
    """A person said no; the release keeps its findings and the reason."""
    with scope.transaction():
        release = _locked(release_id)
        if release is None or release.status != ReleaseStatus.AWAITING_APPROVAL:
            return release
        release.status = ReleaseStatus.REJECTED.value
        release.decision_comment = comment[:MAX_REASON]
        release.save(update_fields=["status", "decision_comment"])
        _reopen_draft(release)
        audit.record(
            actor=actor,
            action="marketplace.reject",
            target=f"{SUBJECT}:{release.pk}",
            after={"version": release.version, "reason": release.decision_comment},
        )
        _announce_rejection(release)
    return release


def yank_release(*, actor: Actor, release_id: uuid.UUID, reason: str, severity: Risk) -> Release:
    """Withdraw a published release: no new installs, existing ones keep working. Repeatable."""
    if not 1 <= len(reason.strip()) <= MAX_REASON:
        raise Refusal(f"Give a reason of 1 to {MAX_REASON} characters.", path=("reason",))
    with scope.transaction():
        seen = Release.objects.filter(pk=release_id).first()
        if seen is None:
            raise NotFound.of("release", path=("versionId",))
        with _scope_of(seen, actor), scope.transaction():
            return _yank(actor, release_id, reason.strip(), severity)


def _scope_of(release: Release, actor: Actor) -> AbstractContextManager[object]:
    """Staff write in the scope of the publisher, where its audit trail is."""
    if not actor.is_staff:
        return nullcontext()
    publisher = Scope(tenant_id=release.tenant_id, user_id=actor.user_id, actor=actor)
    return scope.enter(publisher)


def _yank(actor: Actor, release_id: uuid.UUID, reason: str, severity: Risk) -> Release:
    # Another organization's release can be read, not locked: it is as absent as a random one.
    release = _locked(release_id)
    if release is None:
        raise NotFound.of("release", path=("versionId",))
    require(can_yank(actor, release), "withdraw this release")
    if release.status == ReleaseStatus.YANKED:
        return release
    if release.status != ReleaseStatus.PUBLISHED:
        raise Conflict(
            "Only a published release can be withdrawn; this one is "
            f"{release.status}. Reject it in its approval instead.",
            path=("versionId",),
        )
    listing = _locked_listing(release)
    release.status = ReleaseStatus.YANKED.value
    release.yank_reason = reason
    release.yank_severity = severity.value
    release.yanked_at = now()
    release.save(update_fields=["status", "yank_reason", "yank_severity", "yanked_at"])
    _choose_latest(listing)
    listing.save()
    search_index.refresh(listing)
    audit.record(
        actor=actor,
        action="marketplace.yank",
        target=f"{SUBJECT}:{release.pk}",
        after={"version": release.version, "reason": reason},
    )
    return release


def _locked(release_id: uuid.UUID) -> Release | None:
    return (
        Release.objects.select_for_update(of=("self",)).order_by("pk").filter(pk=release_id).first()
    )


def _locked_listing(release: Release) -> Listing:
    rows = Listing.objects.select_for_update(of=("self",)).order_by("pk")
    return rows.get(pk=release.listing_id)


def _put_on_shelf(listing: Listing, release: Release) -> None:
    for name, value in release.described.items():
        setattr(listing, name, value)
    if listing.status in _OPEN:
        listing.status = ListingStatus.PUBLISHED.value
    listing.published_at = listing.published_at or release.published_at
    listing.updated_at = now()
    _choose_latest(listing)
    listing.is_public = listing.status in _SHOWN and listing.visibility != Visibility.PRIVATE.value
    listing.save()
    Release.objects.filter(
        listing=listing, status__in=[ReleaseStatus.PUBLISHED, ReleaseStatus.YANKED]
    ).update(is_public=listing.is_public)
    if listing.is_public and not listing.publisher.is_public:
        listing.publisher.is_public = True
        listing.publisher.save(update_fields=["is_public"])
    ListingStatistics.objects.get_or_create(listing=listing)
    search_index.refresh(listing)


def _choose_latest(listing: Listing) -> None:
    """The highest stable release, else the highest of any channel."""
    offered = dict(
        Release.objects.filter(listing=listing)
        .installable()
        .order_by("-id")
        .values_list("version", "pk")
    )
    stable = Release.objects.filter(listing=listing, channel=Channel.STABLE).installable()
    highest = semver.latest(stable.values_list("version", flat=True)) or semver.latest(offered)
    listing.latest_version = highest or ""
    listing.latest_release_id = offered[highest] if highest else None


def _reopen_draft(release: Release) -> None:
    """A listing without a published release is a draft again when its last one was refused."""
    waiting = Release.objects.filter(
        listing_id=release.listing_id,
        status__in=[ReleaseStatus.SCANNING, ReleaseStatus.AWAITING_APPROVAL],
    )
    if not waiting.exists():
        Listing.objects.filter(pk=release.listing_id, status=ListingStatus.IN_REVIEW).update(
            status=ListingStatus.DRAFT
        )


def _announce_rejection(release: Release) -> None:
    events.publish(
        ReleaseRejected(
            tenant_id=scope.current_tenant_id(),
            listing_id=release.listing_id,
            release_id=release.pk,
        )
    )
