"""Deliver JSON to a URL, once per step however often it is tried.

Sends a POST request with the body `{"event", "data", "id"}`: `data` is what came in, `event` a
name you choose. `id`, and the header `Idempotency-Key`, are the same for every attempt of this
step, also after a worker died in the middle: a receiver that remembers the keys it has seen gets
every delivery exactly once. A secret goes into `token`, as in *HTTP request*.

Answers of 4xx and 5xx are errors: HTTP_408, HTTP_425, HTTP_429 and HTTP_5xx may be retried. Only
the host of `url` may be reached, never a private address. `receipt` holds the status and the key.
"""

from __future__ import annotations

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


class Parameters(http.HttpParameters):
    """Where to, and as what."""

    event: str = field("workflow.delivery", title="Event", min_length=1, max_length=200)


@node(
    "output.webhook",
    version=1,
    title="Webhook",
    effect=Effect.KEYED,
    icon="webhook",
    secrets=("token",),
    egress_parameters=("url",),
    inputs={"data": PortSpec(type=Port.JSON, required=False)},
    outputs={"receipt": Port.JSON},
    example=Example(
        parameters={"url": "https://hooks.example.com/in", "event": "rows.ready"},
        inputs={"data": {"rows": 3}},
        outputs={"receipt": {"status": 200}},
    ),
)
def webhook(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Send under the step's key."""
    key = context.idempotency_key
    answer = http.send(
        context,
        parameters,
        method="POST",
        json={"event": parameters.event, "data": inputs.get("data"), "id": key},
        headers={http.IDEMPOTENCY_KEY: key},
    )
    return {"receipt": {"status": answer.status, "key": key}}
