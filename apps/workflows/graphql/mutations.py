"""Writes of workflows: each calls one action."""

from __future__ import annotations

import strawberry
from strawberry.scalars import JSON

from apps.kit.graphql.mutations import mutation
from apps.kit.graphql.nodes import key_of
from apps.kit.graphql.scalars import WorkflowDocument
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info
from apps.workflows import actions
from apps.workflows.graph import catalogue
from apps.workflows.graph.validate import read_and_validate
from apps.workflows.graphql.reports import ValidationReport
from apps.workflows.graphql.types import WorkflowPayload

PATH = ("workflowId",)


@strawberry.type
class Mutation:
    """Draw, save, copy, put away."""

    @mutation()
    def create_workflow(
        self, info: Info, document: WorkflowDocument, idempotency_key: strawberry.ID | None = None
    ) -> WorkflowPayload | None:
        """Create a workflow from a document without errors; ids and connections may be left out."""
        row = actions.create_workflow(
            actor=info.context.actor, document=document, idempotency_key=idempotency_key
        )
        return WorkflowPayload.of(row)

    @mutation()
    def save_draft(
        self,
        info: Info,
        workflow_id: strawberry.ID,
        expected_revision: int,
        document: WorkflowDocument | None = None,
        patch: JSON | None = None,
    ) -> WorkflowPayload | None:
        """Save the whole document, or a JSON Patch (RFC 6902), against the revision named."""
        row = actions.save_draft(
            actor=info.context.actor,
            workflow_id=key_of(workflow_id, "Workflow", path=PATH),
            expected_revision=expected_revision,
            document=document,
            patch_operations=patch,
        )
        return WorkflowPayload.of(row)

    @mutation(requires=Permission.WORKFLOWS_READ)
    def validate_workflow(self, document: WorkflowDocument) -> ValidationReport:
        """Say everything about a document without keeping it."""
        _, report = read_and_validate(document, catalogue.INSTALLED)
        return ValidationReport.of(report)

    @mutation()
    def clone_workflow(
        self, info: Info, workflow_id: strawberry.ID, name: str | None = None
    ) -> WorkflowPayload | None:
        """Copy a workflow's draft into a new workflow."""
        key = key_of(workflow_id, "Workflow", path=PATH)
        row = actions.clone_workflow(actor=info.context.actor, workflow_id=key, name=name)
        return WorkflowPayload.of(row)

    @mutation()
    def archive_workflow(self, info: Info, workflow_id: strawberry.ID) -> WorkflowPayload | None:
        """Put a workflow away: it keeps versions and history and starts no more runs."""
        key = key_of(workflow_id, "Workflow", path=PATH)
        row = actions.archive_workflow(actor=info.context.actor, workflow_id=key)
        return WorkflowPayload.of(row)
