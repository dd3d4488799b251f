"""Scans in the Django admin: for reading only, in the scope that staff entered."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.security_scan.models import Finding, Scan


class ReadOnly:
    """Neither added, changed nor deleted here: verdicts come from scans. All staff may look."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """All staff."""
        return bool(request.user.is_active and request.user.is_staff)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """All staff."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


class FindingInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """What was found, worst first."""

    model = Finding
    fields = ("severity", "rule", "node_id", "path", "line", "detail")
    extra = 0


@admin.register(Scan)
class ScanAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """One scan with its findings."""

    list_display = ("subject_type", "subject_id", "verdict", "score", "requested_at", "finished_at")
    list_filter = ("verdict",)
    exclude = ("document",)
    inlines = (FindingInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Scan]:
        """A document can be a megabyte."""
        return super().get_queryset(request).defer("document")
