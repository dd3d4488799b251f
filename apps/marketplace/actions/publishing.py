"""Hand in a release: validate, write listing and release, ask for the scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from apps.kit import events
from apps.kit.clock import now
from apps.kit.errors import NotFound, QuotaExceeded
from apps.marketplace import packaging, semver, sources
from apps.marketplace.errors import ScanRefused, VersionConflict
from apps.marketplace.events import ReleaseSubmitted
from apps.marketplace.licenses import find as find_license
from apps.marketplace.models import Listing, Publisher, Release
from apps.marketplace.policies import can_publish
from apps.marketplace.requirements import Requirements, read_requirements
from apps.marketplace.submission import Submission, check, normal_tags
from apps.marketplace.terms import ListingStatus, ReleaseStatus
from apps.security_scan.actions import judge, request_scan
from apps.security_scan.scanner import Report, Verdict
from apps.security_scan.summaries import Summary
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.idempotency import remembered
from apps.tenancy.models import Organization
from apps.tenancy.policies import require
from apps.workflows.graph import catalogue

MAX_LISTINGS = 500
MAX_RELEASES = 500
MAX_WAITING = 50
SUBJECT = "ListingVersion"
"""The GraphQL type by whose id scans and approvals name a release."""


def publish_release(
    *,
    actor: Actor,
    source: sources.Source,
    submission: Submission,
    idempotency_key: str | None = None,
) -> Release:
    """A release in SCANNING; verdict and approval follow by themselves.

    Raises GraphInvalid, VersionConflict or a Refusal that points into the metadata.
    """
    require(can_publish(actor), "publish workflows")
    check(submission)
    content = sources.load(source)
    request = {"content": content.content_hash, "submission": asdict(submission)}
    with (
        scope.transaction(),
        remembered(operation="publishWorkflow", key=idempotency_key, request=request) as memory,
    ):
        if memory.result_id is not None:
            return Release.objects.select_related("listing").get(pk=memory.result_id)
        _check_publisher(submission)
        listing = _listing(actor, submission)
        release = _release(actor, listing, content, submission)
        scan = request_scan(
            actor=actor,
            subject_type=SUBJECT,
            subject_id=release.pk,
            digest=content.content_hash,
            document=content.document,
        )
        release.scan_id = scan.pk
        release.scan_summary = Summary.of_scan(scan).to_json()
        release.save(update_fields=["scan_id", "scan_summary"])
        audit.record(
            actor=actor,
            action="marketplace.publish",
            target=f"{SUBJECT}:{release.pk}",
            after={"listing": listing.slug, "version": release.version, "digest": release.digest},
        )
        events.publish(
            ReleaseSubmitted(
                tenant_id=scope.current_tenant_id(), listing_id=listing.pk, release_id=release.pk
            )
        )
        memory.remember(release.pk)
    return release


def rehearse(
    *, actor: Actor, source: sources.Source, submission: Submission
) -> tuple[sources.Content, Report]:
    """Everything `publish_release` would refuse, the scan included; writes nothing."""
    require(can_publish(actor), "publish workflows")
    check(submission)
    content = sources.load(source)
    with scope.transaction():
        _check_publisher(submission)
        listing = _existing(submission)
        if listing is not None:
            _refuse_taken(listing, submission.version)
    report = judge(content.document)
    if report.verdict is Verdict.FAILED:
        raise ScanRefused(report)
    return content, report


def _listing(actor: Actor, submission: Submission) -> Listing:
    """The listing this release belongs to, with the metadata as handed in."""
    listing = _existing(submission)
    _require_room(listing)
    if listing is not None:
        _refuse_taken(listing, submission.version)
        # What everybody reads changes when the release is published, not when it is handed in.
        if listing.status in {ListingStatus.DRAFT, ListingStatus.IN_REVIEW}:
            _describe(listing, submission)
            listing.status = ListingStatus.IN_REVIEW.value
            listing.save()
        return listing
    listing = Listing(
        publisher=_publisher(actor),
        slug=packaging.slug_of(submission.name),
        status=ListingStatus.IN_REVIEW.value,
        visibility=submission.visibility.value,
    )
    _describe(listing, submission)
    listing.save(force_insert=True)
    return listing


def _require_room(listing: Listing | None) -> None:
    """Shelves and queues are finite: people read what waits."""
    mine = scope.current_tenant_id()
    waiting = Release.objects.filter(
        tenant_id=mine, status__in=[ReleaseStatus.SCANNING, ReleaseStatus.AWAITING_APPROVAL]
    ).count()
    if waiting >= MAX_WAITING:
        raise QuotaExceeded(metric="releases waiting", limit=MAX_WAITING, used=waiting)
    held = Listing.objects.filter(tenant_id=mine).count() if listing is None else 0
    if held >= MAX_LISTINGS:
        raise QuotaExceeded(metric="listings", limit=MAX_LISTINGS, used=held)
    releases = Release.objects.filter(listing=listing).count() if listing is not None else 0
    if releases >= MAX_RELEASES:
        raise QuotaExceeded(metric="releases of a listing", limit=MAX_RELEASES, used=releases)


def _existing(submission: Submission) -> Listing | None:
    """The organization's listing that is named, else the one of the same name."""
    mine = Listing.objects.filter(tenant_id=scope.current_tenant_id())
    locked = mine.select_for_update(of=("self",)).order_by("pk")
    if submission.listing_id is None:
        return locked.filter(slug=packaging.slug_of(submission.name)).first()
    listing = locked.filter(pk=submission.listing_id).first()
    if listing is None:
        raise NotFound.of("listing", path=("metadata", "listingId"))
    return listing


