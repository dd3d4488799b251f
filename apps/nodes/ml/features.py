"""Scale the numbers of a table, fitted on the training part alone.

`standard` subtracts the mean and divides by the standard deviation (population); `minmax` maps the
training range to 0 … 1; a column that never varies is only shifted. Everything is computed from the
port `train` and applied to `train` and `test` alike, so that nothing of the test rows leaks into
training. `features` is the recipe (columns, what is subtracted, what divides): give it to *Export
model* and the exported model takes raw numbers.

`columns` are the numeric ones except `target` unless you list them. Gaps are refused with
COLUMN_INVALID.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from apps.nodes.models import features_of
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
    PortSpec,
    field,
    node,
)

if TYPE_CHECKING:
    import polars as pl


class Method(StrEnum):
    """How to scale."""

    STANDARD = "standard"
    MINMAX = "minmax"


class Parameters(NodeParameters):
    """What to scale."""

    method: Method = field(Method.STANDARD, title="Method")
    target: str | None = field("target", title="Column to leave alone", max_length=200)
    columns: list[str] = field([], title="Columns", max_length=2000)


@node(
    "ml.features",
    version=1,
    title="Scale features",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="ml",
    icon="ruler",
    inputs={"train": Port.TABLE, "test": PortSpec(type=Port.TABLE, required=False)},
    outputs={
        "train": Port.TABLE,
        "test": PortSpec(type=Port.TABLE, required=False),
        "features": Port.JSON,
    },
    example=Example(
        inputs={
            "train": [{"size": 1.0, "target": 0}, {"size": 3.0, "target": 1}],
            "test": [{"size": 4.0, "target": 1}],
        },
        outputs={
            "train": [{"size": -1.0, "target": 0}, {"size": 1.0, "target": 1}],
            "test": [{"size": 2.0, "target": 1}],
            "features": {"columns": ["size"], "subtract": [2.0], "divide": [1.0]},
        },
    ),
)
def features(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Fit on train, apply to both."""
    train = read_table(inputs["train"], context)
    columns = tuple(parameters.columns) or numeric_columns(train, except_for=parameters.target)
    require_columns(train, columns)
    recipe = _fit(train, columns, parameters.method)
    outputs: dict[str, Any] = {
        "train": write_table(_apply(train, recipe), context),
        "features": recipe,
    }
    if "test" in inputs:
        test = read_table(inputs["test"], context)
        features_of(test, columns)
        outputs["test"] = write_table(_apply(test, recipe), context)
    return outputs


def numeric_columns(frame: pl.DataFrame, *, except_for: str | None) -> tuple[str, ...]:
    """Every column of numbers but one; NodeError when there is none."""
    found = tuple(
        name for name, kind in frame.schema.items() if kind.is_numeric() and name != except_for
    )
    if not found:
        raise NodeError("COLUMN_MISSING", "The table has no column of numbers to learn from.")
    return found


def _fit(frame: pl.DataFrame, columns: tuple[str, ...], method: Method) -> dict[str, Any]:
    import numpy as np

    numbers = features_of(frame, columns).astype(np.float64)
    if not len(numbers):
        raise NodeError("TOO_FEW_ROWS", "There are no rows to learn from.")
    if method is Method.STANDARD:
        low, span = numbers.mean(axis=0), numbers.std(axis=0)
    else:
        low, span = numbers.min(axis=0), numbers.max(axis=0) - numbers.min(axis=0)
    span[span == 0] = 1.0
    return {"columns": list(columns), "subtract": low.tolist(), "divide": span.tolist()}


def _apply(frame: pl.DataFrame, recipe: dict[str, Any]) -> pl.DataFrame:
    import polars as pl

    return frame.with_columns(
        ((pl.col(name).cast(pl.Float64) - low) / span).alias(name)
        for name, low, span in zip(
            recipe["columns"], recipe["subtract"], recipe["divide"], strict=True
        )
    )
