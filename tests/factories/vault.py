"""Secrets, variables and connections for tests, made through the actions."""

from __future__ import annotations

from typing import Any

from apps.tenancy.scope import Scope, enter
from apps.vault import actions
from apps.vault.models import Connection, Secret, Variable
from tests.factories.tenancy import Tenant


def secret(
    of: Tenant, *, name: str = "API_KEY", value: str = "s3cret", kind: str = "DEVELOPMENT"
) -> Secret:
    """A secret set by the tenant's owner."""
    with enter(Scope.of(of.owner)):
        return actions.set_secret(
            actor=of.owner, environment_id=of.environments[kind].pk, name=name, value=value
        )


def variable(
    of: Tenant, *, name: str = "region", value: Any = "eu", kind: str = "DEVELOPMENT"
) -> Variable:
    """A variable set by the tenant's owner."""
    with enter(Scope.of(of.owner)):
        return actions.set_variable(
            actor=of.owner, environment_id=of.environments[kind].pk, name=name, value=value
        )


def connection(of: Tenant, *, name: str = "warehouse", kind: str = "DEVELOPMENT") -> Connection:
    """A connection with one setting, whose password is the secret API_KEY."""
    secret(of, kind=kind)
    with enter(Scope.of(of.owner)):
        return actions.save_connection(
            actor=of.owner,
            environment_id=of.environments[kind].pk,
            name=name,
            connector_type="postgresql",
            settings={"host": "db.example.com"},
            secrets={"password": "API_KEY"},
        )
