"""Belt two by itself: a type narrows rows that were fetched around the managers."""

from __future__ import annotations

import pytest

from apps.kit.pages import Window
from apps.tenancy import scope
from apps.tenancy.graphql.types import AuditConnection, AuditEvent, Tenant, User
from apps.tenancy.models import AuditRow, Organization
from apps.tenancy.models import User as Person
from tests.factories import tenancy as make

pytestmark = pytest.mark.django_db


def test_a_type_adds_the_tenant_to_what_it_is_given(acme: make.Tenant) -> None:
    with scope.tenant(acme.id):
        narrowed = AuditEvent.get_queryset(AuditRow.unscoped.all(), None)

        assert f'"tenant_id" = {acme.id}' in str(narrowed.query)


def test_a_page_asks_its_type(acme: make.Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AuditEvent, "get_queryset", lambda rows, info: rows.none())
    with scope.tenant(acme.id, actor=acme.owner):
        AuditRow.objects.create(actor="x", action="a", target="t")
        page = AuditConnection.of(AuditRow.objects.all(), window=Window(), key="test")

    assert page.edges == []


def test_people_outside_the_organization_are_no_users(
    acme: make.Tenant, globex: make.Tenant
) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        seen = User.get_queryset(Person.objects.all(), None)

        assert [person.pk for person in seen] == [acme.owner.user_id]


def test_an_organization_is_the_one_in_force(acme: make.Tenant, globex: make.Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        seen = Tenant.get_queryset(Organization.unscoped.all(), None)

        assert [one.slug for one in seen] == ["acme"]
