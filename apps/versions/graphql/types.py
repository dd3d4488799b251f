"""Types of versions: the frozen row, its commit, what changed, where it stands."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

import strawberry
import strawberry_django
from strawberry import relay
from strawberry.scalars import JSON

from apps.kit.graphql.batch import batched, related
from apps.kit.graphql.connections import Connection, Edge
from apps.kit.graphql.fields import field
from apps.kit.graphql.mutations import Payload
from apps.kit.graphql.nodes import global_id, node_loader
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import may
from apps.tenancy.graphql.types import TenantType, User
from apps.tenancy.models import EnvironmentKind
from apps.versions import models
from apps.versions.graphql.approvals import ApprovalComment, ApprovalRequest, comments_of
from apps.versions.graphql.changes import GraphChanges
from apps.versions.models import ApprovalStatus
from apps.workflows.graph import catalogue
from apps.workflows.graph import document as language
from apps.workflows.graph.validate import validate
from apps.workflows.graphql.reports import ValidationReport
from apps.workflows.graphql.types import person


@strawberry.enum
class RolloutStrategy(enum.Enum):
    """How a version takes an environment over."""

    IMMEDIATE = "IMMEDIATE"
    CANARY = "CANARY"
    BLUE_GREEN = "BLUE_GREEN"


@strawberry.type
class VersionCommit:
    """Who froze it, when, why, and under which hash."""

    hash: str
    author: User
    timestamp: dt.datetime
    message: str


@strawberry.type
class ApprovalState:
    """What people said of this version."""

    required: bool
    approvers: list[User]
    status: ApprovalStatus
    comments: list[ApprovalComment]


@strawberry.type
class DeploymentState:
    """Where it stands now."""

    environments: list[EnvironmentKind]
    rollout_strategy: RolloutStrategy = RolloutStrategy.IMMEDIATE
    rollback_version: str | None = None


@strawberry_django.type(
    models.WorkflowVersion, name="WorkflowVersion", description="A frozen workflow document."
)
class WorkflowVersion(TenantType, relay.Node):
    """A commit with a number, or the unnumbered snapshot of a development run."""

    branch: str

    @field()
    def workflow_id(self, root: strawberry.Parent[models.WorkflowVersion]) -> strawberry.ID:
        """Whose version it is."""
        return global_id("Workflow", root.workflow_id)

    @field()
    def version(self, root: strawberry.Parent[models.WorkflowVersion]) -> str:
        """Its semantic version; a snapshot shows the beginning of its hash."""
        return root.label

    @field()
    def commit(self, root: strawberry.Parent[models.WorkflowVersion]) -> VersionCommit:
        """Who, when, why."""
        return VersionCommit(
            hash=root.full_hash,
            author=person(related(root, "author")),
            timestamp=root.created_at,
            message=root.message,
        )

    @field()
    def parents(self, root: strawberry.Parent[models.WorkflowVersion]) -> list[strawberry.ID]:
        """What it was made from."""
        if root.parent_id is None:
            return []
        return [global_id("WorkflowVersion", root.parent_id)]

    @field()
    def tags(self) -> list[str]:
        """Names given to it; none yet."""
        return []

    @field()
    def changes(self, root: strawberry.Parent[models.WorkflowVersion]) -> GraphChanges:
        """The structural difference from its parent."""
        return GraphChanges.of(root.changes)

    @field(points=30)
    def validation(self, root: strawberry.Parent[models.WorkflowVersion]) -> ValidationReport:
        """What today's catalogue says of it."""
        document = language.parse(_document(root))
        return ValidationReport.of(validate(document, catalogue.INSTALLED))

    @field()
    def approval(self, root: strawberry.Parent[models.WorkflowVersion]) -> ApprovalState:
        """The latest question asked about it."""
        subject = global_id("WorkflowVersion", root.pk)
        asked = batched(root, "approvals", _approvals, subject)
        if asked is None:
            status = ApprovalStatus.NOT_REQUIRED
            return ApprovalState(required=False, approvers=[], status=status, comments=[])
        return ApprovalState(
            required=True,
            approvers=[User.of(vote.voter) for vote in asked.votes.all() if vote.approve],
            status=ApprovalStatus(asked.status),
            comments=comments_of(asked),
        )

    @field()
    def deployment(self, root: strawberry.Parent[models.WorkflowVersion]) -> DeploymentState:
        """Where it stands now."""
        return DeploymentState(environments=batched(root, "places", _places, root.pk) or [])

    @field(points=20)
    def definition(self, root: strawberry.Parent[models.WorkflowVersion]) -> JSON:
        """The document."""
        return JSON(_document(root))


@strawberry.type
class WorkflowVersionEdge(Edge[WorkflowVersion]):
    """One version in a page."""


@strawberry.type
class WorkflowVersionConnection(Connection[WorkflowVersion, WorkflowVersionEdge]):
    """A page of versions, the newest first."""


@strawberry.type
class WorkflowVersionPayload(Payload):
    """The version, and the approval it waits for."""

    version: WorkflowVersion | None = None
    approval: ApprovalRequest | None = None


@strawberry.type
class Branch:
    """A line of versions."""

    name: str
    head: WorkflowVersion
    is_protected: bool = False
    ahead: int = 0
    behind: int = 0


def _approvals(rows: tuple[models.WorkflowVersion, ...]) -> dict[Any, models.Approval]:
    subjects = [global_id("WorkflowVersion", row.pk) for row in rows]
    asked = models.Approval.objects.with_votes().filter(subject__in=subjects).order_by("id")
    return {approval.subject: approval for approval in asked}


def _places(rows: tuple[models.WorkflowVersion, ...]) -> dict[Any, list[EnvironmentKind]]:
    standing = models.Deployment.objects.standing().select_related("environment")
    found: dict[Any, list[EnvironmentKind]] = defaultdict(list)
    for deployment in standing.filter(version__in=[row.pk for row in rows]):
        found[deployment.version_id].append(EnvironmentKind(deployment.environment.kind))
    return found


def _document(row: models.WorkflowVersion) -> Any:
    """Lists leave documents out; asked for, they are loaded for the whole page."""
    if "document" not in row.get_deferred_fields():
        return row.document
    return batched(row, "document", _documents, row.pk)


def _documents(rows: tuple[models.WorkflowVersion, ...]) -> dict[Any, Any]:
    wanted = models.WorkflowVersion.objects.filter(pk__in=[row.pk for row in rows])
    return dict(wanted.values_list("pk", "document"))


def _load(keys: Collection[uuid.UUID]) -> Iterable[models.WorkflowVersion]:
    if not may(Permission.WORKFLOWS_READ):
        return []
    found: Iterable[models.WorkflowVersion]
    found = models.WorkflowVersion.objects.with_author().filter(pk__in=keys)
    return found


node_loader("WorkflowVersion", _load)
