"""Wiring of tenancy."""

from django.apps import AppConfig


class TenancyConfig(AppConfig):
    """Organizations, members, environments, scope, limits, keys and the audit trail."""

    name = "apps.tenancy"
    label = "tenancy"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Refuse to work on a database role that could see through the belts."""
        from django.db.backends.signals import connection_created

        from apps.tenancy import reactions  # noqa: F401 - registers what tenancy reacts to
        from apps.tenancy.belts import refuse_unsafe_role

        connection_created.connect(refuse_unsafe_role, dispatch_uid="tenancy.unsafe_role")
