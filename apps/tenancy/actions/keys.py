"""API keys: issued once, never shown again, dead at once when revoked."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from apps.kit.clock import now
from apps.kit.errors import Forbidden, NotFound, Refusal
from apps.kit.ids import uuid7
from apps.tenancy import audit, limits, policies, scope
from apps.tenancy.actors import Actor, Permission
from apps.tenancy.models import ApiKey
from apps.tenancy.tokens import PREFIX_LENGTH, KeyText, new_secret

_MAX_NAME = 80
_LONGEST = dt.timedelta(days=366)


@dataclass(frozen=True)
class IssuedKey:
    """A new key and its text, which exists only here."""

    row: ApiKey
    text: str = field(repr=False)


def create_api_key(
    *,
    actor: Actor,
    name: str,
    scopes: Sequence[str],
    expires_at: dt.datetime | None = None,
) -> IssuedKey:
    """A key that can do `scopes`, a subset of what its creator can."""
    wanted = _scopes(scopes)
    policies.require(
        policies.can_create_api_key(actor, wanted), "create a key with more scopes than you have"
    )
    creator = _person(actor)
    if not 1 <= len(name.strip()) <= _MAX_NAME:
        raise Refusal(f"A key's name has 1 to {_MAX_NAME} characters.", path=("name",))
    if expires_at is not None and not now() < expires_at <= now() + _LONGEST:
        raise Refusal(
            "A key expires in the future, and within a year. Leave expiresAt out for one year.",
            path=("expiresAt",),
        )
    text = KeyText(tenant_id=scope.current_tenant_id(), key_id=uuid7(), secret=new_secret())
    with scope.transaction():
        row = ApiKey.objects.create(
            id=text.key_id,
            name=name.strip(),
            user_id=creator,
            digest=text.digest(),
            prefix=text.key_id.hex[-PREFIX_LENGTH:],
            scopes=sorted(scope.value for scope in wanted),
            expires_at=expires_at or now() + dt.timedelta(days=365),
        )
        audit.record(
            actor=actor,
            action="api_key.create",
            target=f"ApiKey:{row.pk}",
            after={"name": row.name, "scopes": row.scopes, "expiresAt": row.expires_at},
        )
        limits.require(limits.Metric.API_KEYS)
    return IssuedKey(row=row, text=str(text))


def revoke_api_key(*, actor: Actor, key_id: uuid.UUID) -> ApiKey:
    """Kill a key. A key that is dead already stays as it was."""
    with scope.transaction():
        row = ApiKey.objects.select_for_update().order_by("pk").filter(pk=key_id).first()
        if row is None:
            raise NotFound.of("API key")
        policies.require(policies.can_revoke_api_key(actor, owner_id=row.user_id), "revoke keys")
        if row.revoked_at is None:
            row.revoked_at = now()
            row.save(update_fields=["revoked_at"])
            audit.record(
                actor=actor,
                action="api_key.revoke",
                target=f"ApiKey:{row.pk}",
                before={"name": row.name},
            )
            limits.release(limits.Metric.API_KEYS)
    revoked: ApiKey = row
    return revoked


def _person(actor: Actor) -> uuid.UUID:
    # A key dies with its creator's membership, so the platform itself has none.
    if actor.user_id is None:
        raise Forbidden("Only a member can create a key.")
    return actor.user_id


def _scopes(texts: Sequence[str]) -> frozenset[Permission]:
    try:
        wanted = frozenset(Permission(text) for text in texts)
    except ValueError:
        known = ", ".join(p.value for p in Permission if p is not Permission.PLATFORM_ADMIN)
        raise Refusal(f"There is no such scope. Known are {known}.", path=("scopes",)) from None
    if not wanted:
        raise Refusal("A key needs at least one scope.", path=("scopes",))
    return wanted
