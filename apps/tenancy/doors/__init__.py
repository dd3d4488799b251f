"""The doors of HTTP and WebSocket; the other three kinds are named in `tenancy.scope`."""

from apps.tenancy.doors.identity import (
    Place,
    place_of,
    places_of,
    signed_in,
    staff_actor,
    still_holds,
)
from apps.tenancy.doors.keys import Presumed, actor_of_key, presumed
from apps.tenancy.doors.pages import (
    PublicRequest,
    StaffRequest,
    TenantRequest,
    choose,
    navigation,
    open_page,
    public_page,
    request_ip,
    staff_page,
    tenant_page,
)
from apps.tenancy.doors.requests import actor_of_request

__all__ = [
    "Place",
    "Presumed",
    "PublicRequest",
    "StaffRequest",
    "TenantRequest",
    "actor_of_key",
    "actor_of_request",
    "choose",
    "navigation",
    "open_page",
    "place_of",
    "places_of",
    "presumed",
    "public_page",
    "request_ip",
    "signed_in",
    "staff_actor",
    "staff_page",
    "still_holds",
    "tenant_page",
]
