"""Wiring of versions."""

from django.apps import AppConfig


class VersionsConfig(AppConfig):
    """Immutable versions, deployments and approvals."""

    name = "apps.versions"
    label = "versions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen, and say what is still referred to."""
        from apps.versions import reactions  # noqa: F401
