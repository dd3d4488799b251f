"""Installations as the API shows them: the plan before, the result after, and how one stands."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import strawberry
import strawberry_django
from strawberry import relay
from strawberry.scalars import JSON

from apps.billing.graphql.types import EntitlementStatus
from apps.kit.graphql.batch import batched, related, share
from apps.kit.graphql.connections import Connection, Edge
from apps.kit.graphql.errors import UserError, user_error
from apps.kit.graphql.extend import extend
from apps.kit.graphql.fields import field
from apps.kit.graphql.nodes import node_loader
from apps.kit.graphql.scalars import SemVer
from apps.kit.pages import MAX_PAGE, Window, first_pages
from apps.marketplace import models, semver
from apps.marketplace.graphql.facts import (
    PricingPlan,
)
from apps.marketplace.graphql.listings import (
    MarketplaceWorkflow,
)
from apps.marketplace.graphql.reviews import Review
from apps.marketplace.graphql.shelf import latest_release, listings_in_order, withdrawn
from apps.marketplace.planning import blockers
from apps.marketplace.terms import InstallationStatus, UpdatePolicy
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info, may
from apps.tenancy.graphql.types import DeploymentEnvironment, TenantType, User
from apps.tenancy.models import EnvironmentKind
from apps.versions.graphql.changes import VersionDiff
from apps.versions.models import WorkflowVersion
from apps.workflows.graph import difference
from apps.workflows.graph.document import parse
from apps.workflows.graphql.types import Workflow, person


@strawberry.type
class MergeConflict:
    """A field that both sides changed."""

    node_id: str
    path: str
    base: JSON | None
    ours: JSON | None
    theirs: JSON | None


@strawberry.type
class UpdateInfo:
    """A newer release of what is installed."""

    row: strawberry.Private[models.Installation]
    release: strawberry.Private[models.Release]
    version: SemVer
    is_breaking: bool
    is_security_fix: bool = False
    requires_approval: bool = False

    @field(points=5)
    def diff(self) -> VersionDiff:
        """What changed between the installed release and this one."""
        documents = dict(
            models.Release.objects.filter(pk__in=[self.row.release_id, self.release.pk])
            .values_list("pk", "document")
        )  # fmt: skip
        before = documents.get(self.row.release_id) or documents[self.release.pk]
        changes = difference.compare(parse(before), parse(documents[self.release.pk]))
        return VersionDiff.of(changes, before=self.row.version, after=self.release.version)

    @field()
    def conflicts(self) -> list[MergeConflict]:
        """Merging local changes comes with upgrades."""
        return []


@strawberry.type
class InstallationEvent:
    """Something that happened to an installation."""

    at: dt.datetime
    kind: str
    from_version: SemVer | None
    to_version: SemVer | None
    actor: User | None
    message: str | None


@strawberry_django.type(
    models.Installation, name="Installation", description="A release in one environment."
)
class Installation(TenantType, relay.Node):
    """A workflow of one's own that came from the shelf."""

    installed_at: dt.datetime

    @field()
    def listing(self, root: strawberry.Parent[models.Installation]) -> MarketplaceWorkflow:
        """Where it came from; REMOVED and without a name once it is no longer shown."""
        found = batched(root, "listings", _listings, root.listing_id)
        return MarketplaceWorkflow.of(found or withdrawn(root.listing_id))

    @field()
    def version(self, root: strawberry.Parent[models.Installation]) -> SemVer:
        """The release that is installed."""
        return SemVer(root.version)

    @field()
    def environment(self, root: strawberry.Parent[models.Installation]) -> EnvironmentKind:
        """The kind of environment."""
        return EnvironmentKind(related(root, "environment").kind)

    @field()
    def named_environment(
        self, root: strawberry.Parent[models.Installation]
    ) -> DeploymentEnvironment | None:
        """The environment itself."""
        return DeploymentEnvironment.of(related(root, "environment"))

    @field()
    def workflow(self, root: strawberry.Parent[models.Installation]) -> Workflow:
        """What it became."""
        return Workflow.of(related(root, "workflow"))

    @field()
    def status(self, root: strawberry.Parent[models.Installation]) -> InstallationStatus:
        """How it stands."""
        return InstallationStatus(root.status)

    @field()
    def configuration(self, root: strawberry.Parent[models.Installation]) -> JSON:
        """The overrides as they were given."""
        return JSON(root.configuration)

    @field()
    def locally_modified(self, root: strawberry.Parent[models.Installation]) -> bool:
        """Whether the workflow has been changed since."""
        return bool(batched(root, "modified", _modified, root.pk))

    @field()
    def available_update(self, root: strawberry.Parent[models.Installation]) -> UpdateInfo | None:
        """A newer stable release, if there is one."""
        release = batched(root, "updates", _updates, root.pk)
        if release is None:
            return None
        return UpdateInfo(
            row=root,
            release=release,
            version=SemVer(release.version),
            is_breaking=release.is_breaking,
        )

    @field()
    def update_policy(self, root: strawberry.Parent[models.Installation]) -> UpdatePolicy:
        """What happens when a newer release appears."""
        return UpdatePolicy(root.update_policy)

    @field()
    def installed_by(self, root: strawberry.Parent[models.Installation]) -> User:
        """Who installed it."""
        return person(related(root, "installed_by"))

    @field()
    def history(self, root: strawberry.Parent[models.Installation]) -> list[InstallationEvent]:
        """What happened to it, the oldest first."""
        return [
            InstallationEvent(
                at=root.installed_at,
                kind="INSTALLED",
                from_version=None,
                to_version=SemVer(root.version),
                actor=User.maybe(related(root, "installed_by")),
                message=None,
            )
        ]


