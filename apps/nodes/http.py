"""What the HTTP nodes share: headers with an opaque token, errors by status, bodies as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from apps.workflows.graph.declaration import HttpResponse, NodeContext, NodeError, Secret

URL_PATTERN = r"^https?://[^\s/]+(/\S*)?$"
_LONGEST_WAIT = 3_600.0


def headers(
    context: NodeContext,
    plain: Mapping[str, str],
    *,
    token: str | None,
    token_header: str = "Authorization",  # noqa: S107 - the name of a header
    more: Mapping[str, str] | None = None,
) -> dict[str, str | Secret]:
    """The request's headers; the token goes in as a secret that only the client opens."""
    every: dict[str, str | Secret] = {**plain, **(more or {})}
    if token:
        every[token_header] = context.secret(token)
    return every


def require_success(answer: HttpResponse, *, accept: Collection[int] = ()) -> None:
    """NodeError HTTP_<status> for 4xx and 5xx; those that may pass are retryable."""
    if answer.status < 400 or answer.status in accept:
        return
    transient = answer.status in (408, 425, 429) or answer.status >= 500
    raise NodeError(
        f"HTTP_{answer.status}",
        f"The server answered with status {answer.status}.",
        retryable=transient,
        retry_after=_retry_after(answer),
        details={"status": answer.status, "body": _text(answer)[:500]},
    )


def as_json(answer: HttpResponse) -> dict[str, Any]:
    """Status, headers and body, the body parsed when it says it is JSON."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    body: Any = _text(answer)
    if kind == "application/json" or kind.endswith("+json"):
        try:
            body = json.loads(answer.content)
        except (ValueError, RecursionError):
            raise NodeError("HTTP_NOT_JSON", "The answer says it is JSON and is not.") from None
    return {"status": answer.status, "headers": dict(answer.headers), "body": body}


def _text(answer: HttpResponse) -> str:
    return answer.content.decode("utf-8", "replace")


def _retry_after(answer: HttpResponse) -> float | None:
    value = answer.headers.get("retry-after", "")
    return min(float(value), _LONGEST_WAIT) if value.isdecimal() else None
