"""Writes of versions: each calls one action."""

from __future__ import annotations

from collections.abc import Mapping

import strawberry
from strawberry.scalars import JSON

from apps.kit.errors import Refusal
from apps.kit.graphql.mutations import mutation
from apps.kit.graphql.nodes import key_of
from apps.tenancy.graphql.context import Info
from apps.tenancy.models import EnvironmentKind
from apps.versions import actions
from apps.versions.graphql.approvals import ApprovalPayload, ApprovalRequest
from apps.versions.graphql.types import (
    RolloutStrategy,
    WorkflowVersion,
    WorkflowVersionPayload,
)
from apps.workflows.graphql.types import WorkflowPayload


@strawberry.type
class Mutation:
    """Freeze, deploy, decide."""

    @mutation()
    def commit_version(
        self,
        info: Info,
        workflow_id: strawberry.ID,
        branch: str,
        message: str,
        version: str | None = None,
    ) -> WorkflowVersionPayload | None:
        """Freeze the draft under a semantic version; without one, the change decides the bump."""
        row = actions.commit_version(
            actor=info.context.actor,
            workflow_id=key_of(workflow_id, "Workflow", path=("workflowId",)),
            branch=branch,
            message=message,
            version=version,
        )
        return WorkflowVersionPayload(version=WorkflowVersion.of(row))

    @mutation()
    def deploy_version(
        self,
        info: Info,
        version_id: strawberry.ID,
        environment: EnvironmentKind,
        strategy: RolloutStrategy | None = RolloutStrategy.IMMEDIATE,
        canary_percent: int | None = None,
    ) -> WorkflowVersionPayload | None:
        """Let a committed version stand in an environment, at once."""
        if strategy not in (None, RolloutStrategy.IMMEDIATE) or canary_percent is not None:
            raise Refusal(
                "Versions take an environment over at once so far. Use IMMEDIATE and leave "
                "canaryPercent out.",
                path=("strategy",),
            )
        deployment = actions.deploy_version(
            actor=info.context.actor,
            version_id=key_of(version_id, "WorkflowVersion", noun="version", path=("versionId",)),
            environment=environment,
        )
        return WorkflowVersionPayload(version=WorkflowVersion.of(deployment.version))

    @mutation()
    def restore_workflow(
        self, info: Info, workflow_id: strawberry.ID, version: str | None = None
    ) -> WorkflowPayload | None:
        """Take a workflow out of the archive; a version named becomes its draft again."""
        row = actions.restore_version(
            actor=info.context.actor,
            workflow_id=key_of(workflow_id, "Workflow", path=("workflowId",)),
            version=version,
        )
        return WorkflowPayload.of(row)

    @mutation()
    def decide_approval(
        self,
        info: Info,
        approval_id: strawberry.ID,
        approve: bool,  # noqa: FBT001 - arguments of GraphQL are named
        comment: str | None = None,
        form: JSON | None = None,
    ) -> ApprovalPayload | None:
        """Cast a vote; a no needs a reason."""
        if form is not None and not isinstance(form, Mapping):
            raise Refusal("The form is an object of answers.", path=("form",))
        row = actions.decide_approval(
            actor=info.context.actor,
            approval_id=key_of(
                approval_id, "ApprovalRequest", noun="approval", path=("approvalId",)
            ),
            approve=approve,
            comment=comment or "",
            form=form,
        )
        return ApprovalPayload(approval=ApprovalRequest.of(row))
