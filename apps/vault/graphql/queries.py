"""Reads of the vault. The lists are whole: what an environment may hold is bounded."""

from __future__ import annotations

import strawberry
from strawberry.scalars import JSON

from apps.kit.graphql.batch import share
from apps.kit.graphql.fields import field
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info
from apps.tenancy.models import EnvironmentKind
from apps.tenancy.policies import require
from apps.vault import policies
from apps.vault.graphql.types import Connection, SecretInfo, default_environment
from apps.vault.models import MAX_CONNECTIONS, MAX_SECRETS, Secret
from apps.vault.models import Connection as ConnectionRow
from apps.vault.secrets import variables_of


@strawberry.type
class Query:
    """Names and metadata; a value is never returned."""

    @field(requires=Permission.SECRETS_READ, points=5)
    def secrets(self, info: Info, environment: EnvironmentKind) -> list[SecretInfo]:
        """Names and metadata; a value is never returned."""
        place = default_environment(environment)
        rows = list(Secret.objects.in_environment(place.pk)[:MAX_SECRETS])
        share(rows)
        return [SecretInfo.of(row) for row in rows]

    @field(points=5)
    def variables(self, info: Info, environment: EnvironmentKind) -> JSON:
        """Every variable of the environment, by name."""
        require(policies.can_read_variables(info.context.actor), "read variables")
        return JSON(variables_of(default_environment(environment).pk))

    @field(points=5)
    def connections(self, info: Info, environment: EnvironmentKind) -> list[Connection]:
        """Connections of the environment, by name."""
        require(policies.can_list_connections(info.context.actor), "list connections")
        place = default_environment(environment)
        rows = list(ConnectionRow.objects.in_environment(place.pk)[:MAX_CONNECTIONS])
        share(rows)
        return [Connection.of(row) for row in rows]
