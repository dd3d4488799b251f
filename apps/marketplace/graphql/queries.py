"""Reads of the marketplace."""

from __future__ import annotations

import strawberry
from django.db.models import Exists, OuterRef

from apps.kit.graphql.connections import window
from apps.kit.graphql.fields import field
from apps.marketplace import models
from apps.marketplace.graphql import searching
from apps.marketplace.graphql.installing import InstallationConnection
from apps.marketplace.graphql.listings import MarketplaceWorkflow
from apps.marketplace.graphql.publishers import Author
from apps.marketplace.graphql.searching import Marketplace
from apps.marketplace.graphql.shelf import listings_in_order
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info
from apps.tenancy.models import EnvironmentKind


@strawberry.type
class Query:
    """The shelf, and what came from it."""

    search_workflows = field(points=2, multipliers=("first", "last"))(searching.search_workflows)
    get_workflow = field()(searching.get_workflow)

    @field()
    def marketplace(self) -> Marketplace:
        """The product specification's namespace."""
        return Marketplace()

    @field()
    def workflow_by_slug(self, publisher: str, slug: str) -> MarketplaceWorkflow | None:
        """The workflow at publisher/slug."""
        found = models.Listing.objects.by_slug(publisher, slug).values_list("pk", flat=True)
        rows = listings_in_order(found[:1])
        return MarketplaceWorkflow.of(rows[0]) if rows else None

    @field()
    def publisher(self, handle: str) -> Author | None:
        """A publisher by handle."""
        return Author.maybe(models.Publisher.objects.filter(handle=handle).first())

    @field(requires=Permission.WORKFLOWS_READ, points=2, multipliers=("first",))
    def installations(
        self,
        info: Info,
        *,
        environment: EnvironmentKind | None = None,
        outdated_only: bool | None = False,
        first: int | None = 20,
        after: str | None = None,
    ) -> InstallationConnection:
        """What the organization has installed, the newest first."""
        rows = models.Installation.objects.in_environments(environment)
        if outdated_only:
            newer = models.Listing.objects.filter(pk=OuterRef("listing_id")).exclude(
                latest_release_id=OuterRef("release_id")
            )
            rows = rows.filter(Exists(newer.filter(latest_release_id__isnull=False)))
        return InstallationConnection.of(
            rows,
            window=window(first=first, after=after),
            key=["installations", info.context.actor.tenant_id, environment, outdated_only],
        )
