"""Give a table as JSON rows.

The other way round of *Rows to table*: a list of objects, for code, templates and requests. Dates
and times become ISO 8601 text. Takes the first `limit` rows (1,000 unless you say otherwise);
`truncated` tells whether there were more.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

from apps.nodes.tables import read_table, require_columns
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    Isolation,
    NodeContext,
    NodeParameters,
    Outputs,
    Port,
    field,
    node,
)


class Parameters(NodeParameters):
    """How much."""

    limit: int = field(1_000, title="At most this many rows", ge=1, le=50_000)
    columns: list[str] = field([], title="Only these columns", max_length=2000)


@node(
    "data.to_rows",
    version=1,
    title="Table to rows",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="data",
    icon="list",
    inputs={"table": Port.TABLE},
    outputs={"rows": Port.JSON, "truncated": Port.JSON},
    example=Example(
        parameters={"limit": 1},
        inputs={"table": [{"city": "Ulm", "people": 126}, {"city": "Bonn", "people": 331}]},
        outputs={"rows": [{"city": "Ulm", "people": 126}], "truncated": True},
    ),
)
def to_rows(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Read the first rows."""
    frame = read_table(inputs["table"], context)
    if parameters.columns:
        require_columns(frame, parameters.columns)
        frame = frame.select(parameters.columns)
    rows = [
        {name: _plain(value) for name, value in row.items()}
        for row in frame.head(parameters.limit).to_dicts()
    ]
    return {"rows": rows, "truncated": frame.height > parameters.limit}


def _plain(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case dt.date() | dt.time():
            return value.isoformat()
        case decimal.Decimal():
            return float(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
    return str(value)
