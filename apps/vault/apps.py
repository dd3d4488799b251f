"""Wiring of the vault."""

from django.apps import AppConfig


class VaultConfig(AppConfig):
    """Secrets, variables and connections, per environment."""

    name = "apps.vault"
    label = "vault"
    default_auto_field = "django.db.models.BigAutoField"
