"""API keys: `nsx_<tenant>_<id>_<secret>`; only an HMAC of the secret is kept."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.kit.clock import now
from apps.tenancy.models.tenant_model import TenantModel, tenant_constraints


class ApiKey(TenantModel):
    """A key of one member: does a subset of what the member may, and dies with the membership."""

    name = models.CharField(max_length=80)
    user = models.ForeignKey("tenancy.User", on_delete=models.CASCADE, related_name="+")
    digest = models.BinaryField(max_length=32, help_text="HMAC-SHA256 of the secret.")
    prefix = models.CharField(max_length=16, help_text="Shown so that people can tell keys apart.")
    scopes = ArrayField(models.CharField(max_length=40))
    created_at = models.DateTimeField(default=now, editable=False)
    last_used_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        ordering = ("-created_at",)
        constraints: ClassVar[list[Any]] = [*tenant_constraints("api_key")]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["tenant", "user"], name="api_key_user_idx")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
