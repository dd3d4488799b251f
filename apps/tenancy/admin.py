"""Support: what platform staff may look at in the Django admin, and the one way in."""

from __future__ import annotations

from allauth.account.decorators import secure_admin_login
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.tenancy.doors.looking import LookingAdmin
from apps.tenancy.doors.support import leave, look_after
from apps.tenancy.models import ApiKey, AuditRow, Environment, Membership, Organization, User

# The same sign-in, throttled in the same way, for everybody.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]


@admin.register(User)
class UserAdmin(LookingAdmin):
    """People: what they may do is in their memberships, which the organizations' admins manage."""

    list_display = ("email", "name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    fields = ("email", "name", "is_active", "is_staff", "date_joined", "last_login")


@admin.register(Organization)
class OrganizationAdmin(LookingAdmin):
    """Where support begins: choose whom to look after."""

    list_display = ("slug", "name", "plan_key", "created_at")
    search_fields = ("slug", "name")
    actions = ("look_after_it", "leave_it")

    @admin.action(description="Look after the chosen organization (is written into its audit log)")
    def look_after_it(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        """From the next page on the admin shows this organization's rows."""
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            self.message_user(request, "Choose exactly one organization.", messages.ERROR)
            return
        look_after(request, chosen[0])
        self.message_user(request, f"You look after {chosen[0].name} now.", messages.SUCCESS)

    @admin.action(description="Go back to all organizations")
    def leave_it(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        """Back to the platform scope."""
        leave(request)
        self.message_user(request, "You look after nobody now.", messages.SUCCESS)


@admin.register(Membership)
class MembershipAdmin(LookingAdmin):
    """Who belongs to the organization."""

    list_display = ("user", "role", "joined_at")
    list_select_related = ("user",)


@admin.register(Environment)
class EnvironmentAdmin(LookingAdmin):
    """Where it deploys."""

    list_display = ("name", "kind", "is_default")


@admin.register(ApiKey)
class ApiKeyAdmin(LookingAdmin):
    """Its keys, without anything that could open a door."""

    list_display = ("name", "prefix", "user", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    exclude = ("digest",)


@admin.register(AuditRow)
class AuditRowAdmin(LookingAdmin):
    """What was done in it."""

    list_display = ("at", "actor", "action", "target", "ip")
    search_fields = ("action", "target")
