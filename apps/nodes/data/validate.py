"""Check a table against rules and part the rows that break one.

Rules about columns, each a name and what must hold there:

- `not_null`: no null, no NaN. Every other check passes over nulls; add this one to refuse them.
- `type`: the column is `integer`, `number`, `text`, `boolean`, `date` or `datetime`. A whole-column
  check: it fails the step with SCHEMA_INVALID.
- `range`: between `minimum` and `maximum`, both included, either may be left out.
- `one_of`: among `values`.
- `matches`: the text matches the regular expression `pattern` (linear-time dialect).
- `length`: the text has between `minimum` and `maximum` characters.
- `unique`: no other row has the same value; all of the equal rows are invalid.

Rules about the table: exactly `expect_rows` rows, all of `expect_columns` present; both fail the
step with SCHEMA_INVALID. `max_invalid_share` fails it with TOO_MANY_INVALID when a larger share of
rows breaks a rule; a rule that does not fit its column fails it with RULE_INVALID.

`valid` holds the rows that keep every rule. `invalid` holds the others with a column `_reasons`,
and is not taken when there are none. `report` counts rows and, by rule, how many broke it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from pydantic import BaseModel, ConfigDict, Field

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

REASONS = "_reasons"


class Check(StrEnum):
    """What may be asked of a column."""

    NOT_NULL = "not_null"
    TYPE = "type"
    RANGE = "range"
    ONE_OF = "one_of"
    MATCHES = "matches"
    LENGTH = "length"
    UNIQUE = "unique"


class Kind(StrEnum):
    """Types as people name them."""

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"


class Rule(BaseModel):
    """One check on one column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(max_length=200)
    check: Check
    type: Kind | None = None
    minimum: float | None = None
    maximum: float | None = None
    values: list[str | int | float | bool] = Field(default=[], max_length=1000)
    pattern: str | None = Field(default=None, max_length=1000)

    @property
    def name(self) -> str:
        """How the report names it."""
        return f"{self.column}:{self.check.value}"


class Parameters(NodeParameters):
    """The rules."""

    rules: list[Rule] = field([], title="Rules", max_length=500)
    expect_rows: int | None = field(None, title="Exact number of rows", ge=0)
    expect_columns: list[str] = field([], title="Columns that must be there", max_length=2000)
    max_invalid_share: float = field(1.0, title="Largest share of invalid rows", ge=0, le=1)


