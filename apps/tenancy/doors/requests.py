"""The door of the API: a key in the Authorization header, else the session; never both."""

from __future__ import annotations

from django.http import HttpRequest

from apps.kit.errors import Unauthenticated
from apps.tenancy.actors import Actor
from apps.tenancy.doors.identity import place_of, signed_in, staff_actor
from apps.tenancy.doors.keys import actor_of_key
from apps.tenancy.doors.pages import SESSION_KEY, request_ip

TENANT_HEADER = "X-NStarX-Tenant"
_BEARER = "bearer "


def bearer_of(request: HttpRequest) -> str | None:
    """The key of the Authorization header. Where it is sent, cookies are ignored."""
    header = request.headers.get("Authorization", "")
    return header[len(_BEARER) :].strip() if header[: len(_BEARER)].lower() == _BEARER else None


def actor_of_request(request: HttpRequest) -> Actor:
    """Who calls the API. Raises Unauthenticated with a sentence that says how to be known.

    A key names its tenant. A session works in the organization of the `X-NStarX-Tenant` header, or
    of the page last visited; staff who name none get the platform scope.
    """
    ip = request_ip(request)
    key = bearer_of(request)
    if key is not None:
        return actor_of_key(key, ip=ip)
    user = signed_in(request.user)
    if user is None:
        raise Unauthenticated(
            "Sign in, or send an API key as `Authorization: Bearer nsx_…`. Keys are created in "
            "the organization's settings."
        )
    named = request.headers.get(TENANT_HEADER)
    return actor_of_user(user, named=named, visited=request.session.get(SESSION_KEY), ip=ip)


def actor_of_user(user: object, *, named: str | None, visited: str | None, ip: str | None) -> Actor:
    """A signed-in person in the organization named, else in the one last visited.

    Staff who name none, and are no member of the one last visited, get the platform scope.
    """
    person = signed_in(user)
    if person is None:
        raise Unauthenticated("Sign in again: the session is over.")
    slug = named or visited
    place = None if slug is None else place_of(person, slug=slug, ip=ip)
    if place is not None:
        return place.actor
    staff = staff_actor(person, ip=ip) if not named else None
    if staff is not None:
        return staff
    raise Unauthenticated(
        f"Name an organization you belong to: send its short name in the {TENANT_HEADER} header, "
        "or open one of its pages first."
    )
