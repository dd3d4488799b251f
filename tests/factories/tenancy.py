"""Organizations, people and actors for tests."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass

from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Role
from apps.tenancy.limits import Metric, set_limits
from apps.tenancy.models import Environment, EnvironmentKind, Membership, Organization, User

PASSWORD = "correct horse battery staple"
ROOMY = dict.fromkeys(Metric, 1000000000000)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Tenant:
    """An organization with its owner's actor and its environments by kind."""

    organization: Organization
    owner: Actor
    environments: dict[str, Environment]

    @property
    def id(self) -> uuid.UUID:
        """The tenant's id."""
        return self.organization.pk


def user(email: str = "", *, is_staff: bool = False) -> User:
    """A person who signs in with PASSWORD."""
    made = User.objects.create_user(email or f"person{next(_numbers)}@example.com", PASSWORD)
    if is_staff:
        made.is_staff = True
        made.save(update_fields=["is_staff"])
    return made


def tenant(slug: str) -> Tenant:
    """An organization with roomy limits, three environments and an owner."""
    key = uuid7()
    with scope.tenant(key):
        organization = Organization.objects.create(id=key, slug=slug, name=slug.title())
        owner = member_of(organization, role=Role.OWNER)
        environments = {
            kind.value: Environment.objects.create(kind=kind, name=kind.value.lower())
            for kind in EnvironmentKind
        }
        set_limits(ROOMY)
    return Tenant(organization=organization, owner=owner, environments=environments)


def member_of(organization: Organization, *, role: Role) -> Actor:
    """A new person in the organization whose scope is in force."""
    person = user()
    Membership.objects.create(user=person, role=role.value)
    return Actor.member(
        tenant_id=organization.pk, user_id=person.pk, role=role, name=person.display_name
    )


def member(of: Tenant, *, role: Role) -> Actor:
    """A new person in a tenant."""
    with scope.tenant(of.id):
        return member_of(of.organization, role=role)


def staff() -> Actor:
    """A member of the platform's staff."""
    person = user(is_staff=True)
    return Actor.staff(user_id=person.pk, name=person.display_name)
