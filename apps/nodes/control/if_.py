"""Go one way or the other.

`condition` is true or false, usually an expression: `{{ nodes.evaluate.metrics.f1 > 0.95 }}`. The
value that came in leaves by `true` or by `false`; what hangs on the other port is skipped. Anything
but a boolean is refused with PARAMETER_INVALID: write `{{ bool(…) }}` to convert.
"""

from __future__ import annotations

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


class Parameters(NodeParameters):
    """What decides."""

    condition: bool = field(title="Condition")


@node(
    "control.if",
    version=1,
    title="If",
    effect=Effect.PURE,
    icon="git-branch",
    inputs={"value": PortSpec(type=Port.ANY, required=False)},
    outputs={
        "true": PortSpec(type=Port.ANY, required=False),
        "false": PortSpec(type=Port.ANY, required=False),
    },
    example=Example(parameters={"condition": True}, inputs={"value": [1]}, outputs={"true": [1]}),
)
def condition(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Take one port."""
    return {"true" if parameters.condition else "false": inputs.get("value")}
