"""What an organization wants of all its runs."""

from __future__ import annotations

from django.db import models

from apps.tenancy.managers import TenantManager, UnscopedManager


class RunDefaults(models.Model):
    """At most one row for each organization."""

    tenant = models.OneToOneField(
        "tenancy.Organization",
        primary_key=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    error_handler_id = models.UUIDField(null=True, help_text="The workflow that failures start.")

    objects = TenantManager()
    unscoped = UnscopedManager()

    class Meta:
        db_table = "run_defaults"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return str(self.tenant_id)
