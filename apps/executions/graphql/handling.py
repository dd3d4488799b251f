"""The workflow that handles failed runs: read and set."""

from __future__ import annotations

import strawberry

from apps.executions import actions
from apps.executions.actions.handling import default_handler
from apps.kit.graphql.extend import extend
from apps.kit.graphql.mutations import Payload, mutation
from apps.kit.graphql.nodes import key_of
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info, may
from apps.tenancy.graphql.types import Tenant
from apps.tenancy.models import Organization
from apps.workflows.graphql.types import Workflow
from apps.workflows.models import Workflow as WorkflowRow


@strawberry.type
class ErrorHandlerPayload(Payload):
    """What handles failed runs from now on; null for nothing."""

    error_handler: Workflow | None = None


@strawberry.type
class Mutation:
    """What holds for all runs of the organization."""

    @mutation(requires=Permission.TENANT_ADMIN)
    def set_error_handler(
        self, info: Info, workflow_id: strawberry.ID | None = None
    ) -> ErrorHandlerPayload | None:
        """Start this workflow whenever a run fails whose document names no handler; null: none."""
        key = None
        if workflow_id is not None:
            key = key_of(workflow_id, "Workflow", path=("workflowId",))
        row = actions.set_error_handler(actor=info.context.actor, workflow_id=key)
        return ErrorHandlerPayload(error_handler=Workflow.maybe(row))


def error_handler(root: strawberry.Parent[Organization]) -> Workflow | None:
    """The organization's, if it has one that may be seen."""
    key = default_handler() if may(Permission.WORKFLOWS_READ) else None
    if key is None:
        return None
    return Workflow.maybe(WorkflowRow.objects.without_draft().filter(pk=key).first())


extend(
    Tenant,
    "error_handler",
    error_handler,
    description="What every failed run starts whose document names no handler.",
)
