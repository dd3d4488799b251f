"""The scope: what a tenant sees, and that nothing is seen without one."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from apps.kit.errors import QuotaExceeded
from apps.tenancy import audit, limits, scope
from apps.tenancy.errors import OutsideScope
from apps.tenancy.limits import Metric
from apps.tenancy.models import AuditRow, Environment, Organization
from tests.factories import tenancy as make


def test_rows_of_another_tenant_are_invisible(acme: make.Tenant, globex: make.Tenant) -> None:
    with scope.tenant(globex.id):
        assert Environment.objects.count() == 3
        assert not Environment.objects.filter(pk=acme.environments["STAGING"].pk).exists()


def test_without_a_scope_the_manager_raises_on_evaluation(acme: make.Tenant) -> None:
    queryset = Environment.objects.all()
    with pytest.raises(OutsideScope):
        list(queryset)


def test_row_security_holds_where_the_manager_is_escaped(
    acme: make.Tenant, globex: make.Tenant
) -> None:
    with scope.tenant(globex.id):
        assert Environment.unscoped.count() == 3
        assert Environment.unscoped.filter(tenant_id=acme.id).update(name="x") == 0


def test_a_row_cannot_be_written_for_another_tenant(acme: make.Tenant, globex: make.Tenant) -> None:
    with (
        scope.tenant(globex.id),
        pytest.raises(ProgrammingError, match="row-level security"),
        transaction.atomic(),
    ):
        Environment.objects.create(tenant_id=acme.id, kind="STAGING", name="mine", is_default=False)


def test_the_outer_scope_is_restored_after_a_nested_one(
    acme: make.Tenant, globex: make.Tenant
) -> None:
    with scope.tenant(acme.id):
        with scope.tenant(globex.id):
            assert Organization.objects.get().slug == "globex"
        assert Organization.objects.get().slug == "acme"
        with pytest.raises(ZeroDivisionError), scope.tenant(globex.id):
            _ = 1 / 0
        assert Organization.objects.get().slug == "acme"


def test_no_scope_is_left_on_the_connection(acme: make.Tenant) -> None:
    with scope.tenant(acme.id):
        pass
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.tenant', true)")
        assert cursor.fetchone() == ("",)


def test_a_limit_counts_and_refuses(acme: make.Tenant) -> None:
    with scope.tenant(acme.id):
        limits.set_limits({Metric.WORKFLOWS: 2})
        limits.require(Metric.WORKFLOWS, 2)
        with pytest.raises(QuotaExceeded) as refusal, transaction.atomic():
            limits.require(Metric.WORKFLOWS)
        assert (refusal.value.limit, refusal.value.used) == (2, 2)
        limits.release(Metric.WORKFLOWS)
        limits.require(Metric.WORKFLOWS)
        assert limits.allowance(Metric.WORKFLOWS).used == 2


def test_the_audit_trail_is_append_only_and_sealed(acme: make.Tenant) -> None:
    with scope.tenant(acme.id):
        for number in range(3):
            audit.record(actor=acme.owner, action="test.act", target=f"Thing:{number}")
        assert audit.seal() == 3
        assert audit.verify() == audit.Verdict(sealed=3, broken_at=None, unsealed=0)
        with pytest.raises(Exception, match="append-only"), transaction.atomic():
            AuditRow.objects.filter(position=2).update(action="nothing.happened")
        with pytest.raises(Exception, match="append-only"), transaction.atomic():
            AuditRow.objects.all().delete()
