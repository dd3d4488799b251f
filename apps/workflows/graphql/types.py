"""Types of workflows: the row, its draft, and the graph drawn in it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable

import strawberry
import strawberry_django
from strawberry import relay
from strawberry.scalars import JSON

from apps.kit.graphql.batch import related
from apps.kit.graphql.connections import Connection, Edge
from apps.kit.graphql.fields import field
from apps.kit.graphql.mutations import Payload
from apps.kit.graphql.nodes import node_loader
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info, may
from apps.tenancy.graphql.types import TenantType, User
from apps.tenancy.models import User as Person
from apps.workflows import models, policies
from apps.workflows.graphql import drawn
from apps.workflows.graphql.document_types import (
    WorkflowConfiguration,
    WorkflowConnection,
    WorkflowNode,
)
from apps.workflows.graphql.reports import ValidationReport
from apps.workflows.models import WorkflowStatus, WorkflowType

strawberry.enum(WorkflowType, name="WorkflowType")
strawberry.enum(WorkflowStatus, name="WorkflowStatus")
NEVER_COMMITTED = "0.0.0"


def person(row: Person | None) -> User:
    """Whoever did it; an account that is gone leaves a name behind, as the API's User may be."""
    gone = Person(pk=uuid.UUID(int=0), name="Former member", email="")
    return User.of(row if row is not None else gone)


@strawberry.type
class WorkflowMetadata:
    """When and by whom."""

    created: dt.datetime
    modified: dt.datetime
    author: User
    tags: list[str]


@strawberry.type
class WorkflowDraft:
    """The draft at a revision; save against that revision."""

    row: strawberry.Private[models.Workflow]
    revision: int
    updated_at: dt.datetime

    @field(points=20)
    def definition(self) -> JSON:
        """The whole document."""
        return JSON(drawn.draft_json(self.row))

    @field(points=30)
    def validation(self) -> ValidationReport:
        """What keeps it from running, and what is worth a look."""
        return ValidationReport.of(drawn.report(self.row))

    @field()
    def updated_by(self) -> User:
        """Who saved last."""
        return person(related(self.row, "draft_updated_by"))

    @field()
    def collaborators(self) -> list[User]:
        """Who has saved it: the author and the last editor."""
        people = (related(self.row, "author"), related(self.row, "draft_updated_by"))
        return [User.of(one) for one in dict.fromkeys(people) if one is not None]

    @classmethod
    def of(cls, row: models.Workflow) -> WorkflowDraft:
        """The draft of a workflow."""
        return cls(row=row, revision=row.draft_revision, updated_at=row.draft_updated_at)


@strawberry_django.type(models.Workflow, name="Workflow", description="A workflow and its draft.")
class Workflow(TenantType, relay.Node):
    """Versions, runs and installations add their fields from above."""

    name: str
    description: str

    @field()
    def type(self, root: strawberry.Parent[models.Workflow]) -> WorkflowType:
        """What kind of work it is."""
        return WorkflowType(root.type)

    @field()
    def status(self, root: strawberry.Parent[models.Workflow]) -> WorkflowStatus:
        """PUBLISHED when a version stands in production."""
        return WorkflowStatus(root.status)

    @field()
    def version(self, root: strawberry.Parent[models.Workflow]) -> str:
        """The version in production, else the head of main; 0.0.0 before the first commit."""
        return root.version or NEVER_COMMITTED

    @field(points=10)
    def nodes(self, root: strawberry.Parent[models.Workflow]) -> list[WorkflowNode]:
        """The nodes of the draft."""
        document = drawn.draft(root)
        written = {node["id"]: node for node in drawn.draft_json(root).get("nodes", ())}
        return [WorkflowNode.of(node, written.get(node.id, {})) for node in document.nodes]

    @field()
    def connections(self, root: strawberry.Parent[models.Workflow]) -> list[WorkflowConnection]:
        """The connections of the draft."""
        return [WorkflowConnection.of(one) for one in drawn.draft(root).connections]

    @field()
    def configuration(self, root: strawberry.Parent[models.Workflow]) -> WorkflowConfiguration:
        """How the draft runs."""
        return WorkflowConfiguration.of(drawn.draft(root).configuration)

    @field()
    def metadata(self, root: strawberry.Parent[models.Workflow]) -> WorkflowMetadata:
        """When and by whom it was made, and its tags."""
        return WorkflowMetadata(
            created=root.created_at,
            modified=root.modified_at,
            author=person(related(root, "author")),
            tags=list(drawn.draft_json(root).get("metadata", {}).get("tags", ())),
        )

    @field()
    def draft(self, root: strawberry.Parent[models.Workflow]) -> WorkflowDraft:
        """What is being drawn."""
        return WorkflowDraft.of(root)

    @field()
    def viewer_can(self, root: strawberry.Parent[models.Workflow], info: Info) -> list[str]:
        """What the caller may do with it, as verbs."""
        return policies.verbs(info.context.actor, root)


@strawberry.type
class WorkflowEdge(Edge[Workflow]):
    """One workflow in a page."""


@strawberry.type
class WorkflowConnectionPage(Connection[Workflow, WorkflowEdge]):
    """A page of workflows, the newest first."""


@strawberry.type
class WorkflowPayload(Payload):
    """The workflow as it is now."""

    workflow: Workflow | None = None
    draft: WorkflowDraft | None = None

    @classmethod
    def of(cls, row: models.Workflow) -> WorkflowPayload:
        """What was written."""
        return cls(workflow=Workflow.of(row), draft=WorkflowDraft.of(row))


def _load(keys: Collection[uuid.UUID]) -> Iterable[models.Workflow]:
    if not may(Permission.WORKFLOWS_READ):
        return []
    found: Iterable[models.Workflow] = models.Workflow.objects.with_people().filter(pk__in=keys)
    return found


node_loader("Workflow", _load)
