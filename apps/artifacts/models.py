"""Rows of the artifacts: which objects a tenant has, and what running uploads hold of its quota."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from apps.artifacts.reference import MAX_MEDIA_TYPE, StoredObject
from apps.kit.clock import now
from apps.tenancy.models import TenantModel, tenant_constraints


class Artifact(TenantModel):
    """A stored object. Never changed: other content is another artifact."""

    digest = models.CharField(max_length=71)
    media_type = models.CharField(max_length=MAX_MEDIA_TYPE)
    bytes = models.BigIntegerField()
    created_by_run = models.UUIDField(null=True, help_text="The run that made it first.")
    created_at = models.DateTimeField(default=now, editable=False)
    stored_at = models.DateTimeField(
        default=now, help_text="When it was last stored; garbage collection spares the young."
    )

    class Meta(TenantModel.Meta):
        ordering = ("-created_at", "-id")
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("artifact"),
            models.UniqueConstraint(fields=["tenant", "digest"], name="artifact_digest_key"),
            models.CheckConstraint(
                condition=models.Q(bytes__gte=0), name="artifact_bytes_not_negative"
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["tenant", "stored_at", "id"], name="artifact_stored_idx"),
            models.Index(fields=["tenant", "created_by_run"], name="artifact_run_idx"),
        ]

    def __str__(self) -> str:
        return self.digest

    @property
    def stored(self) -> StoredObject:
        """As it travels in histories."""
        return StoredObject(digest=self.digest, media_type=self.media_type, bytes=self.bytes)


class Reservation(TenantModel):
    """Quota that an upload holds until it is settled; after a crash, until the sweep."""

    bytes = models.BigIntegerField()
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantModel.Meta):
        constraints: ClassVar[list[Any]] = [*tenant_constraints("artifact_reservation")]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["tenant", "created_at"], name="artifact_reservation_age_idx")
        ]

    def __str__(self) -> str:
        return f"{self.bytes} bytes"
