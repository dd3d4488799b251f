"""Wiring of billing."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Plans that set limits, and the usage ledger."""

    name = "apps.billing"
    label = "billing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Set the limits of every new organization."""
        from apps.billing import reactions  # noqa: F401
