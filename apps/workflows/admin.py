"""Workflows in the admin: to look things up for support; writing goes through actions only."""

from __future__ import annotations

from django.contrib import admin

from apps.tenancy.doors.looking import LookingAdmin
from apps.workflows.models import Workflow


@admin.register(Workflow)
class WorkflowAdmin(LookingAdmin):
    """Workflows by name."""

    list_display = ("name", "type", "status", "version", "draft_revision", "modified_at")
    list_filter = ("status", "type")
    search_fields = ("name",)
    list_select_related = ("author",)
