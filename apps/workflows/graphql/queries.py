"""Reads of workflows and of the catalogue."""

from __future__ import annotations

import strawberry

from apps.kit.graphql.connections import window
from apps.kit.graphql.fields import field
from apps.kit.graphql.nodes import load_node, split_id
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info
from apps.workflows import models
from apps.workflows.graphql import catalogue_types
from apps.workflows.graphql.catalogue_types import NodeTypeDefinition
from apps.workflows.graphql.types import Workflow, WorkflowConnectionPage
from apps.workflows.models import WorkflowStatus, WorkflowType

MAX_QUERY = 200


@strawberry.type
class Query:
    """Workflows of the organization, and what they can be drawn with."""

    @field(requires=Permission.WORKFLOWS_READ)
    def workflows(
        self,
        info: Info,
        query: str | None = None,
        type: WorkflowType | None = None,
        status: WorkflowStatus | None = None,
        first: int | None = 20,
        after: str | None = None,
    ) -> WorkflowConnectionPage:
        """Workflows whose name begins so, the newest first; archived ones only when asked for."""
        asked = (query or "").strip()[:MAX_QUERY]
        kind, state = type and type.value, status and status.value
        found = models.Workflow.objects.matching(query=asked, type_=kind, status=state)
        return WorkflowConnectionPage.of(
            found.with_people().without_draft(),
            window=window(first=first, after=after),
            key=["workflows", info.context.actor.tenant_id, asked, kind, state],
        )

    @field(requires=Permission.WORKFLOWS_READ)
    def workflow(self, id: strawberry.ID) -> Workflow | None:
        """One workflow; null for an id that is not visible here."""
        named = split_id(id)
        if named is not None and named[0] != "Workflow":
            return None
        found: Workflow | None = load_node(id)
        return found

    @field(requires=Permission.WORKFLOWS_READ, points=5)
    def node_types(
        self, query: str | None = None, category: str | None = None
    ) -> list[NodeTypeDefinition]:
        """What workflows can be drawn with here, by type."""
        return catalogue_types.search(query=(query or "")[:MAX_QUERY], category=category)
