"""Wiring of executions."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ExecutionsConfig(AppConfig):
    """Runs of workflows."""

    name = "apps.executions"
    label = "executions"

    def ready(self) -> None:
        """Register reactions and the making of partitions."""
        from apps.executions import reactions  # noqa: F401
        from apps.executions.partitions import make_partitions_ahead

        def after_migrate(**_: Any) -> None:
            make_partitions_ahead()

        post_migrate.connect(after_migrate, sender=self, weak=False)
