"""Identity at the doors: who is asking, in which organization, and the scope that follows.

A door answers three questions in this order: who (session or key), where (the URL, the key or a
header names the organization), what role. Whoever is not a member of an organization learns nothing
of it: a foreign organization and one that does not exist get the same answer.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q

from apps.kit.clock import now
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Role
from apps.tenancy.models import ApiKey, Membership, Organization, User
from apps.tenancy.scope import Scope


@dataclass(frozen=True)
class Place:
    """An organization and the signed-in person's actor in it."""

    organization: Organization
    actor: Actor


def places_of(user: User, *, ip: str | None = None, limit: int = 50) -> list[Place]:
    """The organizations a person belongs to, by short name."""
    # Before an organization is chosen only the person is known: the policies let a person see the
    # own memberships and their organizations, the managers see nothing, hence `unscoped`.
    with scope.enter(Scope(user_id=user.pk)), scope.transaction():
        rows = (
            Membership.unscoped.filter(user_id=user.pk)
            .select_related("tenant")
            .order_by("tenant__slug")[:limit]
        )
        return [_place(user, row, ip) for row in rows]


def place_of(
    user: User,
    *,
    slug: str | None = None,
    tenant_id: uuid.UUID | None = None,
    ip: str | None = None,
) -> Place | None:
    """The person's place in the organization named by slug or id; None for strangers."""
    named = Q(tenant__slug=slug) if slug is not None else Q(tenant_id=tenant_id)
    with scope.enter(Scope(user_id=user.pk)), scope.transaction():
        row = Membership.unscoped.filter(named, user_id=user.pk).select_related("tenant").first()
        return None if row is None else _place(user, row, ip)


def staff_actor(user: User, *, ip: str | None = None) -> Actor | None:
    """The platform actor of a member of the staff; None for everybody else."""
    if not (user.is_active and user.is_staff):
        return None
    return Actor.staff(user_id=user.pk, name=user.display_name, ip=ip)


def still_holds(actor: Actor) -> bool:
    """Whether the actor of a long connection may still act: member, role and key unchanged."""
    if actor.user_id is None:
        return False
    if actor.tenant_id is None:
        return (
            actor.is_staff
            and User.objects.filter(pk=actor.user_id, is_active=True, is_staff=True).exists()
        )
    with scope.enter(Scope(tenant_id=actor.tenant_id)), scope.transaction():
        alive = Membership.objects.filter(user_id=actor.user_id, user__is_active=True)
        if actor.role is not None:
            alive = alive.filter(role=actor.role.value)
        if not alive.exists():
            return False
        if actor.api_key_id is None:
            return True
        unexpired = Q(expires_at=None) | Q(expires_at__gt=now())
        return bool(ApiKey.objects.filter(unexpired, pk=actor.api_key_id, revoked_at=None).exists())


def signed_in(user: object) -> User | None:
    """The person of a session, if there is one and the account is active."""
    if isinstance(user, AnonymousUser) or not isinstance(user, User) or not user.is_active:
        return None
    return user


def _place(user: User, row: Membership, ip: str | None) -> Place:
    actor = Actor.member(
        tenant_id=row.tenant.pk,
        user_id=user.pk,
        role=Role(row.role),
        name=user.display_name,
        ip=ip,
    )
    return Place(organization=row.tenant, actor=actor)
