"""Founding an organization."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.kit import events
from apps.kit.errors import AlreadyExists, Refusal
from apps.tenancy import scope
from apps.tenancy.actions import create_organization
from apps.tenancy.actors import Role
from apps.tenancy.events import OrganizationCreated
from apps.tenancy.limits import set_limits
from apps.tenancy.models import AuditRow, Environment, Membership, Organization
from tests.factories import tenancy as make


@pytest.fixture(autouse=True)
def roomy() -> Iterator[None]:
    """What billing does in the product: somebody must set the limits."""

    def react(event: OrganizationCreated) -> None:
        set_limits(make.ROOMY)

    events.on(OrganizationCreated)(react)
    yield
    events._receivers[OrganizationCreated].remove(react)


def test_a_founder_owns_what_is_founded(db: None) -> None:
    founder = make.user()

    made = create_organization(founder=founder, slug="initech", name="Initech")

    with scope.tenant(made.pk):
        assert Membership.objects.get().role == Role.OWNER
        assert sorted(e.kind for e in Environment.objects.all()) == [
            "DEVELOPMENT",
            "PRODUCTION",
            "STAGING",
        ]
        assert AuditRow.objects.get().action == "organization.create"


def test_a_taken_slug_is_refused_and_nothing_is_written(acme: make.Tenant) -> None:
    with pytest.raises(AlreadyExists):
        create_organization(founder=make.user(), slug="acme", name="Acme again")

    with scope.platform():
        assert Organization.objects.count() == 1


@pytest.mark.parametrize(
    ("slug", "name"),
    [("Acme", "x"), ("a", "x"), ("acme-", "x"), ("1acme", "x"), ("fine", " "), ("fine", "x" * 121)],
)
def test_bad_names_are_refused(db: None, slug: str, name: str) -> None:
    with pytest.raises(Refusal):
        create_organization(founder=make.user(), slug=slug, name=name)
