"""Sample data: the outputs of a node that test runs take instead of running it."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.db import models

from apps.kit.clock import now
from apps.tenancy import scope
from apps.tenancy.managers import TenantManager, UnscopedManager


class PinQuerySet(models.QuerySet["Pin"]):
    """Named questions about pins."""

    def of(self, workflow_id: uuid.UUID) -> Self:
        """Of one workflow."""
        return self.filter(workflow_id=workflow_id)


class Pin(models.Model):
    """Outputs by port of a node of the draft. No part of the document: no version has them."""

    pk = models.CompositePrimaryKey("tenant", "workflow_id", "node_id")
    tenant = models.ForeignKey(
        "tenancy.Organization",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
        default=scope.current_tenant_id,
    )
    workflow_id = models.UUIDField()
    node_id = models.TextField()
    outputs = models.JSONField()
    pinned_at = models.DateTimeField(default=now)

    objects: ClassVar[Any] = TenantManager.from_queryset(PinQuerySet)()
    unscoped: ClassVar[Any] = UnscopedManager.from_queryset(PinQuerySet)()

    class Meta:
        db_table = "pinned_output"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"{self.node_id} of {self.workflow_id}"
