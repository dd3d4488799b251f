"""Versions and approvals in the admin: for reading, in the scope that staff entered."""

from __future__ import annotations

from django.contrib import admin

from apps.tenancy.doors.looking import LookingAdmin
from apps.versions.models import Approval, Deployment, WorkflowVersion


@admin.register(WorkflowVersion)
class WorkflowVersionAdmin(LookingAdmin):
    """Commits and snapshots, without their documents."""

    list_display = ("workflow_id", "version", "message", "author", "created_at")
    list_select_related = ("author",)
    exclude = ("document", "changes")


@admin.register(Deployment)
class DeploymentAdmin(LookingAdmin):
    """What stood where, and when."""

    list_display = ("version", "environment", "deployed_at", "superseded_at")
    list_select_related = ("version", "environment")


@admin.register(Approval)
class ApprovalAdmin(LookingAdmin):
    """What people were asked."""

    list_display = ("title", "kind", "status", "by_platform", "requested_by", "created_at")
    list_filter = ("status", "kind", "by_platform")
    list_select_related = ("requested_by",)
