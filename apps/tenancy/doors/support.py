"""The staff door of the Django admin: the platform scope, or an organization that staff look after.

Which organization that is, staff choose on the list of organizations; the choice goes into the
organization's audit log. Everything in the admin is read in one transaction of that scope.
"""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor, Permission
from apps.tenancy.doors.identity import signed_in, staff_actor
from apps.tenancy.doors.pages import request_ip
from apps.tenancy.models import Organization
from apps.tenancy.scope import Scope

PATH = "/admin/"
CHOICE = f"{PATH}tenancy/organization/"
# Pages that show no organization's rows.
NOBODYS = (CHOICE, f"{PATH}tenancy/user/", f"{PATH}login/", f"{PATH}logout/", f"{PATH}jsi18n/")
SESSION_KEY = "supported_organization"
LOOKS_AFTER = frozenset({Permission.WORKFLOWS_READ, Permission.AUDIT_READ, Permission.BILLING_READ})


class SupportScope:
    """Middleware: staff inside the admin have a scope; nobody else gets one here."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Enter the scope around admin pages."""
        user = signed_in(request.user) if request.path.startswith(PATH) else None
        actor = None if user is None else staff_actor(user, ip=request_ip(request))
        if actor is None:
            return self._get_response(request)
        supported = _supported(request, actor)
        if supported is None and not _is_nobodys(request.path):
            messages.info(request, "Choose the organization you look after first.")
            return redirect(CHOICE)
        with scope.enter(Scope.of(supported or actor)), scope.transaction():
            return self._get_response(request)


def look_after(request: HttpRequest, organization: Organization) -> None:
    """Choose an organization; from the next page on, the admin shows its rows."""
    user = signed_in(request.user)
    staff = None if user is None else staff_actor(user, ip=request_ip(request))
    if staff is None:
        return
    actor = _in(organization, staff)
    with scope.tenant(organization.pk, actor=actor):
        audit.record(actor=actor, action="staff.enter", target=f"Tenant:{organization.pk}")
    request.session[SESSION_KEY] = organization.slug


def leave(request: HttpRequest) -> None:
    """Back to the platform scope."""
    request.session.pop(SESSION_KEY, None)


def _is_nobodys(path: str) -> bool:
    return path == PATH or path.startswith(NOBODYS)


def _supported(request: HttpRequest, staff: Actor) -> Actor | None:
    slug = request.session.get(SESSION_KEY)
    if not isinstance(slug, str):
        return None
    with scope.platform(actor=staff):
        organization = Organization.objects.filter(slug=slug).first()
    return None if organization is None else _in(organization, staff)


def _in(organization: Organization, staff: Actor) -> Actor:
    return Actor(
        tenant_id=organization.pk,
        user_id=staff.user_id,
        name=f"{staff.name} (platform staff)",
        permissions=LOOKS_AFTER,
        is_staff=True,
        ip=staff.ip,
    )
