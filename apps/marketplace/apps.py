"""Wiring of marketplace."""

from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    """Listings, releases, search and installations."""

    name = "apps.marketplace"
    label = "marketplace"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the reactions."""
        from apps.marketplace import reactions  # noqa: F401
