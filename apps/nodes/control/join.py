"""Wait for several branches and gather what they gave.

Runs when every incoming connection is decided. `values` is the list of what came in by
`branches`, in the document's order; skipped branches are left out, so after an *If* it holds the
one branch taken. `first` is the first of them, and null when there is none.
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
    node,
)


class Parameters(NodeParameters):
    """Nothing to set."""


@node(
    "control.join",
    version=1,
    title="Join",
    effect=Effect.PURE,
    icon="git-merge",
    inputs={"branches": PortSpec(type=Port.ANY, multiple=True)},
    outputs={"values": Port.JSON, "first": Port.ANY},
    example=Example(
        inputs={"branches": [{"a": 1}, {"b": 2}]},
        outputs={"values": [{"a": 1}, {"b": 2}], "first": {"a": 1}},
    ),
)
def join(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Gather."""
    values = list(inputs.get("branches", []))
    return {"values": values, "first": values[0] if values else None}
