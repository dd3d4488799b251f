"""How long ended runs are kept: by each tenant's days, then whole months after the longest plan.

A month is dropped when no tenant has a run that began in it. Runs that are still open keep theirs,
and are named.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from apps.billing.plans import PLANS
from apps.executions.models import MOST_RESULTS, CachedResult, Run
from apps.kit.clock import now
from apps.tenancy import limits, periodic, scope
from apps.tenancy.limits import Metric

BATCH: Final = 500
FOREVER_DAYS: Final = 36_500
LEAST_AHEAD: Final = 2
"""Months that must exist beyond this one; below it somebody must run `engine partitions`."""
SHOWN: Final = 20


@dataclass(frozen=True, kw_only=True)
class Month:
    """One month of history or logs: from `low` to before `high`."""

    part: str
    low: dt.datetime
    high: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Blocked:
    """A month that should go and cannot, and the open runs that hold it."""

    month: Month
    open_runs: tuple[UUID, ...]
    ended_runs: int


def expire_tenant(*, at: dt.datetime | None = None) -> int:
    """Delete what the tenant in force no longer keeps, in batches; returns how many runs."""
    tenant_id = scope.current_tenant_id()
    days = min(limits.ceilings()[Metric.RETENTION_DAYS], FOREVER_DAYS)
    before = (at or now()) - dt.timedelta(days=days)
    total = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT engine_expire_4(%s, %s, %s)", [tenant_id, before, BATCH])
            row = cursor.fetchone()
        gone = int(row[0]) if row else 0
        total += gone
        if gone < BATCH:
            return total


def forget_results(*, at: dt.datetime | None = None, most: int = MOST_RESULTS) -> int:
    """Delete the cached results of the tenant in force that are over, and the oldest beyond `most`.

    Whoever keeps a result trims only now and then, so as to cost nothing; here it is certain.
    """
    gone, _ = CachedResult.objects.filter(expires_at__lte=at or now()).delete()
    ages = CachedResult.objects.order_by("-created_at").values_list("created_at", flat=True)
    oldest = ages[most - 1 : most].first() if most else None
    if oldest is not None:
        beyond, _ = CachedResult.objects.filter(created_at__lt=oldest).delete()
        gone += beyond
    return int(gone)


def months() -> list[Month]:
    """What is there, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT part, low, high FROM engine_months_4()")
        return [Month(part=part, low=low, high=high) for part, low, high in cursor.fetchall()]


def months_ahead(*, at: dt.datetime | None = None) -> int:
    """How many whole months beyond the present one exist for history and for logs."""
    moment = at or now()
    ahead = [month.part for month in months() if month.low > moment]
    return min(
        sum(part.startswith(parent) for part in ahead) for parent in ("run_event", "run_log")
    )


def longest_days() -> int:
    """What the most generous plan keeps."""
    return max(plan.limits[Metric.RETENTION_DAYS] for plan in PLANS.values())


def drop_expired(*, at: dt.datetime | None = None) -> tuple[list[str], list[Blocked]]:
    """Drop months that nobody needs; for the owner. Returns the names dropped, and what is held."""
    if settings.DATABASE_ROLE != "owner":
        message = "Months are dropped by the owner: set NSTARX_DATABASE_ROLE=owner."
        raise PermissionError(message)
    before = (at or now()) - dt.timedelta(days=longest_days())
    dropped: list[str] = []
    blocked: list[Blocked] = []
    for month in months():
        if month.high > before:
            continue
        held = _held(month)
        if held is not None:
            blocked.append(held)
            continue
        with transaction.atomic(), connection.cursor() as cursor:
            # Readers of all months stand behind this lock: rather give up than let them wait.
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            cursor.execute(f'DROP TABLE "{month.part}"')
        dropped.append(month.part)
    return dropped, blocked


def _held(month: Month) -> Blocked | None:
    open_runs: list[UUID] = []
    ended = 0
    for organization in periodic.tenants():
        with scope.tenant(organization.pk):
            inside = Run.objects.extra(
                where=["id >= engine_uuid_floor_1(%s) AND id < engine_uuid_floor_1(%s)"],
                params=[month.low, month.high],
            )
            open_runs += inside.open().values_list("pk", flat=True)[:SHOWN]
            ended += inside.filter(finished_at__isnull=False).count()
    if not open_runs and not ended:
        return None
    return Blocked(month=month, open_runs=tuple(open_runs[:SHOWN]), ended_runs=ended)
