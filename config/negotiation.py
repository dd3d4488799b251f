"""How an answer of /graphql travels: as application/json or as application/graphql-response+json.

The second is GraphQL over HTTP's own media type. Under it the status tells what happened to the
request: an operation that was carried out has `data`, and 200 whatever its fields said; one that
could not be read, is not valid or was refused has no `data`, and 4xx or 5xx. As application/json,
which is also the answer to whoever names no type, a well-formed request gets 200 in every case.
"""

from __future__ import annotations

import json
from typing import Any, Final

from django.http import HttpRequest, HttpResponse

from apps.kit.errors import ErrorCode
from apps.kit.graphql.masking import INTERNAL

JSON: Final = "application/json"
RESPONSE: Final = "application/graphql-response+json"
_OFFERED: Final = tuple(
    f"{kind}{more}" for kind in (JSON, RESPONSE) for more in ("", "; charset=utf-8")
)
_STATUS: Final = {ErrorCode.RATE_LIMITED.value: 429, str(INTERNAL): 500}


def media_type(request: HttpRequest) -> str | None:
    """The type the caller prefers; None when both are refused."""
    wanted = request.get_preferred_type(list(_OFFERED))
    return None if wanted is None else str(wanted).partition(";")[0]


def answer(request: HttpRequest, content: Any, *, status: int = 200) -> HttpResponse:
    """The response to a request, in the type it prefers; `status` is what JSON would get."""
    body = dict(content)
    wanted = media_type(request) or JSON
    if wanted == RESPONSE and _was_never_executed(body):
        body.pop("data", None)
        if status == 200:
            status = _status_of(body)
    charset = "; charset=utf-8" if wanted == RESPONSE else ""
    text = json.dumps(body)
    return HttpResponse(text, content_type=f"{wanted}{charset}", status=status)


def _was_never_executed(body: dict[str, Any]) -> bool:
    """Errors of a field name its path; those of the whole request have none."""
    errors = body.get("errors") or []
    return bool(errors) and body.get("data") is None and not any("path" in one for one in errors)


def _status_of(body: dict[str, Any]) -> int:
    codes = [(one.get("extensions") or {}).get("code") for one in body["errors"]]
    return next((_STATUS[code] for code in codes if code in _STATUS), 400)
