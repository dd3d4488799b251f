"""Make a table of JSON rows.

Takes a list of objects, one per row, and gives a table. Columns come from the keys; a key that a
row lacks is null there. Numbers, text, booleans and null are kept, lists and objects become JSON
text. Fails with ROWS_EXPECTED when the input is no list of objects. At most 1,000,000 rows.
"""

from __future__ import annotations

import json
from typing import Any

from apps.nodes.tables import write_table
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
    """Which columns."""

    columns: list[str] = field(
        [],
        title="Columns",
        description="Only these, in this order; all that occur when empty.",
        max_length=2000,
    )


@node(
    "data.from_rows",
    version=1,
    title="Rows to table",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="data",
    icon="table",
    inputs={"rows": Port.JSON},
    outputs={"table": Port.TABLE},
    example=Example(
        inputs={"rows": [{"city": "Ulm", "people": 126}, {"city": "Bonn"}]},
        outputs={"table": [{"city": "Ulm", "people": 126}, {"city": "Bonn", "people": None}]},
    ),
)
def from_rows(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Write the rows as Parquet."""
    import polars as pl
    from polars.exceptions import PolarsError

    rows = inputs["rows"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise NodeError("ROWS_EXPECTED", "The input must be a list of objects, one per row.")
    names = parameters.columns or list(dict.fromkeys(key for row in rows for key in row))
    flat = [{name: _cell(row.get(name)) for name in names} for row in rows]
    try:
        frame = pl.DataFrame(flat, schema=names, infer_schema_length=None)
    except (PolarsError, TypeError, OverflowError) as error:
        raise NodeError(
            "ROWS_MIXED", f"A column mixes types that do not fit together: {error}"[:300]
        ) from None
    return {"table": write_table(frame, context)}


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
