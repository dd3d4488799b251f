"""The marketplace in the Django admin: for looking things up, in the scope that staff entered.

Publishing, approving and withdrawing are actions with their own pages; nothing is changed here.
"""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.marketplace.models import Installation, Listing, Publisher, Release
from apps.tenancy.doors.looking import LookingAdmin


@admin.register(Publisher)
class PublisherAdmin(LookingAdmin):
    """Who publishes."""

    list_display = ("handle", "name", "verification", "is_public", "joined_at")


@admin.register(Listing)
class ListingAdmin(LookingAdmin):
    """What is on the shelf, and what is not yet."""

    list_display = ("slug", "name", "status", "visibility", "latest_version", "updated_at")
    list_filter = ("status", "visibility", "category")


@admin.register(Release)
class ReleaseAdmin(LookingAdmin):
    """Releases, without their documents."""

    list_display = ("listing_id", "version", "status", "channel", "submitted_at", "published_at")
    list_filter = ("status", "channel")
    exclude = ("document",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Release]:
        """A document can be a megabyte."""
        return super().get_queryset(request).defer("document")


@admin.register(Installation)
class InstallationAdmin(LookingAdmin):
    """What an organization has installed."""

    list_display = ("listing_id", "version", "status", "installed_at")
    list_filter = ("status",)
