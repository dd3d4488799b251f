"""What tenancy keeps about acts: the audit trail, limits and what is used, idempotency keys."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from apps.kit.clock import now
from apps.tenancy.models.tenant_model import TenantModel, tenant_constraints


class AuditRow(TenantModel):
    """One act of a person, a key or the platform. Append-only; a job seals it into a chain."""

    at = models.DateTimeField(default=now, editable=False)
    actor = models.CharField(max_length=160)
    user_id = models.UUIDField(null=True)
    api_key_id = models.UUIDField(null=True)
    ip = models.GenericIPAddressField(null=True)
    action = models.CharField(max_length=80)
    target = models.CharField(max_length=200)
    before = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    position = models.BigIntegerField(null=True, help_text="Place in the sealed chain, from 1.")
    previous_hash = models.CharField(max_length=64, null=True)  # noqa: DJ001 - null means unsealed
    hash = models.CharField(max_length=64, null=True)  # noqa: DJ001 - null means unsealed

    class Meta(TenantModel.Meta):
        ordering = ("-at", "-id")
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("audit_row"),
            models.UniqueConstraint(fields=["tenant", "position"], name="audit_row_position_key"),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["tenant", "-at", "-id"], name="audit_row_at_idx"),
            models.Index(
                fields=["tenant", "id"],
                condition=models.Q(position=None),
                name="audit_row_unsealed_idx",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.action}"


class Limit(TenantModel):
    """How much of a metric a tenant may have, and has. `period` is null for what never resets."""

    metric = models.CharField(max_length=40)
    limit = models.BigIntegerField()
    used = models.BigIntegerField(default=0)
    period = models.DateField(null=True, help_text="First day of the month `used` counts.")

    class Meta(TenantModel.Meta):
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("limit"),
            models.UniqueConstraint(fields=["tenant", "metric"], name="limit_metric_key"),
            models.CheckConstraint(condition=models.Q(used__gte=0), name="limit_used_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.metric} {self.used}/{self.limit}"


class IdempotencyKey(TenantModel):
    """What an action answered to a key, written in the action's own transaction, kept 24 h."""

    operation = models.CharField(max_length=60)
    key = models.CharField(max_length=200)
    request_digest = models.CharField(max_length=64)
    result_id = models.UUIDField(null=True)
    expires_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("idempotency_key"),
            models.UniqueConstraint(
                fields=["tenant", "operation", "key"], name="idempotency_key_key"
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["expires_at"], name="idempotency_key_expires_idx")
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.key}"


class JobPeriod(models.Model):
    """That a platform job was started for a period; the row is the claim: no leader is needed."""

    job = models.CharField(max_length=120)
    period = models.DateTimeField(help_text="Beginning of the period.")

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["job", "period"], name="job_period_key")
        ]

    def __str__(self) -> str:
        return f"{self.job} {self.period:%Y-%m-%d %H:%M:%S}"
