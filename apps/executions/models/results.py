"""Results of pure steps that later steps may take; written by the engine's SQL functions."""

from __future__ import annotations

from typing import Final

from django.db import models

from apps.tenancy.managers import TenantManager, UnscopedManager

MOST_RESULTS: Final = 10_000
"""Of one tenant; the oldest go."""


class CachedResult(models.Model):
    """What a step gave, under a digest of all it was made from."""

    pk = models.CompositePrimaryKey("tenant", "digest")
    tenant = models.ForeignKey(
        "tenancy.Organization", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    digest = models.BinaryField()
    node_type = models.TextField()
    outputs = models.JSONField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    objects = TenantManager()
    unscoped = UnscopedManager()

    class Meta:
        db_table = "step_cache"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"{self.node_type} until {self.expires_at:%Y-%m-%d %H:%M}"
