"""Part the rows of a table by conditions.

Rows for which `all` (or, with `match` = `any`, at least one) of the conditions hold leave by
`kept`, the others by `rejected`, which is not taken when it would be empty. Operators: `equals`,
`not_equals`, `less`, `at_most`, `greater`, `at_least`, `one_of` (a list), `contains`,
`starts_with`, `ends_with` (text), `is_null`, `is_not_null`. Null fulfils no comparison.
"""

from __future__ import annotations

from enum import StrEnum
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

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


class Operator(StrEnum):
    """How a cell is compared."""

    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    LESS = "less"
    AT_MOST = "at_most"
    GREATER = "greater"
    AT_LEAST = "at_least"
    ONE_OF = "one_of"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    IS_NULL = "is_null"
    IS_NOT_NULL = "is_not_null"


class Match(StrEnum):
    """How conditions are joined."""

    ALL = "all"
    ANY = "any"


class Condition(BaseModel):
    """One comparison."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(max_length=200)
    operator: Operator
    value: JsonValue = None


class Parameters(NodeParameters):
    """Which rows to keep."""

    conditions: list[Condition] = field(title="Conditions", min_length=1, max_length=100)
    match: Match = field(Match.ALL, title="How many must hold")


@node(
    "data.filter",
    version=1,
    title="Filter rows",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="data",
    icon="filter",
    inputs={"table": Port.TABLE},
    outputs={"kept": Port.TABLE, "rejected": PortSpec(type=Port.TABLE, required=False)},
    example=Example(
        parameters={"conditions": [{"column": "people", "operator": "at_least", "value": 200}]},
        inputs={"table": [{"city": "Ulm", "people": 126}, {"city": "Bonn", "people": 331}]},
        outputs={
            "kept": [{"city": "Bonn", "people": 331}],
            "rejected": [{"city": "Ulm", "people": 126}],
        },
    ),
)
def filter_rows(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Part the rows."""
    from polars.exceptions import PolarsError

    frame = read_table(inputs["table"], context)
    require_columns(frame, [condition.column for condition in parameters.conditions])
    join = and_ if parameters.match is Match.ALL else or_
    try:
        holds = reduce(join, [_holds(condition) for condition in parameters.conditions])
        mask = frame.select(holds.fill_null(value=False).alias("mask"))["mask"]
    except (PolarsError, TypeError) as error:
        raise NodeError(
            "CONDITION_INVALID", f"A condition does not fit its column: {error}"[:300]
        ) from None
    rejected = frame.filter(~mask)
    outputs: dict[str, Any] = {"kept": write_table(frame.filter(mask), context)}
    if rejected.height:
        outputs["rejected"] = write_table(rejected, context)
    context.log.info("filtered", kept=frame.height - rejected.height, rejected=rejected.height)
    return outputs


def _holds(condition: Condition) -> pl.Expr:
    import polars as pl

    column = pl.col(condition.column)
    match condition.operator:
        case Operator.IS_NULL:
            return column.is_null()
        case Operator.IS_NOT_NULL:
            return column.is_not_null()
        case Operator.ONE_OF:
            values = condition.value
            return column.is_in(values if isinstance(values, list) else [values])
        case Operator.CONTAINS | Operator.STARTS_WITH | Operator.ENDS_WITH:
            return _text(column, condition)
        case _:
            return _compared(column, condition)


def _text(column: pl.Expr, condition: Condition) -> pl.Expr:
    import polars as pl

    text, part = column.cast(pl.String).str, str(condition.value)
    if condition.operator is Operator.CONTAINS:
        return text.contains(part, literal=True)
    if condition.operator is Operator.STARTS_WITH:
        return text.starts_with(part)
    return text.ends_with(part)


def _compared(column: pl.Expr, condition: Condition) -> pl.Expr:
    import polars as pl

    if isinstance(condition.value, list | dict):
        raise NodeError(
            "CONDITION_INVALID", f"{condition.operator.value} compares with one plain value."
        )
    value = pl.lit(condition.value)
    match condition.operator:
        case Operator.EQUALS:
            return column == value
        case Operator.NOT_EQUALS:
            return column != value
        case Operator.LESS:
            return column < value
        case Operator.AT_MOST:
            return column <= value
        case Operator.GREATER:
            return column > value
        case Operator.AT_LEAST:
            return column >= value
        case _:
            raise AssertionError(condition.operator)
