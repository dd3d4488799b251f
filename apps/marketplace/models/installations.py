"""Installations and first successful runs: rows of the installer's organization.

They point at the publisher's release by `(publisher_tenant_id, release_id)`: the one named
exception to the rule that foreign keys stay inside a tenant.
"""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.db import models

from apps.kit.clock import now
from apps.marketplace.models.listings import choices
from apps.marketplace.terms import InstallationStatus, UpdatePolicy
from apps.tenancy.constraints import TenantForeignKeyConstraint
from apps.tenancy.managers import TenantManager
from apps.tenancy.models import TenantModel, tenant_constraints


class InstallationQuerySet(models.QuerySet["Installation"]):
    """Questions about installations."""

    def active(self) -> Self:
        """Those in use."""
        return self.filter(status=InstallationStatus.ACTIVE)

    def of_workflow(self, workflow_id: uuid.UUID) -> Self:
        """The installation a workflow came from."""
        return self.filter(workflow_id=workflow_id)

    def in_environments(self, kind: str | None) -> Self:
        """Those in environments of a kind; all for None."""
        return self.filter(environment__kind=kind) if kind else self.all()


InstallationManager = TenantManager.from_queryset(InstallationQuerySet)


class Installation(TenantModel):
    """A release brought into one environment as a workflow of the installer's own."""

    publisher_tenant_id = models.UUIDField()
    listing_id = models.UUIDField()
    release_id = models.UUIDField()
    version = models.CharField(max_length=64)
    digest = models.CharField(max_length=80, help_text="What was installed, as it was verified.")
    workflow = models.ForeignKey(
        "workflows.Workflow", on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    environment = models.ForeignKey(
        "tenancy.Environment", on_delete=models.PROTECT, db_constraint=False, related_name="+"
    )
    status = models.CharField(max_length=20, choices=choices(InstallationStatus))
    configuration = models.JSONField(default=dict, help_text="Overrides as they were given.")
    accepted_permissions = models.JSONField(default=list)
    installed_hash = models.CharField(
        max_length=80, help_text="Content hash of the workflow as installed."
    )
    update_policy = models.CharField(
        max_length=10, choices=choices(UpdatePolicy), default=UpdatePolicy.NOTIFY.value
    )
    installed_by = models.ForeignKey(
        "tenancy.User", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    installed_at = models.DateTimeField(default=now, editable=False)

    objects: ClassVar[InstallationManager[Self]] = InstallationManager(platform=True)

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("installation"),
            TenantForeignKeyConstraint(
                field="workflow",
                to_table="workflows_workflow",
                name="installation_workflow_fk",
                on_delete="CASCADE",
            ),
            TenantForeignKeyConstraint(
                field="environment",
                to_table="tenancy_environment",
                name="installation_environment_fk",
            ),
            models.UniqueConstraint(
                fields=["tenant", "workflow"], name="installation_workflow_key"
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["tenant", "listing_id"], name="installation_listing_idx"),
            models.Index(fields=["listing_id"], name="installation_count_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.listing_id} {self.version}"


class FirstSuccessfulRun(TenantModel):
    """The first time an organization ran a listing to success: one download, counted once."""

    publisher_tenant_id = models.UUIDField()
    listing_id = models.UUIDField()
    release_id = models.UUIDField()
    run_id = models.UUIDField()
    at = models.DateTimeField(default=now, editable=False)

    objects: ClassVar[TenantManager[Self]] = TenantManager(platform=True)

    class Meta(TenantModel.Meta):
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("first_run"),
            models.UniqueConstraint(fields=["tenant", "listing_id"], name="first_run_listing_key"),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["listing_id", "at"], name="first_run_count_idx")
        ]

    def __str__(self) -> str:
        return f"{self.listing_id} {self.at:%Y-%m-%d}"
