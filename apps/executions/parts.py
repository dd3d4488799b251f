"""What of its version a run runs: all of it, or, as an item of a map, what is in the map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.executions.engine.paths import node_of
from apps.executions.models import ParentKind, Run


def map_of(run: Run) -> str | None:
    """The node of the map that the run is an item of; None for a whole run."""
    if run.parent_kind != ParentKind.ITEM:
        return None
    return node_of((run.parent_path or "").rpartition("[")[0])


def drawn_for(run: Run, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of the document the run runs: of an item, what is in its map."""
    around = map_of(run)
    if around is None:
        return document
    parents = {node["id"]: node.get("parentId") for node in document.get("nodes") or ()}
    inside = {name for name in parents if around in _around(name, parents)}
    return {
        **document,
        "nodes": [
            {**node, "parentId": None} if node.get("parentId") == around else node
            for node in document.get("nodes") or ()
            if node["id"] in inside
        ],
        "connections": [
            one
            for one in document.get("connections") or ()
            if {one["source"], one["target"]} <= inside
        ],
    }


def whole_of(run: Run) -> tuple[Run, str]:
    """The run that is no item of a map, and where in it the steps of this one stand."""
    prefix = ""
    while run.parent_kind == ParentKind.ITEM and run.parent_id is not None:
        above = Run.objects.filter(pk=run.parent_id).first()
        if above is None:
            break
        run, prefix = above, f"{run.parent_path}/{prefix}"
    return run, prefix


def stand_ins(document: Mapping[str, Any]) -> frozenset[str]:
    """Nodes that never run as themselves: copies of them stand in for, or undo, another."""
    found: set[str] = set()
    for node in document.get("nodes") or ():
        found.add(str(node.get("compensation") or ""))
        rules = node.get("onError")
        for rule in rules if isinstance(rules, list) else ():
            if rule.get("do") == "fallback":
                found.add(str((rule.get("with") or {}).get("node") or ""))
    return frozenset(found - {""})


def _around(name: str, parents: Mapping[str, str | None]) -> list[str]:
    found: list[str] = []
    above = parents.get(name)
    while above is not None and above not in found:
        found.append(above)
        above = parents.get(above)
    return found
