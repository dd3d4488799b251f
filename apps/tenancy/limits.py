"""How much of each metric a tenant may have and has: checked and counted in one statement.

Billing sets the limits from the plan; everybody who writes asks `require` in the same transaction,
and last, because the row is shared by all of a tenant's writes. The SQL function
`tenancy_require_1` is the one place that counts; the engine's start function calls it too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from django.db import DatabaseError, connection

from apps.kit.clock import now
from apps.kit.errors import QuotaExceeded
from apps.tenancy import scope
from apps.tenancy.frozen import Frozen
from apps.tenancy.models import Limit

QUOTA_SQLSTATE = "NSQ01"


class Metric(StrEnum):
    """What is counted. A unit each: pieces, bytes, or runs started in a calendar month (UTC).

    FAIR_SHARE is a weight: of workers that do not suffice, two get twice as much as one.
    """

    MEMBERS = "members"
    WORKFLOWS = "workflows"
    SECRETS = "secrets"
    API_KEYS = "api_keys"
    STORAGE_BYTES = "storage_bytes"
    RUNS_PER_MONTH = "runs_per_month"
    CONCURRENT_RUNS = "concurrent_runs"
    CONCURRENT_STEPS = "concurrent_steps"
    QUEUED_RUNS = "queued_runs"
    STARTS_PER_MINUTE = "starts_per_minute"
    FAIR_SHARE = "fair_share"
    RETENTION_DAYS = "retention_days"
    API_POINTS_PER_HOUR = "api_points_per_hour"


MONTHLY = frozenset({Metric.RUNS_PER_MONTH})
# Counted where they happen (leased rows, the rate limiter's bucket), never in `used`.
CEILINGS = frozenset(
    {
        Metric.CONCURRENT_RUNS,
        Metric.CONCURRENT_STEPS,
        Metric.QUEUED_RUNS,
        Metric.STARTS_PER_MINUTE,
        Metric.FAIR_SHARE,
        Metric.RETENTION_DAYS,
        Metric.API_POINTS_PER_HOUR,
    }
)
# For tenants whose plan was chosen before the metric was there.
UNSAID = {Metric.STARTS_PER_MINUTE: 600, Metric.FAIR_SHARE: 1, Metric.RETENTION_DAYS: 90}
_CEILINGS: Frozen[Limit] = Frozen(lambda: Limit.objects.values_list("metric", "limit"))


@dataclass(frozen=True)
class Allowance:
    """One metric of one tenant. `resets_at` is null for what never resets."""

    metric: Metric
    limit: int
    used: int
    resets_at: dt.datetime | None


def require(metric: Metric, amount: int = 1) -> None:
    """Take `amount` of the metric or raise QuotaExceeded; give back with a negative amount."""
    tenant_id = scope.current_tenant_id()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT tenancy_require_1(%s, %s, %s)", [tenant_id, metric, amount])
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) != QUOTA_SQLSTATE:
            raise
        raise exceeded(metric, str(error.__cause__)) from error


def release(metric: Metric, amount: int = 1) -> None:
    """Give back `amount` of the metric."""
    require(metric, -amount)


def exceeded(metric: Metric, message: str) -> QuotaExceeded:
    """The refusal behind the SQL function's message "<limit> <used>"."""
    limit, used = (int(part) for part in message.split("\n", 1)[0].split()[-2:])
    return QuotaExceeded(metric=metric, limit=limit, used=used, resets_at=_reset(metric))


def allowance(metric: Metric) -> Allowance:
    """What the tenant in force may have of a metric, and has."""
    row = Limit.objects.filter(metric=metric).first()
    if row is None:
        return Allowance(metric=metric, limit=0, used=0, resets_at=_reset(metric))
    stale = metric in MONTHLY and row.period != _month()
    return Allowance(
        metric=metric, limit=row.limit, used=0 if stale else row.used, resets_at=_reset(metric)
    )


def ceilings() -> dict[Metric, int]:
    """The limits of all metrics that are counted where they happen; 0 without one."""
    rows = {metric: limit for metric, limit in _CEILINGS.rows() if metric in CEILINGS}
    return {metric: rows.get(metric, UNSAID.get(metric, 0)) for metric in CEILINGS}


def allowances() -> tuple[Allowance, ...]:
    """All metrics of the tenant in force, in the order of the enum, in one query."""
    rows = {row.metric: row for row in Limit.objects.all()}
    return tuple(
        Allowance(
            metric=metric,
            limit=rows[metric].limit,
            used=0 if metric in MONTHLY and rows[metric].period != _month() else rows[metric].used,
            resets_at=_reset(metric),
        )
        for metric in Metric
        if metric in rows
    )


def set_limits(limits: Mapping[Metric, int]) -> None:
    """Set the limits of the tenant in force; what is used stays."""
    Limit.objects.bulk_create(
        [
            Limit(
                tenant_id=scope.current_tenant_id(),
                metric=metric,
                limit=limit,
                period=_month() if metric in MONTHLY else None,
            )
            for metric, limit in limits.items()
        ],
        update_conflicts=True,
        unique_fields=["tenant", "metric"],
        update_fields=["limit"],
    )


def _month() -> dt.date:
    return now().date().replace(day=1)


def _reset(metric: Metric) -> dt.datetime | None:
    if metric not in MONTHLY:
        return None
    following = (_month() + dt.timedelta(days=32)).replace(day=1)
    return dt.datetime.combine(following, dt.time(), dt.UTC)
