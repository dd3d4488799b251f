"""Periodic jobs: due once a period, whoever ticks."""

from __future__ import annotations

import datetime as dt

import django_rq
import pytest

from apps.tenancy import jobs, periodic
from apps.tenancy.models import JobPeriod

NOON = dt.datetime(2026, 11, 23, 12, 0, 3, tzinfo=dt.UTC)
SEALING = f"{jobs.__name__}.seal_audit_chains"


@pytest.fixture(autouse=True)
def _empty_queue() -> None:
    django_rq.get_queue("default").delete(delete_jobs=True)


@pytest.mark.django_db
def test_a_job_is_enqueued_once_a_period() -> None:
    assert SEALING in periodic.tick(NOON)
    assert SEALING not in periodic.tick(NOON + dt.timedelta(seconds=1))
    assert SEALING in periodic.tick(NOON + dt.timedelta(seconds=5))


@pytest.mark.django_db
def test_the_job_carries_its_period_in_its_id() -> None:
    periodic.tick(NOON)
    ids = django_rq.get_queue("default").job_ids
    assert f"apps-tenancy-jobs-seal_audit_chains-{int(NOON.timestamp()) // 5 * 5}" in ids


@pytest.mark.django_db
def test_old_claims_are_forgotten() -> None:
    periodic.tick(NOON)
    periodic.forget(before=NOON + dt.timedelta(days=1))
    assert not JobPeriod.objects.exists()