@node(
    "data.validate",
    version=1,
    title="Validate table",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="data",
    icon="shield-check",
    inputs={"table": Port.TABLE},
    outputs={
        "valid": Port.TABLE,
        "invalid": PortSpec(type=Port.TABLE, required=False),
        "report": Port.REPORT,
    },
    example=Example(
        parameters={
            "rules": [
                {"column": "age", "check": "not_null"},
                {"column": "age", "check": "range", "minimum": 0, "maximum": 120},
            ]
        },
        inputs={"table": [{"age": 31}, {"age": None}, {"age": 150}]},
        outputs={
            "valid": [{"age": 31}],
            "invalid": [
                {"age": None, "_reasons": "age:not_null"},
                {"age": 150, "_reasons": "age:range"},
            ],
            "report": {
                "rows": 3,
                "valid": 1,
                "invalid": 2,
                "broken": {"age:not_null": 1, "age:range": 1},
            },
        },
    ),
)
def validate(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Part the rows."""
    frame = read_table(inputs["table"], context)
    _check_table(frame, parameters)
    valid, invalid, broken = _part(frame, parameters)
    report = {
        "rows": frame.height,
        "valid": valid.height,
        "invalid": invalid.height,
        "broken": broken,
    }
    _tell(context, report)
    if frame.height and invalid.height / frame.height > parameters.max_invalid_share:
        raise NodeError(
            "TOO_MANY_INVALID",
            f"{invalid.height} of {frame.height} rows break a rule; at most"
            f" {parameters.max_invalid_share:.0%} may.",
            details=report,
        )
    outputs: dict[str, Any] = {"valid": write_table(valid, context), "report": report}
    if invalid.height:
        outputs["invalid"] = write_table(invalid, context)
    return outputs


def _part(
    frame: pl.DataFrame, parameters: Parameters
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """Rows that keep every rule, rows that do not with their reasons, and counts by rule."""
    import polars as pl

    reasons = []
    broken: dict[str, int] = {}
    for rule in parameters.rules:
        if rule.check is Check.TYPE:
            continue
        mask = _mask(rule, frame)
        broken[rule.name] = broken.get(rule.name, 0) + int(mask.sum())
        reasons.append(pl.when(mask).then(pl.lit(rule.name)).otherwise(None))
    joined = pl.concat_str(reasons, separator=", ", ignore_nulls=True) if reasons else pl.lit("")
    marked = frame.with_columns(joined.alias(REASONS))
    kept = pl.col(REASONS) == ""
    return marked.filter(kept).drop(REASONS), marked.filter(~kept), broken


def _mask(rule: Rule, frame: pl.DataFrame) -> pl.Series:
    from polars.exceptions import PolarsError

    try:
        broken = _broken(rule, frame).fill_null(value=False)
        return frame.select(broken.alias("broken"))["broken"]
    except (PolarsError, TypeError) as error:
        raise NodeError(
            "RULE_INVALID",
            f"The rule {rule.name} does not fit its column, which holds"
            f" {frame.schema[rule.column]}: {error}"[:400],
            details={"rule": rule.name},
        ) from None


def _tell(context: NodeContext, report: dict[str, Any]) -> None:
    for name in ("rows", "valid", "invalid"):
        context.metric(name, report[name])
    context.log.info("validated", **{name: report[name] for name in ("rows", "valid", "invalid")})


def _check_table(frame: pl.DataFrame, parameters: Parameters) -> None:
    require_columns(frame, parameters.expect_columns)
    require_columns(frame, [rule.column for rule in parameters.rules])
    if parameters.expect_rows is not None and frame.height != parameters.expect_rows:
        raise NodeError(
            "SCHEMA_INVALID",
            f"The table has {frame.height} rows, not the expected {parameters.expect_rows}.",
        )
    for rule in parameters.rules:
        if rule.check is Check.TYPE and not _is(frame.schema[rule.column], rule):
            raise NodeError(
                "SCHEMA_INVALID",
                f"The column {rule.column!r} holds {frame.schema[rule.column]}, not"
                f" {rule.type.value if rule.type else 'what the rule names'}.",
            )


def _is(kind: pl.DataType, rule: Rule) -> bool:
    import polars as pl

    match rule.type:
        case Kind.INTEGER:
            return kind.is_integer()
        case Kind.NUMBER:
            return kind.is_numeric()
        case Kind.TEXT:
            return kind == pl.String
        case Kind.BOOLEAN:
            return kind == pl.Boolean
        case Kind.DATE:
            return kind == pl.Date
        case Kind.DATETIME:
            return isinstance(kind, pl.Datetime)
        case None:
            return False
        case other:
            assert_never(other)


def _broken(rule: Rule, frame: pl.DataFrame) -> pl.Expr:
    """True where the row breaks the rule; null means kept."""
    import polars as pl

    column = pl.col(rule.column)
    match rule.check:
        case Check.NOT_NULL:
            broken = column.is_null()
            return broken | column.is_nan() if frame.schema[rule.column].is_float() else broken
        case Check.RANGE:
            return _outside(column, rule)
        case Check.LENGTH:
            return _outside(column.cast(pl.String).str.len_chars(), rule)
        case Check.ONE_OF:
            return ~column.is_in(rule.values)
        case Check.MATCHES:
            return ~column.cast(pl.String).str.contains(f"^(?:{rule.pattern or ''})$")
        case Check.UNIQUE:
            return column.is_duplicated() & column.is_not_null()
        case Check.TYPE:
            return pl.lit(value=False)
        case other:
            assert_never(other)


def _outside(value: pl.Expr, rule: Rule) -> pl.Expr:
    import polars as pl

    outside = pl.lit(value=False)
    if rule.minimum is not None:
        outside = outside | (value < rule.minimum)
    if rule.maximum is not None:
        outside = outside | (value > rule.maximum)
    return outside
