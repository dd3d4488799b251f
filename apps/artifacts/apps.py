"""Wiring of the artifacts."""

from django.apps import AppConfig


class ArtifactsConfig(AppConfig):
    """Stored objects, named by their content."""

    name = "apps.artifacts"
    label = "artifacts"
    default_auto_field = "django.db.models.BigAutoField"
