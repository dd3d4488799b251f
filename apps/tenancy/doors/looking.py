"""What staff may do in the Django admin: look. Actions write, and they have pages of their own."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest


class ReadOnly:
    """For admins and inlines alike: all staff see the rows of the scope they are in."""

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


class LookingAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows to look up; nobody counts a whole table for a list."""

    show_full_result_count = False
