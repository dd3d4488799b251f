"""Saving and deleting connections."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from apps.kit.clock import now
from apps.kit.errors import NotFound
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import Environment
from apps.tenancy.policies import require
from apps.vault import policies
from apps.vault.actions.checks import (
    checked_fields,
    checked_label,
    checked_name,
    known_environment,
    require_room,
)
from apps.vault.errors import SecretMissing
from apps.vault.models import MAX_CONNECTIONS, Connection, Secret


def save_connection(
    *,
    actor: Actor,
    environment_id: uuid.UUID,
    name: str,
    connector_type: str,
    settings: Mapping[str, Any],
    secrets: Mapping[str, str],
) -> Connection:
    """Create or replace a connection. `secrets`: field of the connector → name of a secret here."""
    require(policies.can_write_connections(actor), "save connections")
    checked_label(name)
    checked_label(connector_type, path=("connectorType",))
    fields = checked_fields(settings, path=("settings",))
    named = checked_fields(secrets, path=("secrets",))
    for field, secret in named.items():
        checked_name(str(secret), path=("secrets", field))
    with scope.transaction():
        environment = known_environment(environment_id)
        _hold_secrets(set(named.values()), environment)
        found = Connection.objects.named(name, environment_id=environment.pk).first()
        if found is None:
            held = Connection.objects.in_environment(environment.pk).count()
            require_room(held=held, limit=MAX_CONNECTIONS, noun="connections")
        connection: Connection
        connection, _ = Connection.objects.update_or_create(
            environment_id=environment.pk,
            name=name,
            defaults={
                "connector_type": connector_type,
                "settings": fields,
                "secrets": named,
                "last_checked_at": None,
                "healthy": None,
                "updated_at": now(),
                "updated_by_id": actor.user_id,
            },
        )
        audit.record(
            actor=actor,
            action="connection.create" if found is None else "connection.update",
            target=f"Connection:{connection.pk}",
            after=_shown(connection, environment=environment),
        )
    return connection


def delete_connection(*, actor: Actor, connection_id: uuid.UUID) -> None:
    """Delete a connection; the secrets it named stay."""
    require(policies.can_write_connections(actor), "delete connections")
    with scope.transaction():
        connection: Connection | None = (
            Connection.objects.select_for_update(of=("self",))
            .select_related("environment")
            .filter(pk=connection_id)
            .order_by("pk")
            .first()
        )
        if connection is None:
            raise NotFound.of("connection")
        audit.record(
            actor=actor,
            action="connection.delete",
            target=f"Connection:{connection.pk}",
            before=_shown(connection, environment=connection.environment),
        )
        connection.delete()


def _hold_secrets(names: set[str], environment: Environment) -> None:
    """Lock the secrets that are named, so that none is deleted before the connection is there."""
    rows = Secret.objects.in_environment(environment.pk).filter(name__in=names)
    present = {row.name for row in rows.select_for_update(of=("self",)).order_by("pk")}
    for name in sorted(names - present):
        raise SecretMissing(name, environment=environment.name, path=("secrets",))


def _shown(connection: Connection, *, environment: Environment) -> dict[str, object]:
    return {
        "name": connection.name,
        "environment": environment.name,
        "connectorType": connection.connector_type,
        "secrets": connection.secrets,
    }
