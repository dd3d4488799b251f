"""Versions and approvals in the admin: for reading, in the scope that staff entered."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from apps.versions.models import Approval, Deployment, WorkflowVersion


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Neither added, changed nor deleted here: commits are frozen, votes are cast on pages."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


@admin.register(WorkflowVersion)
class WorkflowVersionAdmin(ReadOnly):
    """Commits and snapshots, without their documents."""

    list_display = ("workflow_id", "version", "message", "author", "created_at")
    list_select_related = ("author",)
    exclude = ("document", "changes")


@admin.register(Deployment)
class DeploymentAdmin(ReadOnly):
    """What stood where, and when."""

    list_display = ("version", "environment", "deployed_at", "superseded_at")
    list_select_related = ("version", "environment")


@admin.register(Approval)
class ApprovalAdmin(ReadOnly):
    """What people were asked."""

    list_display = ("title", "kind", "status", "by_platform", "requested_by", "created_at")
    list_filter = ("status", "kind", "by_platform")
    list_select_related = ("requested_by",)
