"""Workflows in the admin: to look things up for support; writing goes through actions only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from apps.workflows.models import Workflow


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows rows of the tenant whose scope staff has entered; changes none."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows come from actions."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows change by actions."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows go by actions."""
        return False


@admin.register(Workflow)
class WorkflowAdmin(ReadOnlyAdmin):
    """Workflows by name."""

    list_display = ("name", "type", "status", "version", "draft_revision", "modified_at")
    list_filter = ("status", "type")
    search_fields = ("name",)
    list_select_related = ("author",)
    show_full_result_count = False
