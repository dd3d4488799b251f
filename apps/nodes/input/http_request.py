"""Fetch something over HTTP.

Sends a GET or HEAD request and gives `status`, `headers` (lower case) and `body` as JSON:
parsed when the answer says it is JSON, text otherwise. Such a request changes nothing on the other
side, so a step that is run again does no harm; to send data use `output.http_request` or
`output.webhook`.

Only the host of `url` may be reached, never a private address. A secret goes into `token`, which
is sent as `Authorization: Bearer …`, or under another header by `token_header` (then without a
prefix). Answers over 4xx and 5xx are errors: HTTP_429 and HTTP_5xx may be retried (Retry-After is
obeyed), the others not. Put codes you expect into `accept`. Times out after `timeout_seconds`.
"""

from __future__ import annotations

from enum import StrEnum

from apps.nodes import http
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeParameters,
    Outputs,
    Port,
    PortSpec,
    Resources,
    field,
    node,
)


class Method(StrEnum):
    """Methods that change nothing."""

    GET = "GET"
    HEAD = "HEAD"


class Parameters(NodeParameters):
    """What to fetch."""

    url: str = field(title="URL", max_length=4096, pattern=http.URL_PATTERN)
    method: Method = field(Method.GET, title="Method")
    query: dict[str, str] = field({}, title="Query parameters")
    headers: dict[str, str] = field({}, title="Headers", description="No secrets in here.")
    token: str | None = field(None, title="Secret token", description="Write {{ secrets.NAME }}.")
    token_header: str = field("Authorization", title="Header of the token", max_length=100)
    accept: list[int] = field([], title="Other status codes that are fine", max_length=50)
    timeout_seconds: float = field(30.0, title="Time limit in seconds", gt=0, le=300)


@node(
    "input.http_request",
    version=1,
    title="HTTP request",
    effect=Effect.PURE,
    icon="globe",
    secrets=("token",),
    egress_parameters=("url",),
    resources=Resources(timeout_seconds=330),
    inputs={"after": PortSpec(type=Port.ANY, required=False, title="Wait for")},
    outputs={"response": Port.JSON},
    example=Example(
        parameters={"url": "https://api.example.com/items", "query": {"limit": "2"}},
        outputs={"response": {"status": 200, "body": {"path": "/items?limit=2"}}},
    ),
)
def http_request(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Send and read."""
    answer = context.http.request(
        parameters.method.value,
        parameters.url,
        headers=http.headers(
            context,
            parameters.headers,
            token=parameters.token,
            token_header=parameters.token_header,
        ),
        params=parameters.query or None,
        timeout_seconds=parameters.timeout_seconds,
    )
    http.require_success(answer, accept=parameters.accept)
    context.log.info("answered", status=answer.status, bytes=len(answer.content))
    return {"response": http.as_json(answer)}
