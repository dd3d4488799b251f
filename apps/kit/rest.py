"""Problem JSON (RFC 9457): a refusal as REST tells it, with the codes of every other API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpResponse

from apps.kit.errors import ErrorCode, QuotaExceeded, Refusal

INTERNAL: Final = "INTERNAL"
STATUSES: Final[Mapping[str, int]] = {
    ErrorCode.INVALID: 400,
    ErrorCode.REQUIRED: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.PAYMENT_REQUIRED: 402,
    ErrorCode.PLAN_UPGRADE_REQUIRED: 402,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.QUOTA_EXCEEDED: 429,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.PROVIDER_ERROR: 502,
}
_CONFLICT: Final = 409
_TITLES: Final[Mapping[int, str]] = {
    400: "Bad request",
    401: "Unauthenticated",
    402: "Not in this plan",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    411: "Length required",
    413: "Too large",
    415: "Unsupported media type",
    429: "Too many",
    502: "Provider error",
    503: "Unavailable",
}


def answer(content: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
    """A resource."""
    return _response(content, status=status, content_type="application/json")


def problem(
    message: str, *, code: str, status: int, request_id: str, **more: object
) -> HttpResponse:
    """A refusal in parts; what is None is left out."""
    content = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "code": str(code),
        "detail": message,
        "requestId": request_id,
        **{name: value for name, value in more.items() if value is not None},
    }
    response = _response(content, status=status, content_type="application/problem+json")
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if (seconds := content.get("retryAfterSeconds")) is not None:
        response["Retry-After"] = str(seconds)
    return response


def refused(refusal: Refusal, *, request_id: str) -> HttpResponse:
    """A domain refusal, with what helps to mend it."""
    more: dict[str, object] = {
        "path": list(refusal.path) or None,
        "reason": getattr(refusal, "reason", None),
    }
    if isinstance(refusal, QuotaExceeded):
        more |= {"metric": refusal.metric, "limit": refusal.limit, "used": refusal.used}
        more |= {"resetsAt": refusal.resets_at}
    more["retryAfterSeconds"] = getattr(refusal, "retry_after_seconds", None)
    status = STATUSES.get(refusal.code, _CONFLICT)
    code = refusal.code
    return problem(refusal.message, code=code, status=status, request_id=request_id, **more)


def _response(content: Mapping[str, Any], *, status: int, content_type: str) -> HttpResponse:
    text = json.dumps(content, separators=(",", ":"), cls=DjangoJSONEncoder)
    response = HttpResponse(text, status=status, content_type=content_type)
    response["Cache-Control"] = "no-store"
    return response
