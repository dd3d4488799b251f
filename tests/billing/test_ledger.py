"""The ledger: once per run, never changed, summed per month, apart by tenant."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from django.db import DatabaseError, connection, transaction

from apps.billing.actions import record_usage
from apps.billing.models import Totals, UsageEntry
from apps.billing.periods import period_at, projected
from apps.tenancy import scope
from apps.tenancy.scope import Scope
from tests.factories import billing as make
from tests.factories.tenancy import Tenant

NOVEMBER = dt.datetime(2026, 11, 15, 12, tzinfo=dt.UTC)


def test_a_period_is_a_month_in_utc() -> None:
    late = dt.datetime(2026, 12, 31, 23, 30, tzinfo=dt.timezone(dt.timedelta(hours=-1)))
    period = period_at(late)
    assert period.key == dt.date(2027, 1, 1)
    assert period.ends == dt.datetime(2027, 2, 1, tzinfo=dt.UTC)


def test_a_projection_goes_on_at_the_same_pace() -> None:
    period = period_at(NOVEMBER)
    middle = period.begins + dt.timedelta(days=15)
    assert projected(500, period=period, at=middle) == 1000
    assert projected(500, period=period, at=period.begins + dt.timedelta(hours=1)) is None


@pytest.mark.django_db
def test_a_run_is_recorded_once(acme: Tenant) -> None:
    used = make.usage(acme)
    with scope.enter(Scope(tenant_id=acme.id)):
        assert record_usage(used)
        assert not record_usage(used)
    with scope.tenant(acme.id):
        kept = UsageEntry.objects.get()
        assert (kept.run_id, kept.cpu_ms, kept.steps) == (used.run_id, 1500, 3)


@pytest.mark.django_db
def test_a_month_adds_up(acme: Tenant) -> None:
    for _ in range(3):
        make.entry(acme, at=NOVEMBER)
    make.entry(acme, at=NOVEMBER + dt.timedelta(days=30))
    with scope.tenant(acme.id):
        assert UsageEntry.objects.in_period(period_at(NOVEMBER)).totals() == Totals(
            runs=3, steps=9, cpu_ms=4500, wall_ms=6000, bytes_in=30, bytes_out=60, cost_minor=12
        )


@pytest.mark.django_db
def test_an_empty_month_is_zero(acme: Tenant) -> None:
    with scope.tenant(acme.id):
        totals = UsageEntry.objects.in_period(period_at(NOVEMBER)).totals()
    assert (totals.runs, totals.cost_minor) == (0, 0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement", ["UPDATE billing_usageentry SET cost_minor = 0", "DELETE FROM billing_usageentry"]
)
def test_an_entry_is_never_changed(acme: Tenant, statement: str) -> None:
    make.entry(acme)
    with scope.tenant(acme.id):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
        assert UsageEntry.objects.get().cost_minor == 4


@pytest.mark.django_db
def test_another_tenant_sees_no_entry(acme: Tenant, globex: Tenant) -> None:
    make.entry(acme)
    with scope.tenant(globex.id), connection.cursor() as cursor:
        assert not UsageEntry.objects.exists()
        cursor.execute("SELECT count(*) FROM billing_usageentry")
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db
def test_the_same_run_id_of_another_tenant_tells_nothing(acme: Tenant, globex: Tenant) -> None:
    used = make.entry(acme)
    with scope.enter(Scope(tenant_id=globex.id)):
        assert record_usage(make.usage(globex, run_id=used.run_id))


@pytest.mark.django_db
def test_an_entry_cannot_name_another_tenant_s_environment(acme: Tenant, globex: Tenant) -> None:
    foreign = acme.environments["DEVELOPMENT"].pk
    for place in (foreign, uuid.uuid4()):
        with pytest.raises(DatabaseError), scope.tenant(globex.id), transaction.atomic():
            record_usage(make.usage(globex, environment_id=place))
