"""The workflows that are run: chains, a fan, branches side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

CHAIN = 40
FAN = 200
SHORT = 5
BRANCHES = 10


def chain(kind: str, *, steps: int) -> dict[str, Any]:
    """One after another."""
    names = [f"n{i}" for i in range(steps)]
    return _document(f"Chain of {steps}, {kind}", kind, names, list(pairwise(names)))


def fan(kind: str, *, width: int) -> dict[str, Any]:
    """1 -> width -> 1."""
    branches = [f"b{i}" for i in range(width)]
    edges = [("first", branch) for branch in branches]
    edges += [(branch, "last") for branch in branches]
    return _document(f"Fan of {width}, {kind}", kind, ["first", *branches, "last"], edges)


def side_by_side(kind: str, *, width: int) -> dict[str, Any]:
    """So many at once, nothing before or after."""
    names = [f"b{i}" for i in range(width)]
    document = _document(f"{width} side by side, {kind}", kind, names, [])
    return {**document, "configuration": {"resources": {"maxConcurrency": width}}}


def _document(
    name: str, kind: str, nodes: Sequence[str], edges: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    return {
        "schemaVersion": 1,
        "name": name,
        "type": "dataPipeline",
        "nodes": [{"id": node, "type": f"bench.{kind}"} for node in nodes],
        "connections": [
            {"id": f"c{number}", "source": source, "target": target}
            for number, (source, target) in enumerate(edges)
        ],
    }
