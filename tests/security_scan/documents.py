"""Documents for scanner tests, built from a few nodes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any


def node(kind: str, /, *, id: str = "step", **configuration: Any) -> dict[str, Any]:
    """One node as the document holds it."""
    return {"id": id, "type": kind, "typeVersion": "1", "configuration": configuration}


def document(*nodes: dict[str, Any], **configuration: Any) -> dict[str, Any]:
    """A document whose nodes are chained in order."""
    ids = [one["id"] for one in nodes]
    connections = [
        {"id": f"c{i}", "source": a, "sourcePort": "value", "target": b, "targetPort": "value"}
        for i, (a, b) in enumerate(pairwise(ids))
    ]
    return {
        "schemaVersion": 1,
        "name": "Sample",
        "type": "dataPipeline",
        "nodes": list(nodes),
        "connections": connections,
        "configuration": {"parameters": [], "variables": {}, **configuration},
        "metadata": {"tags": [], "documentation": ""},
    }


def python(code: str) -> dict[str, Any]:
    """A document with one node of Python."""
    return document(node("code.python", code=code))
