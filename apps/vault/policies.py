"""Who may read names and write values in the vault; nobody may read a secret's value."""

from __future__ import annotations

from apps.tenancy.actors import Actor, Permission


def can_list_secrets(actor: Actor) -> bool:
    """Names, versions and dates."""
    return actor.has(Permission.SECRETS_READ)


def can_write_secrets(actor: Actor) -> bool:
    """Set and delete."""
    return actor.has(Permission.SECRETS_WRITE)


def can_read_variables(actor: Actor) -> bool:
    """Variables are part of what a workflow does."""
    return actor.has(Permission.WORKFLOWS_READ)


def can_write_variables(actor: Actor) -> bool:
    """Set and delete."""
    return actor.has(Permission.VARIABLES_WRITE)


def can_list_connections(actor: Actor) -> bool:
    """Whoever may install a workflow must be able to bind its slots."""
    return actor.has(Permission.WORKFLOWS_READ)


def can_write_connections(actor: Actor) -> bool:
    """Save and delete."""
    return actor.has(Permission.CONNECTIONS_WRITE)
