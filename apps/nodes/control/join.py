"""Wait for several branches and gather what they gave.

Runs when every incoming connection is decided, or, with `needed`, as soon as so many have brought
a value: 1 takes the first that comes, 2 the first two. `values` is the list of what came in by
`branches`, in the document's order; skipped branches are left out, so after an *If* it holds the
one branch taken. `first` is the first of them, and null when there is none.

Once enough have come, the others do not count: steps that lead nowhere else and have not begun,
wait or would be tried again are canceled, what runs ends by itself, and its failure fails nothing.
Where fewer than `needed` bring a value, the join is skipped.
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
    """How many it takes."""

    needed: int | None = field(
        None,
        title="Branches needed",
        description="Run when so many have brought a value; empty: when all are decided.",
        ge=1,
        le=2_000,
    )


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
