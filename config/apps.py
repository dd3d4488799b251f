"""Wiring of the composition itself: the broker must be known before any actor is imported."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """First of the installed apps, so that its `ready` runs before any `reactions` module loads."""

    name = "config"
    label = "config"

    def ready(self) -> None:
        """Set the global Dramatiq broker."""
        from config.broker import install_broker

        install_broker()
