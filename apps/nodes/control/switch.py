"""Go one of several ways.

`value` is compared with the `equals` of each case, in order; what came in leaves by the port of
the first equal one, else by `otherwise`. The ports of the cases are listed under the node's
`outputs`. Numbers and text are never equal: 1 is not "1". A case that names a
port the node does not list fails the step with OUTPUT_INVALID.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

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


class Case(BaseModel):
    """One way."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    equals: JsonValue
    port: str = Field(pattern=r"^[a-z][a-zA-Z0-9_]{0,63}$")


class Parameters(NodeParameters):
    """What decides."""

    value: JsonValue = field(title="Value", description="Usually an expression.")
    cases: list[Case] = field([], title="Cases", max_length=100)


@node(
    "control.switch",
    version=1,
    title="Switch",
    effect=Effect.PURE,
    icon="waypoints",
    inputs={"value": PortSpec(type=Port.ANY, required=False)},
    outputs={
        "otherwise": PortSpec(type=Port.ANY, required=False),
        "cases": PortSpec(type=Port.ANY, required=False, dynamic=True),
    },
    example=Example(
        parameters={"value": "blue", "cases": [{"equals": "red", "port": "stop"}]},
        inputs={"value": 7},
        outputs={"otherwise": 7},
    ),
)
def switch(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Take one port."""
    for case in parameters.cases:
        if _equal(case.equals, parameters.value):
            context.log.info("case taken", port=case.port)
            return {case.port: inputs.get("value")}
    return {"otherwise": inputs.get("value")}


def _equal(left: JsonValue, right: JsonValue) -> bool:
    """Equal as JSON: true is not 1."""
    return isinstance(left, bool) is isinstance(right, bool) and left == right
