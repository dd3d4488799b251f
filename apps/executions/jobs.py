"""Periodic work of executions: what tenants no longer keep is deleted, months ahead are checked."""

from __future__ import annotations

import datetime as dt

import structlog

from apps.executions import retention
from apps.tenancy import periodic
from apps.tenancy.models import Organization

log = structlog.get_logger(__name__)


@periodic.every(dt.timedelta(days=1))
def expire_runs() -> None:
    """Every tenant's, in batches; a batch that got lost is in the next day's."""
    periodic.for_each_tenant(_expire)


@periodic.every(dt.timedelta(hours=1))
def forget_results() -> None:
    """Cached results whose time is over, every tenant's."""
    periodic.for_each_tenant(lambda _: retention.forget_results())


@periodic.every(dt.timedelta(hours=6))
def check_months() -> None:
    """A run that begins in a month without a table could not be written."""
    ahead = retention.months_ahead()
    if ahead < retention.LEAST_AHEAD:
        log.error("executions.months_missing", ahead=ahead, mend="manage.py engine partitions")


def _expire(organization: Organization) -> None:
    gone = retention.expire_tenant()
    if gone:
        log.info("executions.expired", tenant=str(organization.pk), runs=gone)
