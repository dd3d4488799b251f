"""Listings, what they require, and what a publisher has on the shelf."""

from __future__ import annotations

import datetime as dt
import uuid

import strawberry
import strawberry_django
from strawberry import relay
from strawberry.scalars import JSON

from apps.kit.graphql.batch import related
from apps.kit.graphql.connections import Connection, Edge, exactly, window
from apps.kit.graphql.cost import cost
from apps.kit.graphql.extend import extend
from apps.kit.graphql.fields import field
from apps.kit.graphql.nodes import node_loader
from apps.kit.graphql.scalars import URL, Markdown
from apps.kit.pages import MAX_PAGE, Page
from apps.marketplace import models
from apps.marketplace.graphql.facts import (
    CompatibilityInfo,
    License,
    ListingMedia,
    Pricing,
)
from apps.marketplace.graphql.needs import DependencyRequirement, Requirements
from apps.marketplace.graphql.publishers import Author
from apps.marketplace.graphql.reviews import RatingSummary, Review, ReviewConnection
from apps.marketplace.graphql.shelf import (
    ShelfType,
    alike,
    counts_of,
    document_of,
    listings_in_order,
    newest_release,
    page_url,
    sizes_of,
    statistics_of,
)
from apps.marketplace.graphql.terms import ReviewSort
from apps.marketplace.requirements import Requirements as Needs
from apps.marketplace.terms import (
    Category,
    ListingStatus,
    Visibility,
)
from apps.security_scan.graphql.types import Provenance, SecurityScanResult
from apps.security_scan.summaries import Summary
from apps.tenancy.graphql.context import Info


@strawberry.type
class DeprecationNotice:
    """Why a listing should no longer be chosen."""

    message: Markdown
    replacement: MarketplaceWorkflow | None
    effective_at: dt.datetime


@strawberry.type
class GraphPreview:
    """The drawing of the latest release."""

    row: strawberry.Private[models.Listing]
    node_count: int
    edge_count: int
    node_types: list[str]
    svg_url: URL

    @field(points=5)
    def definition(self, info: Info) -> JSON | None:
        """The document of a free listing, or of one's own."""
        document = document_of(self.row, info.context.actor)
        return None if document is None else JSON(document)


@strawberry.type
class InstallStats:
    """How many organizations use it."""

    lifetime: int
    last_30_days: int = strawberry.field(name="last30Days")
    active_tenants_30_days: int = strawberry.field(name="activeTenants30Days")
    success_rate_30_days: float | None = strawberry.field(name="successRate30Days")
    upgrades_pending: int


@strawberry_django.type(
    models.Listing, name="MarketplaceWorkflow", description="A workflow on the shelf."
)
class MarketplaceWorkflow(ShelfType, relay.Node):
    """A listing with what its latest release says."""

    name: str
    description: str
    documentation: str
    slug: str
    tags: list[str]
    locale: str
    created_at: dt.datetime
    updated_at: dt.datetime
    published_at: dt.datetime | None

    @field()
    def category(self, root: strawberry.Parent[models.Listing]) -> Category:
        """What it is for."""
        return Category(root.category)

    @field()
    def author(self, root: strawberry.Parent[models.Listing]) -> Author:
        """Who publishes it."""
        return Author.of(related(root, "publisher"))

    @field()
    def version(self, root: strawberry.Parent[models.Listing]) -> str:
        """Latest stable published version the viewer may install; empty before the first."""
        return root.latest_version

    @field()
    def downloads(self, root: strawberry.Parent[models.Listing]) -> int:
        """Lifetime verified installs (distinct tenants); see installStats for the windows."""
        return statistics_of(root).downloads

    @field()
    def rating(self) -> float:
        """Bayesian mean, 1.0 to 5.0; 0 when ratingSummary.count = 0."""
        return 0.0

    @field()
    def reviews(self, first: int | None = 10) -> list[Review]:
        """Most helpful reviews first, at most 50; page with reviewConnection."""
        return []

    @field()
    def pricing(self, root: strawberry.Parent[models.Listing]) -> Pricing:
        """What using it costs."""
        return Pricing.of(root)

    @field()
    def requirements(self, root: strawberry.Parent[models.Listing]) -> Requirements:
        """What the latest release needs and may do."""
        return Requirements.of(_needs(root))

    @field()
    def screenshots(self) -> list[str]:
        """Addresses of pictures; uploads come later."""
        return []

    @field()
    def security_scan(self, root: strawberry.Parent[models.Listing]) -> SecurityScanResult:
        """What the scan of the latest release said."""
        return scan_of(newest_release(root))

    @field()
    def compatibility(self, root: strawberry.Parent[models.Listing]) -> CompatibilityInfo:
        """Whether the latest release works on this platform."""
        return CompatibilityInfo.of(_needs(root))

    @field()
    def url(self, root: strawberry.Parent[models.Listing]) -> URL:
        """Its page."""
        return page_url(root)

    @field()
    def tagline(self, root: strawberry.Parent[models.Listing]) -> str | None:
        """One line about it."""
        return root.tagline or None

    @field()
    def icon_url(self) -> URL | None:
        """No icons yet."""
        return None

    @field()
    def media(self) -> list[ListingMedia]:
        """Pictures; uploads come later."""
        return []

    @field()
    def license(self, root: strawberry.Parent[models.Listing]) -> License:
        """What one may do with it."""
        return License.of(root.license)

    @field()
    def visibility(self, root: strawberry.Parent[models.Listing]) -> Visibility:
        """Who may find and open it."""
        return Visibility(root.visibility)

    @field()
    def status(self, root: strawberry.Parent[models.Listing]) -> ListingStatus:
        """How it stands."""
        return ListingStatus(root.status)

    @field()
    def deprecation(self, root: strawberry.Parent[models.Listing]) -> DeprecationNotice | None:
        """Why it should no longer be chosen."""
        if root.deprecated_at is None:
            return None
        return DeprecationNotice(
            message=Markdown(root.deprecation), replacement=None, effective_at=root.deprecated_at
        )

    @field(points=2)
    def graph_preview(self, root: strawberry.Parent[models.Listing]) -> GraphPreview:
        """The drawing of the latest release."""
        nodes, edges = sizes_of(root)
        return GraphPreview(
            row=root,
            node_count=nodes,
            edge_count=edges,
            node_types=[need.type for need in _needs(root).node_types],
            svg_url=page_url(root, "picture.svg"),
        )

    @field()
    def rating_summary(self) -> RatingSummary:
        """What its ratings amount to."""
        return RatingSummary.empty()

    @field(points=1, multipliers=("first",))
    def review_connection(
        self,
        first: int | None = 20,
        after: str | None = None,
        sort: ReviewSort | None = ReviewSort.HELPFUL,
        rating: int | None = None,
    ) -> ReviewConnection:
        """Its reviews, page by page."""
        return ReviewConnection.empty()

    @field()
    def install_stats(self, root: strawberry.Parent[models.Listing]) -> InstallStats:
        """How many organizations use it."""
        counted = statistics_of(root)
        return InstallStats(
            lifetime=counted.downloads,
            last_30_days=counted.downloads_30_days,
            active_tenants_30_days=counted.installations,
            success_rate_30_days=None,
            upgrades_pending=0,
        )

    @field(points=2, multipliers=("first",))
    def dependents(self, first: int | None = 20, after: str | None = None) -> ListingConnection:
        """Listings that build on it; none can yet."""
        return ListingConnection.empty()

    @field(points=3, multipliers=("first",))
    def similar(
        self, root: strawberry.Parent[models.Listing], info: Info, first: int | None = 6
    ) -> list[MarketplaceWorkflow]:
        """Others with the same tags, the best known first."""
        size = max(0, min(first or 6, MAX_PAGE))
        found = alike(root, info.context.actor, size=size)
        return [MarketplaceWorkflow.of(row) for row in found]


