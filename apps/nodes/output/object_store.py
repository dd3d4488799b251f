"""Store a table as a file: Parquet, CSV or JSON lines.

The file becomes an artifact of the organization, found by its digest; storing the same content
twice stores it once. `file` refers to it, `receipt` holds the name, format, digest, bytes and
rows. CSV is UTF-8 with a header line; JSON has one object per line; Parquet is compressed with
zstd. Fails with FORMAT_UNFIT when a column does not fit the format, as lists do not fit CSV.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from apps.nodes.tables import MEDIA_TYPE, describe, read_table
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
    field,
    node,
)

if TYPE_CHECKING:
    import polars as pl


class Format(StrEnum):
    """How rows are written."""

    PARQUET = "parquet"
    CSV = "csv"
    JSON = "json"

    @property
    def media_type(self) -> str:
        """What the file says it is."""
        match self:
            case Format.PARQUET:
                return MEDIA_TYPE
            case Format.CSV:
                return "text/csv"
            case Format.JSON:
                return "application/x-ndjson"
            case other:
                assert_never(other)


class Parameters(NodeParameters):
    """What the file is called and how it is written."""

    name: str = field("table", title="Name", pattern=r"^[\w][\w .()-]{0,199}$")
    format: Format = field(Format.PARQUET, title="Format")


@node(
    "output.object_store",
    version=1,
    title="Store file",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="data",
    icon="hard-drive",
    inputs={"table": Port.TABLE},
    outputs={"file": Port.FILE, "receipt": Port.JSON},
    example=Example(
        parameters={"name": "cities", "format": "csv"},
        inputs={"table": [{"city": "Ulm", "people": 126}]},
        outputs={"receipt": {"name": "cities.csv", "format": "csv", "bytes": 20, "rows": 1}},
    ),
)
def object_store(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Write the file and store it."""
    frame = read_table(inputs["table"], context)
    name = f"{parameters.name}.{parameters.format.value}"
    target = context.work_directory / "file"
    _write(frame, target, parameters.format)
    stored = context.artifacts.put(target, media_type=parameters.format.media_type)
    file = ArtifactRef(
        digest=stored.digest,
        media_type=stored.media_type,
        bytes=stored.bytes,
        schema={**describe(frame), "name": name},
    )
    context.log.info("stored", name=name, bytes=stored.bytes, rows=frame.height)
    return {
        "file": file,
        "receipt": {
            "name": name,
            "format": parameters.format.value,
            "digest": stored.digest,
            "bytes": stored.bytes,
            "rows": frame.height,
        },
    }


def _write(frame: pl.DataFrame, target: Path, format: Format) -> None:
    from polars.exceptions import PolarsError

    try:
        match format:
            case Format.PARQUET:
                frame.write_parquet(target, compression="zstd")
            case Format.CSV:
                frame.write_csv(target)
            case Format.JSON:
                frame.write_ndjson(target)
            case other:
                assert_never(other)
    except PolarsError as error:
        raise NodeError(
            "FORMAT_UNFIT", f"The table cannot be written as {format.value}: {error}"[:300]
        ) from None
