"""Releases as the API shows them, and what they add to listings."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Hashable, Iterable, Mapping
from functools import partial
from typing import Annotated

import strawberry
import strawberry_django
from markdown_it import MarkdownIt
from strawberry import relay

from apps.kit.graphql.batch import batched, related
from apps.kit.graphql.connections import Connection, Edge, window
from apps.kit.graphql.cost import cost
from apps.kit.graphql.extend import extend
from apps.kit.graphql.fields import field
from apps.kit.graphql.nodes import node_loader
from apps.kit.graphql.scalars import URL, BigInt, Markdown, SemVer
from apps.marketplace import models
from apps.marketplace.graphql.facts import CompatibilityInfo, MigrationPlan, YankInfo
from apps.marketplace.graphql.listings import MarketplaceWorkflow, scan_of
from apps.marketplace.graphql.needs import Requirements
from apps.marketplace.graphql.publishers import Author
from apps.marketplace.graphql.shelf import ShelfType, statistics_of
from apps.marketplace.planning import highest_releases
from apps.marketplace.policies import owns
from apps.marketplace.requirements import Requirements as Needs
from apps.marketplace.terms import Channel, ReleaseStatus, Risk
from apps.security_scan.graphql.types import SecurityScanResult, SignatureInfo
from apps.tenancy.graphql.context import Info
from apps.versions.graphql.approvals import ApprovalRequest
from apps.versions.graphql.changes import VersionDiff
from apps.versions.models import Approval
from apps.versions.policies import can_see_approval
from apps.workflows.graph import difference
from apps.workflows.graph.document import parse

# Raw HTML is escaped, links may only be web addresses: the default of the "js-default" preset.
_MARKDOWN = MarkdownIt("js-default")


@strawberry_django.type(models.Release, name="ListingVersion", description="One release.")
class ListingVersion(ShelfType, relay.Node):
    """A version of a listing with its own frozen copy of the document."""

    @field()
    def version(self, root: strawberry.Parent[models.Release]) -> SemVer:
        """Its semantic version."""
        return SemVer(root.version)

    @field()
    def channel(self, root: strawberry.Parent[models.Release]) -> Channel:
        """How ripe it is said to be."""
        return Channel(root.channel)

    @field()
    def status(self, root: strawberry.Parent[models.Release]) -> ReleaseStatus:
        """How it stands."""
        return ReleaseStatus(root.status)

    @field()
    def changelog(self, root: strawberry.Parent[models.Release]) -> Markdown:
        """What changed."""
        return Markdown(root.changelog)

    @field()
    def changelog_html(self, root: strawberry.Parent[models.Release]) -> str:
        """The same as sanitised HTML."""
        return str(_MARKDOWN.render(root.changelog))

    @field()
    def published_at(self, root: strawberry.Parent[models.Release]) -> dt.datetime | None:
        """Since when it may be installed."""
        return root.published_at

    @field()
    def published_by(self, root: strawberry.Parent[models.Release]) -> Author:
        """Who handed it in."""
        return Author.of(related(related(root, "listing"), "publisher"))

    @field()
    def size_bytes(self, root: strawberry.Parent[models.Release]) -> BigInt:
        """Size of the document."""
        return BigInt(root.size_bytes)

    @field()
    def digest(self, root: strawberry.Parent[models.Release]) -> str:
        """SHA-256 over document, version and requirements; verified at every install."""
        return root.digest

    @field()
    def signature(self) -> SignatureInfo | None:
        """Signatures come with a later release of the platform."""
        return None

    @field()
    def security_scan(self, root: strawberry.Parent[models.Release]) -> SecurityScanResult:
        """What the scan said."""
        return scan_of(root)

    @field()
    def requirements(self, root: strawberry.Parent[models.Release]) -> Requirements:
        """What it needs and may do."""
        return Requirements.of(Needs.from_json(root.requirements))

    @field()
    def compatibility(self, root: strawberry.Parent[models.Release]) -> CompatibilityInfo:
        """Whether it works on this platform."""
        return CompatibilityInfo.of(Needs.from_json(root.requirements))

    @field()
    def is_breaking(self, root: strawberry.Parent[models.Release]) -> bool:
        """Whether who has the release before would have to act."""
        return root.is_breaking

    @field()
    def migration(self) -> MigrationPlan | None:
        """No migrations yet."""
        return None

    @field()
    def yanked(self, root: strawberry.Parent[models.Release]) -> YankInfo | None:
        """Why it was withdrawn."""
        if root.yanked_at is None:
            return None
        return YankInfo(
            reason=root.yank_reason, at=root.yanked_at, severity=Risk(root.yank_severity)
        )

    @field(points=2)
    def approval(
        self, root: strawberry.Parent[models.Release], info: Info
    ) -> ApprovalRequest | None:
        """The question to the staff, for the publisher's members and for staff."""
        return approval_of(root, info)

    @field()
    def downloads(self, root: strawberry.Parent[models.Release]) -> int:
        """Downloads of the listing."""
        return statistics_of(related(root, "listing")).downloads

    @field()
    def package_url(self) -> URL | None:
        """Packages are not downloaded yet, only installed."""
        return None


