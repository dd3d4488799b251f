"""Plain JSON out of whatever a node answers with; free of the framework, as step processes are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from apps.kit.compact_json import compact_json
from apps.workflows.graph.context import ArtifactRef, NodeError

MAX_DEPTH = 64
MAX_BYTES = 16 << 20


def plain(value: Any, *, where: str, depth: int = 0) -> Any:
    """The value as JSON; NodeError OUTPUT_INVALID for what is none."""
    if depth > MAX_DEPTH:
        raise _invalid(f"{where} is nested deeper than {MAX_DEPTH} levels")
    match value:
        case str() | int() | None:  # A bool is an int.
            return value
        case dict():
            return {
                _key(key, where=where): plain(item, where=where, depth=depth + 1)
                for key, item in value.items()
            }
        case float():
            if not math.isfinite(value):
                raise _invalid(f"{where} holds {value}, which JSON has no number for")
            return value
        case ArtifactRef():
            return plain(value.to_json(), where=where, depth=depth)
        case Mapping():
            return plain(dict(value), where=where, depth=depth)
        case list() | tuple():
            return [plain(item, where=where, depth=depth + 1) for item in value]
    raise _invalid(f"{where} holds a {type(value).__name__}, which is not JSON")


def _key(key: object, *, where: str) -> str:
    if isinstance(key, str):
        return key
    raise _invalid(f"{where} has a key that is not text")


def size(value: Any) -> int:
    """Bytes of the value as JSON."""
    return len(encode(value))


def encode(value: Any) -> bytes:
    """The value as compact JSON."""
    return compact_json(value).encode("utf-8", "backslashreplace")


def require_bearable(value: Any, *, where: str) -> bytes:
    """The value as compact JSON; NodeError OUTPUT_TOO_LARGE when no port takes so much."""
    data = encode(value)
    if len(data) > MAX_BYTES:
        raise NodeError(
            "OUTPUT_TOO_LARGE",
            f"{where} has {len(data)} bytes; at most {MAX_BYTES} travel by a port."
            " Store it as an artifact.",
        )
    return data


def _invalid(what: str) -> NodeError:
    return NodeError("OUTPUT_INVALID", f"The output is not valid: {what}.")