@strawberry.type
class ListingEdge(Edge[MarketplaceWorkflow]):
    """One listing in a page."""


@strawberry.type
class ListingConnection(Connection[MarketplaceWorkflow, ListingEdge]):
    """A page of listings."""

    @classmethod
    def empty(cls) -> ListingConnection:
        """No listings."""
        page: Page[models.Listing] = Page(items=(), cursors=(), has_next=False, has_previous=False)
        return cls.from_page(page, count=lambda: exactly(0))


@strawberry.type
class PublisherStats:
    """What a publisher's listings amount to."""

    listing_count: int
    total_installs: int
    average_rating: float
    median_review_response_hours: float | None


def listings_of(
    root: strawberry.Parent[models.Publisher], first: int | None = 20, after: str | None = None
) -> ListingConnection:
    """What they have on the shelf, the newest first."""
    return ListingConnection.of_each(
        root,
        lambda one: models.Listing.objects.of_publisher(one).select_related("publisher"),
        window=window(first=first, after=after),
        key=["listings"],
    )


def stats_of(root: strawberry.Parent[models.Publisher]) -> PublisherStats:
    """What their listings amount to."""
    listings, downloads = counts_of(root)
    return PublisherStats(
        listing_count=listings,
        total_installs=downloads,
        average_rating=0.0,
        median_review_response_hours=None,
    )


def dependency() -> MarketplaceWorkflow | None:
    """The listing itself, once dependencies can be published."""
    return None


def scan_of(release: models.Release | None) -> SecurityScanResult:
    """What the scan of a release said; PENDING for a listing without one."""
    if release is None:
        return SecurityScanResult.of(Summary.from_json({}), provenance=Provenance(digest=""))
    return SecurityScanResult.of(
        Summary.from_json(release.scan_summary),
        provenance=Provenance(
            digest=release.digest,
            source_repository=URL(release.source_repository) if release.source_repository else None,
            source_commit=release.source_commit or None,
        ),
    )


def _needs(listing: models.Listing) -> Needs:
    release = newest_release(listing)
    return Needs() if release is None else Needs.from_json(release.requirements)


def load_listing(pk: uuid.UUID) -> MarketplaceWorkflow | None:
    """A listing that is on the shelf, or one's own."""
    rows = listings_in_order([pk])
    return MarketplaceWorkflow.of(rows[0]) if rows else None


node_loader("MarketplaceWorkflow", listings_in_order)
extend(DependencyRequirement, "listing", dependency, description="The listing itself.")
extend(
    Author,
    "listings",
    listings_of,
    description="What they have on the shelf, the newest first.",
    directives=[cost(2)],
)
extend(
    Author,
    "stats",
    stats_of,
    description="What their listings amount to.",
    directives=[cost(3)],
)
