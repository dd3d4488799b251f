"""What history can hold: JSON within limits, without what a jsonb column refuses."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, Final

from apps.executions.engine.ports import Usage
from apps.kit.compact_json import compact_json
from apps.workflows.graph.declaration import Json

BODY_LIMIT: Final = 8 * 1024
"""Bytes of the body of an event beside a step's outputs."""
INLINE_LIMIT: Final = 32 * 1024
"""Bytes of all outputs of a step together; what is larger is a reference to a stored object."""
MESSAGE_LIMIT: Final = 2 * 1024
"""Characters of an error message; the rest is cut."""
MESSAGE_BYTES: Final = 4 * 1024
DETAILS_LIMIT: Final = 2 * 1024
"""Bytes of an error's details; larger ones are left out."""


class Unstorable(ValueError):
    """A value that history cannot hold; `code` is the step's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def dumps(value: object, *, limit: int) -> str:
    """Compact JSON that a jsonb column accepts. Raises Unstorable with a step's error code."""
    return checked(written(value), limit=limit)


def written(value: object) -> str:
    """Compact JSON. Raises Unstorable for what is none."""
    try:
        return compact_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise _no_json(error) from None


def checked(text: str, *, limit: int) -> str:
    """JSON that a jsonb column accepts. Raises Unstorable."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise _no_json(error) from None
    if "\\u0000" in text and _NUL.search(text):
        raise Unstorable("OUTPUT_INVALID", "Text with a NUL character cannot be stored; remove it.")
    if size > limit:
        message = f"{size:,} bytes are too many (limit {limit:,}): store it as an artifact."
        raise Unstorable("OUTPUT_TOO_LARGE", message)
    return text


def _no_json(error: Exception) -> Unstorable:
    message = f"The value is no JSON that can be stored: {str(error)[:200]}."
    return Unstorable("OUTPUT_INVALID", message)


def millis(at: dt.datetime) -> int:
    """An instant as history writes it: milliseconds since 1970."""
    return round(at.timestamp() * 1000)


def instant(millis: int) -> dt.datetime:
    """The reverse of `millis`."""
    return dt.datetime.fromtimestamp(millis / 1000, dt.UTC)


def usage_json(usage: Usage) -> dict[str, Json]:
    """Only what is not zero."""
    found: dict[str, Json] = {}
    if usage.cpu_seconds:
        found["cpuSeconds"] = round(usage.cpu_seconds, 6)
    if usage.peak_memory_bytes:
        found["peakMemoryBytes"] = usage.peak_memory_bytes
    if usage.wall_ms:
        found["wallMs"] = usage.wall_ms
    if usage.bytes_in:
        found["bytesIn"] = usage.bytes_in
    if usage.bytes_out:
        found["bytesOut"] = usage.bytes_out
    if usage.cost_minor:
        found["costMinor"] = usage.cost_minor
    return found


def usage_from_json(value: Mapping[str, Any]) -> Usage:
    """The reverse of `usage_json`."""
    return Usage(
        cpu_seconds=value.get("cpuSeconds", 0.0),
        peak_memory_bytes=value.get("peakMemoryBytes", 0),
        wall_ms=value.get("wallMs", 0),
        bytes_in=value.get("bytesIn", 0),
        bytes_out=value.get("bytesOut", 0),
        cost_minor=value.get("costMinor", 0),
    )


def clean_text(value: str) -> str:
    """Text that a jsonb column accepts, cut to size."""
    clean = value.encode("utf-8", "replace").decode().replace("\x00", "")
    if len(clean) > MESSAGE_LIMIT or len(clean.encode()) > MESSAGE_BYTES:
        clean = clean[: MESSAGE_LIMIT - 1].encode()[: MESSAGE_BYTES - 3].decode(errors="ignore")
        clean += "…"
    return clean