def _refuse_taken(listing: Listing, version: str) -> None:
    versions = list(Release.objects.filter(listing=listing).values_list("version", flat=True))
    if version in versions:
        raise VersionConflict(
            version=version,
            latest=semver.latest(versions) or version,
            suggested=semver.suggest_next(versions),
        )


def _describe(listing: Listing, submission: Submission) -> None:
    for name, value in described(submission).items():
        setattr(listing, name, value)
    listing.updated_at = now()


def described(submission: Submission) -> Mapping[str, Any]:
    """What a submission says about its listing, column by column."""
    known = find_license(submission.license)
    pricing = submission.pricing
    return {
        "name": submission.name.strip(),
        "tagline": submission.tagline.strip(),
        "description": submission.description.strip(),
        "documentation": submission.documentation,
        "category": submission.category.value,
        "tags": normal_tags(submission.tags),
        "license": known.id if known else submission.license,
        "visibility": submission.visibility.value,
        "pricing_model": pricing.model.value,
        "price_minor": pricing.price_minor,
        "currency": pricing.currency,
        "interval": pricing.interval,
        "trial_days": pricing.trial_days,
        "usage_metric": pricing.usage_metric,
    }


def _release(
    actor: Actor, listing: Listing, content: sources.Content, submission: Submission
) -> Release:
    requirements = read_requirements(
        content.document, catalogue.INSTALLED, platform=submission.platform
    ).to_json()
    release = Release(
        listing=listing,
        version=submission.version,
        channel=submission.channel.value,
        status=ReleaseStatus.SCANNING.value,
        document=content.document,
        digest=packaging.digest_of(
            content.document,
            publisher=str(listing.tenant_id),
            slug=listing.slug,
            version=submission.version,
            requirements=requirements,
        ),
        content_hash=content.content_hash,
        size_bytes=packaging.size_of(content.document),
        changelog=submission.changelog,
        requirements=requirements,
        described=dict(described(submission)),
        source_version_id=content.version_id,
        source_repository=submission.source_repository,
        source_commit=submission.source_commit,
        is_breaking=_is_breaking(listing, requirements),
        submitted_by_id=actor.user_id,
    )
    release.save(force_insert=True)
    return release


def _is_breaking(listing: Listing, requirements: Mapping[str, Any]) -> bool:
    """Whether who installed the latest release would have to act: new needs, lost parameters."""
    latest = (
        Release.objects.defer("document").filter(pk=listing.latest_release_id).first()
        if listing.latest_release_id
        else None
    )
    if latest is None:
        return False
    before, after = (Requirements.from_json(one) for one in (latest.requirements, requirements))
    lost = set(before.parameters["properties"]) - set(after.parameters["properties"])
    demanded = set(after.parameters["required"]) - set(before.parameters["required"])
    granted = {one.key for one in before.permissions}
    return bool(lost or demanded or {one.key for one in after.permissions} - granted)


def _check_publisher(submission: Submission) -> None:
    """Nobody publishes in another's name: a publisher that is named must be one's own."""
    mine = Publisher.objects.filter(tenant_id=scope.current_tenant_id())
    named = submission.publisher_id
    if named is not None and not mine.filter(pk=named).exists():
        raise NotFound.of("publisher", path=("metadata", "publisherId"))


def _publisher(actor: Actor) -> Publisher:
    """The organization as publisher; made with its first release."""
    known = Publisher.objects.filter(tenant_id=scope.current_tenant_id()).first()
    if known is not None:
        return known
    organization = Organization.objects.get(pk=scope.current_tenant_id())
    return Publisher.objects.create(handle=organization.slug, name=organization.name)
