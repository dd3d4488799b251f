"""The ledger: one entry per finished run, written once and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.db import models
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce

from apps.billing.periods import Period
from apps.kit.clock import now
from apps.tenancy.constraints import TenantForeignKeyConstraint
from apps.tenancy.managers import TenantManager
from apps.tenancy.models import TenantModel, tenant_constraints
from apps.tenancy.scope import current_tenant_id


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What a set of entries adds up to. Times in milliseconds, money in minor units of USD."""

    runs: int
    steps: int
    cpu_ms: int
    wall_ms: int
    bytes_in: int
    bytes_out: int
    cost_minor: int


class UsageQuerySet(models.QuerySet["UsageEntry"]):
    """Named questions about what was used."""

    def in_period(self, period: Period) -> UsageQuerySet:
        """Entries of one month, by the index that lists them in time."""
        return self.filter(finished_at__gte=period.begins, finished_at__lt=period.ends)

    def totals(self) -> Totals:
        """The sums, in one query."""
        zero = models.Value(0, output_field=models.BigIntegerField())
        counted = ("steps", "cpu_ms", "wall_ms", "bytes_in", "bytes_out", "cost_minor")
        sums = {name: Coalesce(Sum(name), zero) for name in counted}
        # An alias may not be named like the column that it sums.
        found = self.aggregate(runs=Count("pk"), **{f"sum_{k}": v for k, v in sums.items()})
        return Totals(runs=found["runs"], **{name: int(found[f"sum_{name}"]) for name in counted})


class UsageEntry(TenantModel):
    """What one run used. `period` is the first day of the month in which it finished.

    One is written at the end of every run: it has no index that another can stand in for.
    """

    tenant = models.ForeignKey(
        "tenancy.Organization",
        on_delete=models.CASCADE,
        default=current_tenant_id,
        editable=False,
        related_name="+",
        db_index=False,
    )
    run_id = models.UUIDField()
    workflow_id = models.UUIDField()
    installation_id = models.UUIDField(null=True)
    environment = models.ForeignKey(
        "tenancy.Environment",
        on_delete=models.PROTECT,
        db_constraint=False,
        related_name="+",
        db_index=False,
    )
    state = models.CharField(max_length=20, help_text="How the run ended.")
    finished_at = models.DateTimeField()
    period = models.DateField()
    steps = models.BigIntegerField()
    cpu_ms = models.BigIntegerField()
    wall_ms = models.BigIntegerField()
    bytes_in = models.BigIntegerField()
    bytes_out = models.BigIntegerField()
    cost_minor = models.BigIntegerField()
    recorded_at = models.DateTimeField(default=now, editable=False)

    objects: ClassVar[Any] = TenantManager.from_queryset(UsageQuerySet)()

    class Meta(TenantModel.Meta):
        ordering = ("-finished_at", "-id")
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("usage_entry"),
            models.UniqueConstraint(fields=["tenant", "run_id"], name="usage_entry_run_key"),
            TenantForeignKeyConstraint(
                field="environment",
                to_table="tenancy_environment",
                name="usage_entry_environment_fk",
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["tenant", "-finished_at", "-id"], name="usage_entry_time_idx"),
        ]

    def __str__(self) -> str:
        return f"run {self.run_id} {self.period:%Y-%m}"
