"""What the HTTP nodes share: where to and with which token, errors by status, bodies as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from apps.workflows.graph.declaration import (
    HttpResponse,
    NodeContext,
    NodeError,
    NodeParameters,
    Secret,
    field,
)

IDEMPOTENCY_KEY = "Idempotency-Key"
_URL = r"^https?://[^\s/]+(/\S*)?$"
_LONGEST_WAIT = 3_600.0
_SAFE = ("GET", "HEAD")
_TRANSIENT = (408, 425, 429, *range(500, 600))
_SHOWN = 500


class HttpParameters(NodeParameters):
    """Where a request goes, and what goes along."""

    url: str = field(title="URL", max_length=4096, pattern=_URL)
    headers: dict[str, str] = field({}, title="Headers", description="No secrets in here.")
    token: str | None = field(None, title="Secret token", description="Write {{ secrets.NAME }}.")
    token_header: str = field("Authorization", title="Header of the token", max_length=100)
    timeout_seconds: float = field(30.0, title="Time limit in seconds", gt=0, le=300)


def send(
    context: NodeContext,
    parameters: HttpParameters,
    *,
    method: str,
    json: Any = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    accept: Collection[int] = (),
) -> HttpResponse:
    """Send a request; NodeError for what has no answer, or an error status not in `accept`.

    Of a request that changes something and carries no key, only a refusal that came before any work
    (429) may be tried again.
    """
    own = headers or {}
    taken = {name.lower() for name in own}
    every: dict[str, str | Secret] = {
        name: value for name, value in parameters.headers.items() if name.lower() not in taken
    }
    every.update(own)
    if parameters.token:
        # Opaque: only the client opens it, and puts `Bearer` before it where that belongs.
        every[parameters.token_header] = context.secret(parameters.token)
    answer = context.http.request(
        method,
        parameters.url,
        headers=every,
        params=params or None,
        json=json,
        timeout_seconds=parameters.timeout_seconds,
    )
    may_repeat = method in _SAFE or IDEMPOTENCY_KEY in own
    _require_success(answer, accept=accept, transient=_TRANSIENT if may_repeat else (429,))
    context.log.info("answered", status=answer.status, bytes=len(answer.content))
    return answer


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


def _require_success(
    answer: HttpResponse, *, accept: Collection[int], transient: Collection[int]
) -> None:
    if answer.status < 400 or answer.status in accept:
        return
    raise NodeError(
        f"HTTP_{answer.status}",
        f"The server answered with status {answer.status}.",
        retryable=answer.status in transient,
        retry_after=_retry_after(answer),
        details={"status": answer.status, "body": _text(answer)[:_SHOWN]},
    )


def _text(answer: HttpResponse) -> str:
    return answer.content.decode("utf-8", "replace")


def _retry_after(answer: HttpResponse) -> float | None:
    value = answer.headers.get("retry-after", "")
    return min(float(value), _LONGEST_WAIT) if value.isdecimal() else None
