"""Writes of the vault: each calls one action."""

from __future__ import annotations

from typing import cast

import strawberry
from strawberry.scalars import JSON

from apps.kit.errors import Refusal
from apps.kit.graphql.mutations import mutation
from apps.kit.graphql.nodes import key_of
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info
from apps.tenancy.graphql.types import SimplePayload
from apps.tenancy.models import EnvironmentKind
from apps.vault import actions
from apps.vault.graphql.types import Connection, ConnectionPayload, default_environment


@strawberry.type
class Mutation:
    """Secrets, variables, connections."""

    @mutation(requires=Permission.SECRETS_WRITE)
    def set_secret(
        self, info: Info, name: str, value: str, environment: EnvironmentKind
    ) -> SimplePayload | None:
        """Set a secret or give it a new value, which nobody can read back."""
        place = default_environment(environment)
        actions.set_secret(
            actor=info.context.actor, environment_id=place.pk, name=name, value=value
        )
        return SimplePayload(ok=True)

    @mutation(requires=Permission.SECRETS_WRITE)
    def delete_secret(
        self, info: Info, name: str, environment: EnvironmentKind
    ) -> SimplePayload | None:
        """Delete a secret with all its versions."""
        place = default_environment(environment)
        actions.delete_secret(actor=info.context.actor, environment_id=place.pk, name=name)
        return SimplePayload(ok=True)

    @mutation()
    def set_variable(
        self, info: Info, name: str, value: JSON, environment: EnvironmentKind
    ) -> SimplePayload | None:
        """Set a variable that workflows read; everybody in the organization may see it."""
        place = default_environment(environment)
        actions.set_variable(
            actor=info.context.actor, environment_id=place.pk, name=name, value=value
        )
        return SimplePayload(ok=True)

    @mutation()
    def delete_variable(
        self, info: Info, name: str, environment: EnvironmentKind
    ) -> SimplePayload | None:
        """Delete a variable; runs that read it fail from then on."""
        place = default_environment(environment)
        actions.delete_variable(actor=info.context.actor, environment_id=place.pk, name=name)
        return SimplePayload(ok=True)

    @mutation(requires=Permission.CONNECTIONS_WRITE)
    def save_connection(
        self,
        info: Info,
        name: str,
        connector_type: str,
        environment: EnvironmentKind,
        settings: JSON | None = None,
        secrets: JSON | None = None,
    ) -> ConnectionPayload | None:
        """Save a connection; `secrets` maps its fields to names of secrets, never to values."""
        place = default_environment(environment)
        saved = actions.save_connection(
            actor=info.context.actor,
            environment_id=place.pk,
            name=name,
            connector_type=connector_type,
            settings=_object(settings, "settings"),
            secrets=_object(secrets, "secrets"),
        )
        return ConnectionPayload(connection=Connection.of(saved))

    @mutation(requires=Permission.CONNECTIONS_WRITE)
    def delete_connection(self, info: Info, id: strawberry.ID) -> SimplePayload | None:
        """Delete a connection; the secrets it named stay."""
        key = key_of(id, "Connection", noun="connection")
        actions.delete_connection(actor=info.context.actor, connection_id=key)
        return SimplePayload(ok=True)


def _object(value: object, name: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(f"Write {name} as an object of field names and values.", path=(name,))
    return cast("dict[str, str]", value)