@strawberry.type
class InstallationEdge(Edge[Installation]):
    """One installation in a page."""


@strawberry.type
class InstallationConnection(Connection[Installation, InstallationEdge]):
    """A page of installations, the newest first."""


@strawberry.type
class Entitlement:
    """What an organization has bought."""

    id: strawberry.ID
    plan: PricingPlan
    status: EntitlementStatus
    trial_ends_at: dt.datetime | None
    renews_at: dt.datetime | None
    seats: int | None


@strawberry.type
class ViewerListingState:
    """How the viewer's tenant stands towards a listing."""

    row: strawberry.Private[models.Listing]
    can_install: bool
    can_review: bool = False
    is_subscribed_to_updates: bool = False

    @field(points=2)
    def installations(self) -> list[Installation]:
        """Its installations here, the newest first."""
        found = batched(self.row, "installations", _installations, self.row.pk) or ()
        return [Installation.of(row) for row in found]

    @field()
    def entitlement(self) -> Entitlement | None:
        """What the tenant has bought; nothing can be bought yet."""
        return None

    @field()
    def blockers(self, info: Info) -> list[UserError]:
        """Why it cannot be installed here, whatever is configured."""
        found = blockers(info.context.actor, self.row, latest_release(self.row))
        return [user_error(refusal) for refusal in found]

    @field()
    def review(self) -> Review | None:
        """What the tenant said of it."""
        return None


def viewer(root: strawberry.Parent[models.Listing], info: Info) -> ViewerListingState | None:
    """How the viewer's tenant stands towards this item."""
    actor = info.context.actor
    if actor.tenant_id is None:
        return None
    return ViewerListingState(row=root, can_install=not blockers(actor, root, latest_release(root)))


def _installations(
    rows: tuple[models.Listing, ...],
) -> Mapping[Any, tuple[models.Installation, ...]]:
    pages = first_pages(
        {row.pk: models.Installation.objects.filter(listing_id=row.pk) for row in rows},
        order=("-id",),
        window=Window(first=MAX_PAGE),
        keys={row.pk: row.pk for row in rows},
    )
    share(one for page in pages.values() for one in page.items)
    return {pk: page.items for pk, page in pages.items()}


def _listings(rows: tuple[models.Installation, ...]) -> Mapping[Any, models.Listing]:
    found = listings_in_order({row.listing_id for row in rows})
    return {listing.pk: listing for listing in found}


def _modified(rows: tuple[models.Installation, ...]) -> Mapping[Any, bool]:
    """Compared with the version that was made at install: the draft's hash is the same, or not."""
    first = dict(
        WorkflowVersion.objects.filter(workflow__in=[row.workflow_id for row in rows])
        .numbered()
        .order_by("workflow_id", "pk")
        .distinct("workflow_id")
        .values_list("workflow_id", "full_hash")
    )
    return {
        row.pk: related(row, "workflow").draft_hash != first.get(row.workflow_id) for row in rows
    }


def _updates(rows: tuple[models.Installation, ...]) -> Mapping[Any, models.Release]:
    latest = {
        listing.latest_release_id: listing
        for listing in _listings(rows).values()
        if listing.latest_release_id
    }
    releases = {
        release.listing_id: release
        for release in models.Release.objects.without_document().filter(pk__in=list(latest))
    }
    return {
        row.pk: releases[row.listing_id]
        for row in rows
        if row.listing_id in releases
        and semver.latest([row.version, releases[row.listing_id].version]) != row.version
    }


def load_installations(keys: Collection[uuid.UUID]) -> Iterable[models.Installation]:
    """The organization's own."""
    if not may(Permission.WORKFLOWS_READ):
        return []
    found: Iterable[models.Installation] = models.Installation.objects.filter(pk__in=keys)
    return found


node_loader("Installation", load_installations)
extend(MarketplaceWorkflow, "viewer", viewer, description="How the viewer's tenant stands to it.")
