"""Which values may travel by a port: plain, bounded, of its type, large ones by reference."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from apps.executions.crashpoints import crashpoint
from apps.executions.runner.doors import ObjectStore
from apps.executions.store.resilient import is_outage
from apps.kit.errors import Refusal
from apps.workflows.graph.context import ArtifactRef, NodeError
from apps.workflows.graph.mapping import LINES
from apps.workflows.graph.ports import Port

INLINE_BYTES = 32 * 1024
"""What the outputs of one step may hold together; one value of a declared write, too."""
MAX_LOADED_BYTES = 8 << 20
PAUSES = (0.2, 1.0, 3.0)
"""Before a value is stored once more after an outage."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
OFFLOADED = "application/vnd.nstarx.value+json"
"""Media type of a plain value that was only too large to travel inline."""

_FREE = frozenset({Port.ANY, Port.JSON, Port.MESSAGE, Port.REPORT})
# What travels as a stored object, never as rows in a message.
_BY_REFERENCE = frozenset(
    {Port.TABLE, Port.DOCUMENTS, Port.CHUNKS, Port.VECTORS, Port.INDEX, Port.MODEL, Port.DATASET}
    | {Port.FILE, Port.STREAM}
)


def fits(value: Any, port: Port) -> str | None:
    """What is wrong with a value for a port type; None when nothing is."""
    reference = ArtifactRef.is_reference(value)
    if reference and not _is_whole(value):
        return "holds a broken reference to a stored object"
    if port in _FREE:
        return None
    match port:
        case Port.TEXT:
            return None if reference or isinstance(value, str) else "must be text"
        case Port.METRICS:
            numbers = isinstance(value, Mapping) and all(map(_is_number, value.values()))
            return None if reference or numbers else "must be an object of numbers"
        case _ if port in _BY_REFERENCE and not reference:
            return "must be a reference to a stored object; rows and bytes do not travel inline"
    return None


def _is_whole(reference: Mapping[str, Any]) -> bool:
    size = reference.get("bytes")
    return (
        _DIGEST.fullmatch(reference["$artifact"]) is not None
        and isinstance(reference.get("mediaType"), str)
        and isinstance(size, int)
        and size >= 0
    )


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def offloaded(value: Any, data: bytes, objects: ObjectStore) -> Any:
    """A reference to the value, stored as its JSON `data`; a reference itself stays."""
    if ArtifactRef.is_reference(value):
        return value
    pauses = iter(PAUSES)
    while True:
        try:
            return _stored(data, objects)
        except Refusal as refusal:
            raise NodeError(str(refusal.code), refusal.message) from None
        except Exception as error:
            # An object goes by its content: to store it again changes nothing.
            if (pause := next(pauses, None)) is None or not is_outage(error):
                raise
            time.sleep(pause)


def _stored(data: bytes, objects: ObjectStore) -> Any:
    crashpoint("value.begun")
    stored = objects.put(io.BytesIO(data), media_type=OFFLOADED).to_json()
    crashpoint("value.stored")
    return stored


def load(value: Any, objects: ObjectStore, *, limit: int = MAX_LOADED_BYTES) -> Any:
    """What `offloaded` made of a value, undone; every other value as it is."""
    if not ArtifactRef.is_reference(value) or value.get("mediaType") not in (OFFLOADED, LINES):
        return value
    try:
        with objects.open(ArtifactRef.from_json(value)) as stream:
            # The size in a reference is what somebody wrote; the stream's is what counts.
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise NodeError(
                "INPUT_TOO_LARGE", f"A value of more than {limit} bytes cannot be read here."
            )
        if value["mediaType"] == LINES:
            return [json.loads(line) for line in data.splitlines() if line.strip()]
        return json.loads(data)
    except LookupError:
        raise NodeError(
            "ARTIFACT_MISSING", "A stored value does not exist any more; run the step before again."
        ) from None
    except ValueError as error:
        raise NodeError("ARTIFACT_DAMAGED", str(error)) from None
