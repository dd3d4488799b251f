"""Scans in the Django admin: for reading only, in the scope that staff entered."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.security_scan.models import Finding, Scan
from apps.tenancy.doors.looking import LookingAdmin, ReadOnly


class FindingInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """What was found, worst first."""

    model = Finding
    fields = ("severity", "rule", "node_id", "path", "line", "detail")
    extra = 0


@admin.register(Scan)
class ScanAdmin(LookingAdmin):
    """One scan with its findings."""

    list_display = ("subject_type", "subject_id", "verdict", "score", "requested_at", "finished_at")
    list_filter = ("verdict",)
    exclude = ("document",)
    inlines = (FindingInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Scan]:
        """A document can be a megabyte."""
        return super().get_queryset(request).defer("document")
