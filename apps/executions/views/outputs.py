"""A value that left a step, as pages show it: text, or an object to download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Output:
    """A value that left a port: an object to download, or text."""

    name: str
    digest: str = ""
    media_type: str = ""
    bytes: int = 0
    text: Any = None


def results_of(result: Any) -> Iterator[Output]:
    """What left the steps that nothing follows, by node and port."""
    if not isinstance(result, Mapping):
        return
    for node, ports in result.items():
        if isinstance(ports, Mapping):
            for port, value in ports.items():
                yield output_of(f"{node}.{port}", value)


def output_of(name: str, value: Any) -> Output:
    """A value as pages show it."""
    if isinstance(value, Mapping) and isinstance(value.get("$artifact"), str):
        return Output(
            name=name,
            digest=value["$artifact"],
            media_type=str(value.get("mediaType", "")),
            bytes=int(value.get("bytes") or 0),
        )
    return Output(name=name, text=value)
