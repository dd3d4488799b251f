"""Send data over HTTP to a system that does not know idempotency keys.

Sends POST, PUT, PATCH or DELETE with the input as JSON body (or `body`, when it is set) and gives
`status`, `headers` and `body` of the answer. Because the other side may do the same thing twice,
the engine never repeats this step on its own after a crash in the middle: it asks a human. Use
*Webhook* when the receiver honors `Idempotency-Key`, and *HTTP request* to read.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import JsonValue

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
    field,
    node,
)


class Method(StrEnum):
    """Methods that change something."""

    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


class Parameters(NodeParameters):
    """What to send where."""

    url: str = field(title="URL", max_length=4096, pattern=http.URL_PATTERN)
    method: Method = field(Method.POST, title="Method")
    headers: dict[str, str] = field({}, title="Headers", description="No secrets in here.")
    body: JsonValue = field(None, title="Body", description="The input when empty.")
    token: str | None = field(None, title="Secret token", description="Write {{ secrets.NAME }}.")
    token_header: str = field("Authorization", title="Header of the token", max_length=100)
    accept: list[int] = field([], title="Other status codes that are fine", max_length=50)
    timeout_seconds: float = field(30.0, title="Time limit in seconds", gt=0, le=300)


@node(
    "output.http_request",
    version=1,
    title="Send HTTP request",
    effect=Effect.UNSAFE,
    icon="send",
    secrets=("token",),
    egress_parameters=("url",),
    inputs={"data": PortSpec(type=Port.JSON, required=False)},
    outputs={"response": Port.JSON},
    example=Example(
        parameters={"url": "https://api.example.com/items", "method": "PUT"},
        inputs={"data": {"name": "Ulm"}},
        outputs={"response": {"status": 200, "body": {"method": "PUT", "json": {"name": "Ulm"}}}},
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
        json=parameters.body if parameters.body is not None else inputs.get("data"),
        timeout_seconds=parameters.timeout_seconds,
    )
    http.require_success(answer, accept=parameters.accept)
    context.log.info("answered", status=answer.status)
    return {"response": http.as_json(answer)}
