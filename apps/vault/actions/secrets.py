"""Setting, deleting and re-wrapping secrets."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from apps.kit.clock import now
from apps.kit.errors import NotFound
from apps.tenancy import audit, limits, scope
from apps.tenancy.actors import Actor
from apps.tenancy.limits import Metric
from apps.tenancy.policies import require
from apps.vault import policies
from apps.vault.actions.checks import (
    checked_name,
    checked_secret,
    known_environment,
    require_room,
)
from apps.vault.envelope import KeyUnknown, Place, Tampered, rewrap, seal
from apps.vault.errors import SecretInUse
from apps.vault.keys import platform_keys
from apps.vault.models import MAX_SECRETS, Connection, Secret, SecretVersion
from apps.vault.secrets import place_of, sealed_in

# Enough to see that a rotation happened and to recover by hand; old values are a liability.
KEPT_VERSIONS: Final = 3
BATCH: Final = 100


@dataclass(frozen=True, kw_only=True)
class Rewrapped:
    """What one tenant's pass did: rows moved under the current key, and ids that do not open."""

    moved: int
    unreadable: tuple[uuid.UUID, ...]


def set_secret(*, actor: Actor, environment_id: uuid.UUID, name: str, value: str) -> Secret:
    """Create the secret or give it a new version. The value is sealed and cannot be read back."""
    require(policies.can_write_secrets(actor), "set secrets")
    checked_name(name)
    checked_secret(value)
    with scope.transaction():
        environment = known_environment(environment_id)
        # Two first writers meet here: both see one row, and the lock puts them in order.
        Secret.objects.bulk_create(
            [Secret(environment_id=environment.pk, name=name)], ignore_conflicts=True
        )
        secret: Secret = Secret.objects.named(name, environment_id=environment.pk).get()
        is_new = secret.current_version == 0
        if is_new:
            held = Secret.objects.in_environment(environment.pk).count() - 1
            require_room(held=held, limit=MAX_SECRETS, noun="secrets")
        secret.current_version += 1
        secret.updated_at, secret.updated_by_id = now(), actor.user_id
        secret.save(update_fields=["current_version", "updated_at", "updated_by"])
        _store(secret, value)
        audit.record(
            actor=actor,
            action="secret.create" if is_new else "secret.update",
            target=f"Secret:{secret.pk}",
            after=_shown(secret, environment=environment.name),
        )
        if is_new:
            limits.require(Metric.SECRETS)
    return secret


def delete_secret(*, actor: Actor, environment_id: uuid.UUID, name: str) -> None:
    """Delete the secret with all its versions. Raises SecretInUse while a connection names it."""
    require(policies.can_write_secrets(actor), "delete secrets")
    checked_name(name)
    with scope.transaction():
        environment = known_environment(environment_id)
        secret: Secret | None = Secret.objects.named(name, environment_id=environment.pk).first()
        if secret is None:
            raise NotFound("No secret of this name is set in this environment.", path=("name",))
        for connection in Connection.objects.in_environment(environment.pk):
            if name in connection.secrets.values():
                raise SecretInUse(name, connection=connection.name)
        audit.record(
            actor=actor,
            action="secret.delete",
            target=f"Secret:{secret.pk}",
            before=_shown(secret, environment=environment.name),
        )
        secret.delete()
        limits.release(Metric.SECRETS)


def rewrap_secrets() -> Rewrapped:
    """Move every key of the tenant in force under the current key-encryption key.

    Safe to stop and to run again, and beside people who set secrets: what is done is not selected
    again, each batch commits by itself, and locked rows are waited for.
    """
    keys = platform_keys()
    moved = 0
    unreadable: list[uuid.UUID] = []
    while True:
        with scope.transaction():
            batch = list(
                SecretVersion.objects.select_for_update()
                .exclude(key_id=keys.current)
                .exclude(pk__in=unreadable)
                .order_by("pk")[:BATCH]
            )
            for row in batch:
                try:
                    sealed = rewrap(sealed_in(row), place=place_of(row), keys=keys)
                except (Tampered, KeyUnknown):
                    unreadable.append(row.pk)
                    continue
                row.key_id, row.wrapped_key = sealed.key_id, sealed.wrapped_key
                row.save(update_fields=["key_id", "wrapped_key"])
                moved += 1
        if not batch:
            return Rewrapped(moved=moved, unreadable=tuple(unreadable))


def _store(secret: Secret, value: str) -> None:
    place = Place(
        tenant_id=scope.current_tenant_id(), secret_id=secret.pk, version=secret.current_version
    )
    sealed = seal(value, place=place, keys=platform_keys())
    SecretVersion.objects.create(
        secret=secret,
        version=secret.current_version,
        algorithm=sealed.algorithm,
        key_id=sealed.key_id,
        wrapped_key=sealed.wrapped_key,
        nonce=sealed.nonce,
        ciphertext=sealed.ciphertext,
    )
    SecretVersion.objects.filter(
        secret=secret, version__lte=secret.current_version - KEPT_VERSIONS
    ).delete()


def _shown(secret: Secret, *, environment: str) -> dict[str, object]:
    """What an audit row says: never the value, not even its length."""
    return {"name": secret.name, "environment": environment, "version": secret.current_version}
