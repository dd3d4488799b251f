"""Repeat what is inside until a condition holds.

The nodes of the body run at least once. `item` is what is carried: first what came in by `value`,
then what the iteration before led to `next` (what it did not lead anywhere stays as it was).
`index` counts from 0. After each iteration `until` is read as if it stood in the body:
`{{ nodes.score.accuracy > 0.95 }}`, `{{ index >= 4 }}`. When it holds, the carried value leaves by
`value`. After `max_iterations` the loop fails with LOOP_LIMIT, or leaves all the same.

A failure in the body that nobody receives there ends the loop: its own `onError` decides what
follows. To pause between iterations, put a `control.wait` into the body. All iterations of a run
together open at most 10,000 steps (STEP_LIMIT); for long lists take `control.map`.
"""

from __future__ import annotations

from enum import StrEnum

from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeError,
    NodeParameters,
    Outputs,
    Port,
    PortSpec,
    Repeat,
    field,
    node,
)


class AtLimit(StrEnum):
    """What becomes of a loop whose condition never held."""

    FAIL = "fail"
    LEAVE = "leave"


class Parameters(NodeParameters):
    """When it ends."""

    until: bool = field(
        default=False,
        title="Leave when",
        description="Read after each iteration; sees the nodes of the body, `item` and `index`.",
    )
    max_iterations: int = field(100, title="Iterations at most", ge=1, le=10_000)
    at_limit: AtLimit = field(
        AtLimit.FAIL, title="After the last", description="Fail, or leave with what is carried."
    )


@node(
    "control.loop",
    version=1,
    title="Loop",
    effect=Effect.PURE,
    icon="repeat",
    container=True,
    inner=("until",),
    inputs={
        "value": PortSpec(type=Port.ANY, required=False, title="First item"),
        "next": PortSpec(type=Port.ANY, required=False, inner=True, title="Next item"),
    },
    outputs={
        "value": PortSpec(type=Port.ANY, title="Last item"),
        "iterations": PortSpec(type=Port.JSON),
        "item": PortSpec(type=Port.ANY, inner=True),
        "index": PortSpec(type=Port.JSON, inner=True),
    },
    example=Example(
        parameters={"until": True},
        inputs={"value": 1, "next": 2},
        outputs={"value": 2, "iterations": 1},
    ),
)
def loop(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs | Repeat:
    """Leave, or go round once more."""
    ended = context.iteration
    if ended is None:
        return Repeat({"item": inputs.get("value"), "index": 0})
    carried = inputs.get("next", ended.item)
    count = ended.index + 1
    if not parameters.until and count < parameters.max_iterations:
        return Repeat({"item": carried, "index": count})
    if not parameters.until and parameters.at_limit is AtLimit.FAIL:
        raise NodeError(
            "LOOP_LIMIT",
            f"`until` did not hold after {count} iterations. Allow more, or leave at the limit.",
        )
    return {"value": carried, "iterations": count}
