"""Founding an organization."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from apps.kit import events
from apps.kit.errors import AlreadyExists, Refusal
from apps.kit.ids import uuid7
from apps.tenancy import audit, limits, scope
from apps.tenancy.actors import Actor, Role
from apps.tenancy.events import OrganizationCreated
from apps.tenancy.models import Environment, EnvironmentKind, Membership, Organization, User
from apps.tenancy.models.organizations import SLUG


def create_organization(
    *, founder: User, slug: str, name: str, plan_key: str = "free", ip: str | None = None
) -> Organization:
    """A new tenant with its founder as owner and one environment of each kind.

    Enters the new tenant's scope itself: before it there is none. The limits are set by whoever
    reacts to OrganizationCreated.
    """
    _check(slug=slug, name=name)
    key = uuid7()
    actor = Actor.member(
        tenant_id=key, user_id=founder.pk, role=Role.OWNER, name=founder.display_name, ip=ip
    )
    with scope.tenant(key, actor=actor):
        organization = _write(Organization(id=key, slug=slug, name=name, plan_key=plan_key))
        Membership.objects.create(user=founder, role=Role.OWNER.value)
        Environment.objects.bulk_create(
            [Environment(kind=kind, name=kind.value.lower()) for kind in EnvironmentKind]
        )
        audit.record(
            actor=actor,
            action="organization.create",
            target=f"Tenant:{key}",
            after={"slug": slug, "name": name, "plan": plan_key},
        )
        events.publish(OrganizationCreated(tenant_id=key, plan_key=plan_key))
        limits.require(limits.Metric.MEMBERS)
    return organization


def assign_plan(*, actor: Actor, plan_key: str) -> Organization:
    """Note the plan of the organization in force; whoever calls (billing) sets the limits."""
    with scope.transaction():
        organization = (
            Organization.objects.select_for_update()
            .order_by("pk")
            .get(pk=scope.current_tenant_id())
        )
        before, organization.plan_key = organization.plan_key, plan_key
        organization.save(update_fields=["plan_key"])
        audit.record(
            actor=actor,
            action="organization.change_plan",
            target=f"Tenant:{organization.pk}",
            before={"plan": before},
            after={"plan": plan_key},
        )
    return organization


def _check(*, slug: str, name: str) -> None:
    try:
        SLUG(slug)
    except ValidationError as error:
        raise Refusal(" ".join(error.messages), path=("slug",)) from error
    if not 1 <= len(name.strip()) <= 120:
        raise Refusal("A name has 1 to 120 characters.", path=("name",))


def _write(organization: Organization) -> Organization:
    # The slug is global by nature (it stands in the URL); only the database can see whose it is.
    with transaction.atomic():
        made = Organization.unscoped.bulk_create([organization], ignore_conflicts=True)
    if not Organization.objects.filter(pk=organization.pk).exists():
        raise AlreadyExists("This short name is taken. Choose another one.", path=("slug",))
    return made[0]
