"""Split a table into training and test parts.

`test_share` of the rows, drawn at random by `seed`, go to `test`, the others to `train`. With
`stratify_by` every value of that column keeps its share in both parts (rounded per value, at
least one row on each side where a value has two or more). The same table, seed and share always
give the same parts. Each part keeps the order of the table. Fails with TOO_FEW_ROWS when a part
would be empty.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from apps.nodes.tables import read_table, require_columns, write_table
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    Isolation,
    NodeContext,
    NodeError,
    NodeParameters,
    Outputs,
    Port,
    field,
    node,
)


class Parameters(NodeParameters):
    """How to split."""

    test_share: float = field(0.25, title="Share held out for testing", gt=0, lt=1)
    stratify_by: str | None = field(None, title="Keep the shares of this column", max_length=200)
    seed: int = field(0, title="Seed", ge=0, le=2**32 - 1)


@node(
    "data.split",
    version=1,
    title="Split",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="data",
    icon="split",
    inputs={"table": Port.TABLE},
    outputs={"train": Port.TABLE, "test": Port.TABLE},
    example=Example(
        parameters={"test_share": 0.5, "stratify_by": "kind"},
        inputs={"table": [{"kind": "a"}, {"kind": "b"}, {"kind": "a"}, {"kind": "b"}]},
        outputs={
            "train": [{"kind": "a"}, {"kind": "b"}],
            "test": [{"kind": "a"}, {"kind": "b"}],
        },
    ),
)
def split(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Draw the test rows."""
    import polars as pl

    frame = read_table(inputs["table"], context)
    groups: Sequence[Any] = [None] * frame.height
    if parameters.stratify_by is not None:
        require_columns(frame, [parameters.stratify_by])
        column = frame[parameters.stratify_by]
        if column.dtype.is_nested():
            raise NodeError("COLUMN_INVALID", "Rows are not split by lists or objects.")
        # As text, so that every NaN is the same NaN.
        groups = column.cast(pl.String).to_list()
    drawn = set(_draw(groups, parameters))
    if not drawn or len(drawn) == frame.height:
        raise NodeError("TOO_FEW_ROWS", f"{frame.height} rows are too few to split so.")
    mask = pl.Series([row in drawn for row in range(frame.height)])
    context.log.info("split", train=frame.height - len(drawn), test=len(drawn))
    return {
        "train": write_table(frame.filter(~mask), context),
        "test": write_table(frame.filter(mask), context),
    }


def _draw(groups: Sequence[Any], parameters: Parameters) -> list[int]:
    members: dict[Any, list[int]] = {}
    for row, value in enumerate(groups):
        members.setdefault(value, []).append(row)
    # Reproducible, not secret.
    source = random.Random(parameters.seed)  # noqa: S311
    drawn: list[int] = []
    for rows in members.values():
        count = round(len(rows) * parameters.test_share)
        if len(rows) > 1:
            count = min(max(count, 1), len(rows) - 1)
        drawn += source.sample(rows, count)
    return drawn
