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


class Parameters(http.HttpParameters):
    """What to fetch."""

    method: Method = field(Method.GET, title="Method")
    query: dict[str, str] = field({}, title="Query parameters")
    accept: list[int] = field([], title="Other status codes that are fine", max_length=50)


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
    answer = http.send(
        context,
        parameters,
        method=parameters.method.value,
        params=parameters.query,
        accept=parameters.accept,
    )
    return {"response": http.as_json(answer)}
