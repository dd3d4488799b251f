"""What every row of a tenant has: a UUIDv7, its tenant, and a manager that fails closed."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models

from apps.kit.ids import uuid7
from apps.tenancy.managers import TenantManager, UnscopedManager
from apps.tenancy.scope import current_tenant_id


class TenantModel(models.Model):
    """A row that belongs to one organization.

    Subclasses write `class Meta(TenantModel.Meta)` and put `*tenant_constraints("name")` first in
    their constraints, so that composite foreign keys can point at them.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(
        "tenancy.Organization",
        on_delete=models.CASCADE,
        default=current_tenant_id,
        editable=False,
        related_name="+",
    )

    objects: ClassVar[TenantManager[Self]] = TenantManager()
    unscoped: ClassVar[UnscopedManager[Self]] = UnscopedManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"


def tenant_constraints(name: str) -> list[models.BaseConstraint]:
    """The composite key `(tenant_id, id)` that tenant foreign keys reference."""
    return [models.UniqueConstraint(fields=["tenant", "id"], name=f"{name}_tenant_id_key")]
