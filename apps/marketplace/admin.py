"""The marketplace in the Django admin: for looking things up, in the scope that staff entered.

Publishing, approving and withdrawing are actions with their own pages; nothing is changed here.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.marketplace.models import Installation, Listing, Publisher, Release


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Neither added, changed nor deleted here; all staff may look."""

    show_full_result_count = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """All staff."""
        return bool(request.user.is_active and request.user.is_staff)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """All staff."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


@admin.register(Publisher)
class PublisherAdmin(ReadOnly):
    """Who publishes."""

    list_display = ("handle", "name", "verification", "is_public", "joined_at")


@admin.register(Listing)
class ListingAdmin(ReadOnly):
    """What is on the shelf, and what is not yet."""

    list_display = ("slug", "name", "status", "visibility", "latest_version", "updated_at")
    list_filter = ("status", "visibility", "category")


@admin.register(Release)
class ReleaseAdmin(ReadOnly):
    """Releases, without their documents."""

    list_display = ("listing_id", "version", "status", "channel", "submitted_at", "published_at")
    list_filter = ("status", "channel")
    exclude = ("document",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Release]:
        """A document can be a megabyte."""
        return super().get_queryset(request).defer("document")


@admin.register(Installation)
class InstallationAdmin(ReadOnly):
    """What an organization has installed."""

    list_display = ("listing_id", "version", "status", "installed_at")
    list_filter = ("status",)
