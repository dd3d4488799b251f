"""Questions compiled once: the same rows as their queryset, in the scope in force, not another."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.tenancy import limits, scope
from apps.tenancy.errors import OutsideScope
from apps.tenancy.frozen import Frozen
from apps.tenancy.limits import Metric
from apps.tenancy.models import Environment
from tests.factories.tenancy import Tenant


@pytest.fixture
def by_id() -> Frozen[Environment]:
    return Frozen(lambda pk: Environment.objects.filter(pk=pk).order_by(), pk=uuid.UUID)


def test_it_answers_as_its_queryset_does(acme: Tenant, by_id: Frozen[Environment]) -> None:
    by_kind: Frozen[Environment] = Frozen(
        lambda kind: Environment.objects.filter(kind=kind).values_list("name", "id"), kind=str
    )
    with scope.tenant(acme.id):
        for place in Environment.objects.all():
            found = by_id.first(pk=place.pk)
            assert found is not None
            assert (found, found.kind, found.name) == (place, place.kind, place.name)
            assert by_kind.rows(kind=str(place.kind)) == [(place.name, place.pk)]
        assert by_id.first(pk=uuid.uuid4()) is None


def test_it_is_compiled_in_one_scope_and_asked_in_another(
    acme: Tenant, globex: Tenant, by_id: Frozen[Environment]
) -> None:
    own, foreign = acme.environments["STAGING"].pk, globex.environments["STAGING"].pk
    with scope.tenant(acme.id):
        assert by_id.first(pk=own) is not None
        assert by_id.first(pk=foreign) is None
    with scope.tenant(globex.id):
        assert by_id.first(pk=own) is None
        assert by_id.first(pk=foreign) is not None


def test_belt_one_is_in_its_sql(acme: Tenant, by_id: Frozen[Environment]) -> None:
    with scope.tenant(acme.id), CaptureQueriesContext(connection) as asked:
        by_id.first(pk=uuid.uuid4())

    (only,) = asked.captured_queries
    assert acme.id.hex in only["sql"].replace("-", "")


def test_it_is_not_asked_outside_a_scope(acme: Tenant, by_id: Frozen[Environment]) -> None:
    with scope.tenant(acme.id):
        by_id.first(pk=uuid.uuid4())
    with pytest.raises(OutsideScope):
        by_id.first(pk=uuid.uuid4())
    with scope.platform(), pytest.raises(OutsideScope):
        by_id.first(pk=uuid.uuid4())


def test_what_is_left_out_is_loaded_when_it_is_asked_for(acme: Tenant) -> None:
    brief: Frozen[Environment] = Frozen(
        lambda pk: Environment.objects.filter(pk=pk).defer("name").order_by(), pk=uuid.UUID
    )
    place = acme.environments["STAGING"]
    with scope.tenant(acme.id):
        found = brief.first(pk=place.pk)
        assert found is not None
        assert found.get_deferred_fields() == {"name"}
        assert found.name == place.name


def test_a_value_that_is_not_compared_is_an_error(acme: Tenant) -> None:
    forgetful: Frozen[Environment] = Frozen(lambda pk: Environment.objects.all(), pk=uuid.UUID)
    computing: Frozen[Environment] = Frozen(
        lambda name: Environment.objects.filter(name=f"{name}!"), name=str
    )
    with scope.tenant(acme.id):
        with pytest.raises(RuntimeError, match="pk"):
            forgetful.rows(pk=uuid.uuid4())
        with pytest.raises(RuntimeError, match="name"):
            computing.rows(name="a")


def test_ceilings_are_read_together(acme: Tenant) -> None:
    with scope.tenant(acme.id), CaptureQueriesContext(connection) as asked:
        ceilings = limits.ceilings()
        assert len(asked) == 1
        assert ceilings == {metric: limits.allowance(metric).limit for metric in limits.CEILINGS}
        assert Metric.MEMBERS not in ceilings


def test_reading_inside_a_transaction_needs_no_savepoint(acme: Tenant) -> None:
    with scope.tenant(acme.id), CaptureQueriesContext(connection) as asked:
        with scope.reading():
            assert Environment.objects.count() == 3
        assert len(asked) == 1


def test_reading_outside_one_applies_the_scope(acme: Tenant, globex: Tenant) -> None:
    with scope.enter(scope.Scope(tenant_id=acme.id)), scope.reading():
        assert Environment.unscoped.count() == 3
    with scope.tenant(globex.id):
        with scope.enter(scope.Scope(tenant_id=acme.id)), scope.reading():
            assert Environment.unscoped.filter(pk=acme.environments["STAGING"].pk).exists()
        assert not Environment.unscoped.filter(pk=acme.environments["STAGING"].pk).exists()
