"""Wiring of workflows."""

from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    """The workflow language, its catalogue and the drafts."""

    name = "apps.workflows"
    label = "workflows"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen, and say what is still referred to."""
        from apps.workflows import reactions  # noqa: F401
