"""Query tables with SQL.

One SELECT (or WITH … SELECT) in DuckDB's dialect. The table of the port `data` is called `data`; a
table of a port the node itself lists has that port's name. Values from outside go in as named
parameters, never as text: `WHERE year > $since` with `arguments` = {"since": 75}.

    SELECT origin, count(*) AS cars, avg(mpg) AS mpg FROM data GROUP BY origin ORDER BY origin

The database is a fresh one in memory, in a process of its own: no files but the inputs, no
network, no extensions, no settings. Errors: SQL_INVALID (the statement), SQL_FAILED (while it
ran), SQL_DENIED (it reached for something outside).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from apps.nodes.tables import MAX_COLUMNS, MEDIA_TYPE, write_table
from apps.workflows.graph.declaration import (
    ArtifactRef,
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
    Resources,
    field,
    node,
)

if TYPE_CHECKING:
    import duckdb
    import polars as pl

_BATCH = 50_000
_MEMORY = "400MB"
_TEMPORARY = "1GB"


class Parameters(NodeParameters):
    """The query."""

    query: str = field(title="SQL", min_length=1, max_length=50_000)
    arguments: dict[str, JsonValue] = field(
        {}, title="Parameters of the query", description="By name, used as $name."
    )
    max_rows: int = field(1_000_000, title="At most this many rows", ge=1, le=10_000_000)


@node(
    "transform.sql",
    version=1,
    title="SQL",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="data",
    icon="database-zap",
    code={"query": "sql"},
    resources=Resources(memory="1Gi"),
    inputs={
        "data": PortSpec(type=Port.TABLE, required=False),
        "tables": PortSpec(type=Port.TABLE, required=False, dynamic=True),
    },
    outputs={"table": Port.TABLE},
    example=Example(
        parameters={
            "query": "SELECT land, sum(people) AS people FROM data WHERE people > $floor"
            " GROUP BY land ORDER BY land",
            "arguments": {"floor": 100},
        },
        inputs={
            "data": [
                {"land": "BW", "people": 126},
                {"land": "NW", "people": 331},
                {"land": "NW", "people": 1080},
                {"land": "NW", "people": 90},
            ]
        },
        outputs={"table": [{"land": "BW", "people": 126}, {"land": "NW", "people": 1411}]},
    ),
)
def sql(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Load the tables, lock the database, ask."""
    import duckdb

    connection = _open(context.work_directory)
    try:
        for name, value in inputs.items():
            _load(connection, name, value, context)
        _lock(connection)
        frame = _ask(connection, parameters)
    except duckdb.PermissionException as error:
        raise NodeError("SQL_DENIED", _first_line(error)) from None
    except (
        duckdb.ParserException,
        duckdb.BinderException,
        duckdb.CatalogException,
        duckdb.InvalidInputException,
    ) as error:
        raise NodeError("SQL_INVALID", _first_line(error)) from None
    except duckdb.Error as error:
        raise NodeError("SQL_FAILED", _first_line(error)) from None
    finally:
        connection.close()
    return {"table": write_table(frame, context)}


def _open(directory: Path) -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": _MEMORY,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": str(directory / "spill"),
            "max_temp_directory_size": _TEMPORARY,
        },
    )


def _load(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    value: Mapping[str, Any],
    context: NodeContext,
) -> None:
    reference = ArtifactRef.from_json(value)
    if reference.media_type != MEDIA_TYPE:
        raise NodeError("TABLE_EXPECTED", f"The input {name!r} is no table.")
    path = str(context.artifacts.path(reference)).replace("'", "''")
    # A port's name is an identifier by its pattern; the path is ours.
    connection.execute(f"CREATE TABLE \"{name}\" AS SELECT * FROM read_parquet('{path}')")  # noqa: S608


def _lock(connection: duckdb.DuckDBPyConnection) -> None:
    """Close every way out; the order matters, and the last statement closes this one too."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _ask(connection: duckdb.DuckDBPyConnection, parameters: Parameters) -> pl.DataFrame:
    import duckdb
    import polars as pl
    import pyarrow as pa
    from polars.exceptions import PolarsError

    statements = connection.extract_statements(parameters.query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise NodeError("SQL_INVALID", "Write exactly one SELECT statement.")
    connection.execute(statements[0], dict(parameters.arguments) or None)
    reader: pa.RecordBatchReader = connection.to_arrow_reader(_BATCH)
    if len(reader.schema) > MAX_COLUMNS:
        raise NodeError("TABLE_TOO_WIDE", f"A result has at most {MAX_COLUMNS} columns.")
    batches, rows = [], 0
    for batch in reader:
        rows += batch.num_rows
        if rows > parameters.max_rows:
            raise NodeError(
                "TOO_MANY_ROWS", f"The query gives more than {parameters.max_rows} rows."
            )
        batches.append(batch)
    try:
        frame = pl.DataFrame(pa.Table.from_batches(batches, schema=reader.schema))
    except PolarsError as error:
        raise NodeError(
            "SQL_FAILED", f"A column has a type that no table holds; cast it: {error}"[:300]
        ) from None
    return _whole_numbers(frame)


def _whole_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Sums of integers come as decimals of 38 digits; those that fit become integers again."""
    import polars as pl

    whole = [
        name
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.Decimal) and kind.scale == 0
    ]
    casts = []
    for name in whole:
        small = frame[name].cast(pl.Int64, strict=False)
        fits = small.null_count() == frame[name].null_count()
        casts.append(small if fits else frame[name].cast(pl.Float64))
    return frame.with_columns(casts)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n\nLINE")[0].partition("\nLINE")[0][:500]
