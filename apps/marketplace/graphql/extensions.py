"""What the marketplace adds to the types of lower apps."""

from __future__ import annotations

import strawberry

from apps.kit.graphql.batch import batched
from apps.kit.graphql.cost import cost
from apps.kit.graphql.extend import extend
from apps.kit.graphql.nodes import split_id
from apps.marketplace import models
from apps.marketplace.actions.publishing import SUBJECT
from apps.marketplace.graphql.installing import Installation
from apps.marketplace.graphql.listings import scan_of
from apps.marketplace.graphql.publishers import Author
from apps.security_scan.graphql.types import SecurityScanResult
from apps.tenancy.graphql.types import Tenant
from apps.tenancy.models import Organization
from apps.versions.graphql.approvals import ApprovalRequest
from apps.versions.graphql.changes import VersionDiff
from apps.versions.models import Approval
from apps.workflows.graph import difference
from apps.workflows.graph.document import parse
from apps.workflows.graphql.types import Workflow
from apps.workflows.models import Workflow as WorkflowRow


def installed_from(root: strawberry.Parent[WorkflowRow]) -> Installation | None:
    """The installation it came from."""
    return Installation.maybe(batched(root, "installed_from", _installations, root.pk))


def publisher(root: strawberry.Parent[Organization]) -> Author | None:
    """The organization as the marketplace shows it; null before its first release."""
    return Author.maybe(models.Publisher.objects.filter(tenant_id=root.pk).first())


def scan(root: strawberry.Parent[Approval]) -> SecurityScanResult | None:
    """What the scan of the release in question said."""
    named = split_id(root.subject)
    if named is None or named[0] != SUBJECT:
        return None
    found = batched(root, "release", _releases, root.pk)
    return None if found is None else scan_of(found)


def diff(root: strawberry.Parent[Approval]) -> VersionDiff | None:
    """From what is on the shelf to the release in question; null for a listing's first."""
    pair = batched(root, "releases compared", _pairs, root.pk)
    if pair is None:
        return None
    shown, found = pair
    changes = difference.compare(parse(shown.document), parse(found.document))
    return VersionDiff.of(changes, before=shown.version, after=found.version)


def _releases(rows: tuple[Approval, ...]) -> dict[object, models.Release]:
    asked = models.Release.objects.without_document().filter(approval_id__in=[r.pk for r in rows])
    return {one.approval_id: one for one in asked}


def _pairs(rows: tuple[Approval, ...]) -> dict[object, tuple[models.Release, models.Release]]:
    """What is on the shelf and what is in question, by approval; two queries for a page."""
    asked = models.Release.objects.filter(approval_id__in=[row.pk for row in rows])
    found = list(asked.select_related("listing"))
    latest = [key for one in found if (key := one.listing.latest_release_id) is not None]
    on_shelf = {one.pk: one for one in models.Release.objects.filter(pk__in=latest)}
    return {
        one.approval_id: (on_shelf[one.listing.latest_release_id], one)
        for one in found
        if one.listing.latest_release_id in on_shelf and one.listing.latest_release_id != one.pk
    }


def _installations(rows: tuple[WorkflowRow, ...]) -> dict[object, models.Installation]:
    found = models.Installation.objects.filter(workflow__in=[row.pk for row in rows])
    return {one.workflow_id: one for one in found}


extend(Workflow, "installed_from", installed_from, description="The installation it came from.")
extend(Tenant, "publisher", publisher, description="The organization as a publisher.")
extend(
    ApprovalRequest,
    "diff",
    diff,
    description="From what is on the shelf to the release in question.",
    directives=[cost(5)],
)
extend(ApprovalRequest, "scan", scan, description="The scan of the release in question.")
