"""How a table travels: one Parquet object with its columns and row count beside the reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from apps.workflows.graph.declaration import ArtifactRef, NodeContext, NodeError

if TYPE_CHECKING:
    import polars as pl

MEDIA_TYPE = "application/vnd.apache.parquet"
MAX_COLUMNS = 2_000


def read_table(
    value: Mapping[str, Any], context: NodeContext, *, columns: list[str] | None = None
) -> pl.DataFrame:
    """The rows behind a table port; NodeError for what is no table."""
    import polars as pl
    from polars.exceptions import PolarsError

    reference = ArtifactRef.from_json(value)
    if reference.media_type != MEDIA_TYPE:
        raise NodeError(
            "TABLE_EXPECTED",
            f"A table travels as {MEDIA_TYPE}, not as {reference.media_type}; convert it first.",
        )
    try:
        return pl.read_parquet(context.artifacts.path(reference), columns=columns)
    except PolarsError as error:
        raise NodeError("TABLE_UNREADABLE", f"The table cannot be read: {error}"[:300]) from None


def write_table(frame: pl.DataFrame, context: NodeContext) -> dict[str, Any]:
    """Store rows and answer with the reference that leaves by a table port."""
    if frame.width > MAX_COLUMNS:
        raise NodeError(
            "TABLE_TOO_WIDE", f"A table has at most {MAX_COLUMNS} columns, not {frame.width}."
        )
    target = context.work_directory / "table.parquet"
    frame.write_parquet(target, compression="zstd", statistics=True)
    stored = context.artifacts.put(target, media_type=MEDIA_TYPE)
    return ArtifactRef(
        digest=stored.digest,
        media_type=stored.media_type,
        bytes=stored.bytes,
        schema=describe(frame),
    ).to_json()


def describe(frame: pl.DataFrame) -> dict[str, Any]:
    """Columns with their types, and the number of rows."""
    return {
        "columns": [
            {"name": name, "type": str(kind)}
            for name, kind in zip(frame.columns, frame.dtypes, strict=True)
        ],
        "rows": frame.height,
    }


def require_columns(frame: pl.DataFrame, names: Iterable[str]) -> None:
    """NodeError COLUMN_MISSING that names what is there instead."""
    missing = [name for name in dict.fromkeys(names) if name not in frame.columns]
    if missing:
        raise NodeError(
            "COLUMN_MISSING",
            f"The table has no column {', '.join(map(repr, missing))};"
            f" it has {', '.join(map(repr, frame.columns[:30]))}.",
            details={"missing": missing},
        )
