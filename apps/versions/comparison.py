"""A structural difference as plain JSON (the API's GraphChanges) and as one sentence."""

from __future__ import annotations

from typing import Any

from apps.workflows.graph.difference import Changes, NodeChange

MAX_FIELDS = 200


def to_json(changes: Changes) -> dict[str, Any]:
    """What a commit keeps of its difference from its parent."""
    return {
        "added": [_node(change) for change in changes.added],
        "modified": [_node(change) for change in changes.modified],
        "removed": [_node(change) for change in changes.removed],
        "connectionsAdded": len(changes.connections_added),
        "connectionsRemoved": len(changes.connections_removed),
        "parameters": [
            {
                "name": change.name,
                "kind": change.kind.value,
                "before": change.before,
                "after": change.after,
                "breaking": change.breaking,
            }
            for change in changes.parameters
        ],
        "settings": [
            {"path": field.path, "before": field.before, "after": field.after}
            for field in changes.settings
        ],
        "behavior": changes.behavior,
        "bump": changes.bump.value,
    }


def summary(changes: Changes) -> str:
    """One sentence for lists and approval mails."""
    parts = [
        f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'} {what}"
        for nodes, what in (
            (changes.added, "added"),
            (changes.modified, "changed"),
            (changes.removed, "removed"),
        )
        if nodes
    ]
    if wires := len(changes.connections_added) + len(changes.connections_removed):
        parts.append(f"{wires} {'connection' if wires == 1 else 'connections'} redrawn")
    if changes.parameters:
        parts.append(f"parameters: {', '.join(change.name for change in changes.parameters)}")
    if changes.settings:
        parts.append(f"settings: {', '.join(field.path for field in changes.settings[:5])}")
    nothing = "another order" if changes.behavior else "nothing changed"
    said = "; ".join(parts) or nothing
    return said if changes.behavior or changes.is_empty else f"{said} (same behavior)"


def _node(change: NodeChange) -> dict[str, Any]:
    return {
        "nodeId": change.node_id,
        "name": change.name,
        "type": change.type,
        "kind": change.kind.value,
        "fields": [
            {"path": field.path, "before": field.before, "after": field.after}
            for field in change.fields[:MAX_FIELDS]
        ],
    }
