"""Wiring of security_scan."""

from django.apps import AppConfig


class SecurityScanConfig(AppConfig):
    """Scans of workflow documents and their findings."""

    name = "apps.security_scan"
    label = "security_scan"
    verbose_name = "Security scan"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the reactions."""
        from apps.security_scan import reactions  # noqa: F401
