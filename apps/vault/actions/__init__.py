"""Every write of the vault."""

from apps.vault.actions.connections import delete_connection, save_connection
from apps.vault.actions.secrets import delete_secret, rewrap_secrets, set_secret
from apps.vault.actions.variables import delete_variable, set_variable

__all__ = [
    "delete_connection",
    "delete_secret",
    "delete_variable",
    "rewrap_secrets",
    "save_connection",
    "set_secret",
    "set_variable",
]
