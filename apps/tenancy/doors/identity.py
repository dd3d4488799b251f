"""Identity at the doors: who is asking, in which organization, and the scope that follows.

A door answers three questions in this order: who (session or key), where (the URL, the key or a
header names the organization), what role. Whoever is not a member of an organization learns nothing
of it: a foreign organization and one that does not exist get the same answer.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q

from apps.kit.clock import now
from apps.kit.errors import Unauthenticated
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Permission, Role
from apps.tenancy.models import ApiKey, Membership, Organization, User
from apps.tenancy.scope import Scope
from apps.tenancy.tokens import KeyText, parse_key, same

_USE_IS_NOTED_EVERY = dt.timedelta(minutes=1)
_NO_KEY = KeyText(tenant_id=uuid.UUID(int=0), key_id=uuid.UUID(int=0), secret="").digest


@dataclass(frozen=True)
class Place:
    """An organization and the signed-in person's actor in it."""

    organization: Organization
    actor: Actor


def actor_of_key(text: str, *, ip: str | None = None) -> Actor:
    """The actor behind an API key. Raises Unauthenticated, in one sentence for every reason."""
    key = parse_key(text)
    if key is None:
        raise _bad_key()
    with scope.enter(Scope(tenant_id=key.tenant_id)), scope.transaction():
        row = ApiKey.objects.filter(pk=key.key_id).select_related("user").first()
        stored = bytes(row.digest) if row is not None else _NO_KEY()
        if not same(stored, key.digest()) or row is None:
            raise _bad_key()
        if row.revoked_at is not None or (row.expires_at and row.expires_at <= now()):
            raise _bad_key()
        membership = Membership.objects.filter(user_id=row.user_id).first()
        if membership is None or not row.user.is_active:
            raise _bad_key()
        noted = now() - _USE_IS_NOTED_EVERY
        if row.last_used_at is None or row.last_used_at < noted:
            stale = Q(last_used_at=None) | Q(last_used_at__lt=noted)
            ApiKey.objects.filter(stale, pk=row.pk).update(last_used_at=now())
        person = Actor.member(
            tenant_id=key.tenant_id,
            user_id=row.user_id,
            role=Role(membership.role),
            name=f"{row.user.display_name} (key {row.name})",
            ip=ip,
        )
        scopes = frozenset(p for p in Permission if p.value in row.scopes)
        return person.narrowed(scopes, api_key_id=row.pk)


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


def _bad_key() -> Unauthenticated:
    return Unauthenticated(
        "The API key is unknown, expired or revoked. Create a new one in the organization's "
        "settings and send it as `Authorization: Bearer nsx_…`."
    )
