"""Send data over HTTP to a system that does not know idempotency keys.

Sends POST, PUT, PATCH or DELETE with the input as JSON body (or `body`, when it is set) and gives
`status`, `headers` and `body` of the answer. Because the other side may do the same thing twice,
the engine never repeats this step on its own after a crash in the middle, or when the answer does
not come or breaks off (EFFECT_IN_DOUBT): it asks a human. Of the error statuses only HTTP_429 may
be tried again. Use *Webhook* when the receiver honors `Idempotency-Key`, and *HTTP request* to
read.
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


class Parameters(http.HttpParameters):
    """What to send where."""

    method: Method = field(Method.POST, title="Method")
    body: JsonValue = field(None, title="Body", description="The input when empty.")
    accept: list[int] = field([], title="Other status codes that are fine", max_length=50)


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
    answer = http.send(
        context,
        parameters,
        method=parameters.method.value,
        json=parameters.body if parameters.body is not None else inputs.get("data"),
        accept=parameters.accept,
    )
    return {"response": http.as_json(answer)}
