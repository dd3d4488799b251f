"""A fixed JSON value.

Gives the value written in its configuration, which may hold expressions such as
`{{ parameters.limit }}`. Use it to begin a workflow with run parameters, or to hand settings to
several steps at once. At most 1 MiB.
"""

from __future__ import annotations

from pydantic import JsonValue

from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeParameters,
    Outputs,
    Port,
    field,
    node,
)


class Parameters(NodeParameters):
    """What to give."""

    value: JsonValue = field(title="Value", description="Any JSON.")


@node(
    "input.constant",
    version=1,
    title="Constant",
    effect=Effect.PURE,
    icon="braces",
    outputs={"value": Port.JSON},
    example=Example(
        parameters={"value": {"currency": "USD", "limit": 3}},
        outputs={"value": {"currency": "USD", "limit": 3}},
    ),
)
def constant(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Give the value."""
    return {"value": parameters.value}
