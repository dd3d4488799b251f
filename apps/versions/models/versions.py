"""Commits and snapshots of workflows, and which of them stands in which environment."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, ClassVar

from django.db import models

from apps.kit.clock import now
from apps.tenancy.constraints import TenantForeignKeyConstraint
from apps.tenancy.managers import TenantManager
from apps.tenancy.models import TenantModel, tenant_constraints
from apps.workflows.graph import document as language
from apps.workflows.graph.document import Document

MAIN = "main"


class WorkflowVersionQuerySet(models.QuerySet["WorkflowVersion"]):
    """Questions about versions."""

    def numbered(self) -> WorkflowVersionQuerySet:
        """Commits; snapshots of development runs have no number."""
        return self.exclude(version=None)

    def of(self, workflow_id: uuid.UUID) -> WorkflowVersionQuerySet:
        """One workflow's, newest first."""
        return self.filter(workflow_id=workflow_id).order_by("-id")

    def heads(self, workflow_ids: Iterable[uuid.UUID]) -> WorkflowVersionQuerySet:
        """The newest numbered version of each of these workflows."""
        rows = self.numbered().filter(workflow_id__in=list(workflow_ids))
        return rows.order_by("workflow_id", "-id").distinct("workflow_id")

    def with_author(self) -> WorkflowVersionQuerySet:
        """In the same query."""
        return self.select_related("author")

    def without_document(self) -> WorkflowVersionQuerySet:
        """For lists."""
        return self.defer("document")


class WorkflowVersion(TenantModel):
    """A frozen document. A commit has a semantic version, a snapshot none; neither ever changes."""

    workflow = models.ForeignKey(
        "workflows.Workflow", on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    version = models.CharField(max_length=64, null=True)  # noqa: DJ001 - null is "no number"
    branch = models.CharField(max_length=60, default=MAIN)
    parent = models.ForeignKey(
        "self", null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    content_hash = models.CharField(max_length=71, help_text="Identifies behavior.")
    full_hash = models.CharField(max_length=71, help_text="Identifies the commit.")
    document = models.JSONField()
    changes = models.JSONField(default=dict, help_text="Structural difference from the parent.")
    message = models.TextField(blank=True)
    author = models.ForeignKey(
        "tenancy.User", null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    objects: ClassVar[Any] = TenantManager.from_queryset(WorkflowVersionQuerySet)()

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("version"),
            models.UniqueConstraint(
                fields=["tenant", "workflow", "version"], name="version_number_key"
            ),
            models.UniqueConstraint(
                fields=["tenant", "workflow", "full_hash"],
                condition=models.Q(version=None),
                name="version_snapshot_key",
            ),
            TenantForeignKeyConstraint(
                field="workflow", to_table="workflows_workflow", name="version_workflow_fk"
            ),
            TenantForeignKeyConstraint(
                field="parent", to_table="versions_workflowversion", name="version_parent_fk"
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["tenant", "workflow", "-id"], name="version_workflow_idx")
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """Its number, or the beginning of its hash."""
        return self.version or self.full_hash.removeprefix("sha256:")[:12]

    @property
    def graph(self) -> Document:
        """The document, migrated to today's schema version."""
        return language.parse(self.document)


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    """Questions about deployments."""

    def standing(self) -> DeploymentQuerySet:
        """What is deployed now."""
        return self.filter(superseded_at=None)


class Deployment(TenantModel):
    """A version in an environment, from one instant until the next deployment supersedes it."""

    workflow = models.ForeignKey(
        "workflows.Workflow", on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    environment = models.ForeignKey(
        "tenancy.Environment", on_delete=models.PROTECT, db_constraint=False, related_name="+"
    )
    version = models.ForeignKey(
        WorkflowVersion, on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    deployed_by = models.ForeignKey(
        "tenancy.User", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    deployed_at = models.DateTimeField(default=now, editable=False)
    superseded_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = TenantManager.from_queryset(DeploymentQuerySet)()

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("deployment"),
            models.UniqueConstraint(
                fields=["tenant", "workflow", "environment"],
                condition=models.Q(superseded_at=None),
                name="deployment_standing_key",
            ),
            TenantForeignKeyConstraint(
                field="workflow", to_table="workflows_workflow", name="deployment_workflow_fk"
            ),
            TenantForeignKeyConstraint(
                field="environment",
                to_table="tenancy_environment",
                name="deployment_environment_fk",
            ),
            TenantForeignKeyConstraint(
                field="version", to_table="versions_workflowversion", name="deployment_version_fk"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version_id} in {self.environment_id}"