@strawberry.type
class ListingVersionEdge(Edge[ListingVersion]):
    """One release in a page."""


@strawberry.type
class ListingVersionConnection(Connection[ListingVersion, ListingVersionEdge]):
    """A page of releases, the newest first."""


def approval_of(release: models.Release, info: Info) -> ApprovalRequest | None:
    """The approval of a release, if the caller may know of it."""
    found = batched(release, "approvals", _approvals, release.approval_id)
    if found is None or not can_see_approval(info.context.actor, found):
        return None
    return ApprovalRequest.of(found)


def latest_version(
    root: strawberry.Parent[models.Listing], channel: Channel | None = Channel.STABLE
) -> ListingVersion | None:
    """The highest release of a channel."""
    chosen = channel or Channel.STABLE
    found = batched(root, f"highest {chosen}", partial(_highest, chosen), root.pk)
    return ListingVersion.maybe(found)


def listing_version(
    root: strawberry.Parent[models.Listing], version: SemVer, info: Info
) -> ListingVersion | None:
    """The release of a version."""
    return ListingVersion.maybe(_visible(root, info).filter(version=version).first())


def versions(
    root: strawberry.Parent[models.Listing],
    info: Info,
    *,
    channel: Channel | None = None,
    include_yanked: bool | None = False,
    first: int | None = 20,
    after: str | None = None,
) -> ListingVersionConnection:
    """Releases, the newest first; the publisher's members see unpublished ones too."""

    def rows(listing: models.Listing) -> models.releases.ReleaseQuerySet:
        found = _visible(listing, info)
        if channel is not None:
            found = found.filter(channel=channel)
        if not include_yanked:
            found = found.exclude(status__in=[ReleaseStatus.YANKED, ReleaseStatus.REVOKED])
        return found

    return ListingVersionConnection.of_each(
        root,
        rows,
        window=window(first=first, after=after),
        key=["releases", channel, include_yanked],
    )


def version_diff(
    root: strawberry.Parent[models.Listing],
    info: Info,
    from_: Annotated[SemVer, strawberry.argument(name="from")],
    to: SemVer,
) -> VersionDiff | None:
    """What changed between two releases."""
    wanted = _visible(root, info, with_document=True).filter(version__in=[from_, to])
    found = {release.version: release for release in wanted}
    if from_ not in found or to not in found:
        return None
    changes = difference.compare(parse(found[from_].document), parse(found[to].document))
    return VersionDiff.of(changes, before=from_, after=to)


def _highest(
    channel: Channel, rows: tuple[models.Listing, ...]
) -> Mapping[Hashable, models.Release]:
    listings = {row.pk: row for row in rows}
    wanted = highest_releases(list(listings), channel=channel)
    found = list(models.Release.objects.without_document().filter(pk__in=list(wanted.values())))
    for release in found:
        release.listing = listings[release.listing_id]
    return {release.listing_id: release for release in found}


def _approvals(rows: tuple[models.Release, ...]) -> Mapping[Hashable, Approval]:
    wanted = [row.approval_id for row in rows if row.approval_id]
    return {one.pk: one for one in Approval.objects.with_votes().filter(pk__in=wanted)}


def _visible(
    listing: models.Listing, info: Info, *, with_document: bool = False
) -> models.releases.ReleaseQuerySet:
    rows = models.Release.objects.select_related("listing__publisher").of_listing(listing.pk)
    if not with_document:
        rows = rows.without_document()
    if owns(info.context.actor, listing) or info.context.actor.is_staff:
        return rows
    return rows.shown(yanked=True)


def load_releases(keys: Collection[uuid.UUID]) -> Iterable[models.Release]:
    """Releases on the shelf, one's own, or any for staff."""
    rows = models.Release.objects.without_document().select_related("listing__publisher")
    found: Iterable[models.Release] = rows.filter(pk__in=keys)
    return found


node_loader("ListingVersion", load_releases)
extend(MarketplaceWorkflow, "latest_version", latest_version, description="Of a channel.")
extend(MarketplaceWorkflow, "listing_version", listing_version, description="Of a version.")
extend(
    MarketplaceWorkflow,
    "versions",
    versions,
    description="Releases, the newest first.",
    directives=[cost(1, "first")],
)
extend(
    MarketplaceWorkflow,
    "version_diff",
    version_diff,
    description="What changed between two releases.",
    directives=[cost(5)],
)
