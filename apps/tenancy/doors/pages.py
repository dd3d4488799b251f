"""The doors of server-rendered pages: decorators that find the actor and enter the scope."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.functional import SimpleLazyObject

from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.doors.identity import Place, place_of, places_of, signed_in, staff_actor
from apps.tenancy.models import Organization, User
from apps.tenancy.scope import Scope

P = ParamSpec("P")
SESSION_KEY = "organization"


class TenantRequest(HttpRequest):
    """What a `tenant_page` view gets."""

    actor: Actor
    organization: Organization
    user: User


class StaffRequest(HttpRequest):
    """What a `staff_page` view gets."""

    actor: Actor
    user: User


class PublicRequest(HttpRequest):
    """What a `public_page` view gets."""

    actor: Actor | None
    organization: Organization | None


def request_ip(request: HttpRequest) -> str | None:
    """The caller's address, as the server that talks to us knows it."""
    address = request.META.get("REMOTE_ADDR")
    return str(address) if address else None


def tenant_page(
    view: Callable[Concatenate[TenantRequest, P], HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """`/t/<slug>/…`: for members; a stranger and an unknown slug get the same 404.

    The view gets `request.actor`, `request.organization` and the scope in force, without a
    transaction: actions open their own, reads use `scope.transaction()`.
    """

    @wraps(view)
    def entered(request: HttpRequest, *args: Any, slug: str, **kwargs: Any) -> HttpResponseBase:
        user = signed_in(request.user)
        if user is None:
            return redirect_to_login(request.get_full_path())
        place = place_of(user, slug=slug, ip=request_ip(request))
        if place is None:
            raise Http404
        choose(request, place)
        return _serve(view, request, place.actor, place.organization, *args, **kwargs)

    return entered


def staff_page(
    view: Callable[Concatenate[StaffRequest, P], HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """For platform staff, in the platform scope; anybody else gets a 404."""

    @wraps(view)
    def entered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = signed_in(request.user)
        actor = None if user is None else staff_actor(user, ip=request_ip(request))
        if actor is None:
            raise Http404
        return _serve(view, request, actor, None, *args, **kwargs)

    return entered


def public_page(
    view: Callable[Concatenate[PublicRequest, P], HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """For everybody: in the visitor's organization, for strangers in a scope of nobody."""

    @wraps(view)
    def entered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        place = chosen_place(request)
        if place is None:
            return _serve(view, request, None, None, *args, **kwargs)
        return _serve(view, request, place.actor, place.organization, *args, **kwargs)

    return entered


def open_page(view: Callable[P, HttpResponseBase]) -> Callable[P, HttpResponseBase]:
    """For everybody alike: the scope of nobody, without a look at who asks."""

    @wraps(view)
    def entered(*args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        with scope.enter(Scope()):
            return view(*args, **kwargs)

    return entered


def choose(request: HttpRequest, place: Place) -> None:
    """Remember the organization in the session; another one gets a session of another id."""
    slug = place.organization.slug
    held = request.session.get(SESSION_KEY)
    if held == slug:
        return
    if held is not None:
        request.session.cycle_key()
    request.session[SESSION_KEY] = slug


def chosen_place(request: HttpRequest) -> Place | None:
    """The place the session remembers, as long as the person has it; the first one until then."""
    user = signed_in(request.user)
    slug = request.session.get(SESSION_KEY)
    if user is None:
        return None
    if not isinstance(slug, str):
        return next(iter(places_of(user, ip=request_ip(request), limit=1)), None)
    return place_of(user, slug=slug, ip=request_ip(request))


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the signed-in person's organizations and the one being looked at."""

    def organizations() -> list[Organization]:
        user = signed_in(getattr(request, "user", None))
        return [] if user is None else [place.organization for place in places_of(user)]

    return {
        # Asked for by pages with a navigation, not by the parts that move every second.
        "organizations": SimpleLazyObject(organizations),
        "organization": getattr(request, "organization", None),
    }


def _serve(
    view: Callable[..., HttpResponseBase],
    request: HttpRequest,
    actor: Actor | None,
    organization: Organization | None,
    *args: Any,
    **kwargs: Any,
) -> HttpResponseBase:
    request.actor = actor  # type: ignore[attr-defined]
    request.organization = organization  # type: ignore[attr-defined]
    with scope.enter(Scope() if actor is None else Scope.of(actor)):
        response = view(request, *args, **kwargs)
        # A template response renders later, when the scope would be gone.
        render = getattr(response, "render", None)
        if callable(render):
            response = render()
        return response
