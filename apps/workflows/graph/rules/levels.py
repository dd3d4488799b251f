"""Rules about shape: levels are acyclic, bodies belong to containers, nothing nests too deep."""

from collections.abc import Iterator

from apps.workflows.graph import order
from apps.workflows.graph.issues import Fix, Issue, Severity
from apps.workflows.graph.rules.drawing import Drawing, remove_connection
from apps.workflows.graph.shape import MAX_CONTAINER_DEPTH, Node

MAX_SHOWN = 10


def check(drawing: Drawing) -> Iterator[Issue]:
    """All rules of this file."""
    if not drawing.document.nodes:
        message = "The workflow has no nodes yet; add one before it can run."
        yield Issue(code="NO_NODES", message=message, path=("nodes",), severity=Severity.WARNING)
    depths = order.depths(drawing.document)
    bodies = order.containers(drawing.document)
    for node in drawing.nodes.values():
        yield from _parent(drawing, node, depths[node.id])
        node_type = drawing.types.get(node.id)
        if node_type is not None and node_type.container and node.id not in bodies:
            message = f"The container `{node.id}` has no body; put the nodes to repeat into it."
            yield drawing.node_issue(node, "CONTAINER_EMPTY", message, severity=Severity.WARNING)
    for cycle in order.levels(drawing.document).cycles:
        yield _cycle(drawing, cycle)


def _parent(drawing: Drawing, node: Node, depth: int | None) -> Iterator[Issue]:
    if node.parent_id is None:
        return
    parent = drawing.types.get(node.parent_id)
    if node.parent_id not in drawing.nodes:
        message = f"The parent `{node.parent_id}` of `{node.id}` is no node of this workflow."
        fix = ({"op": "remove", "path": f"/nodes/{drawing.places[node.id]}/parentId"},)
        yield drawing.node_issue(node, "PARENT_UNKNOWN", message, "parentId", fix=fix)
    elif depth is None:
        message = f"`{node.id}` is, through its parents, inside itself; break the circle."
        yield drawing.node_issue(node, "PARENT_CYCLE", message, "parentId")
    elif depth > MAX_CONTAINER_DEPTH:
        message = (
            f"`{node.id}` is inside {depth} containers; at most {MAX_CONTAINER_DEPTH} are "
            "accepted. Use a sub-workflow."
        )
        yield drawing.node_issue(node, "TOO_DEEP", message, "parentId")
    elif parent is not None and not parent.container:
        message = (
            f"`{node.parent_id}` is a `{parent.type}`, which has no body; "
            "only containers such as control.map and control.loop have one."
        )
        yield drawing.node_issue(node, "PARENT_NOT_CONTAINER", message, "parentId")


def _cycle(drawing: Drawing, cycle: tuple[str, ...]) -> Issue:
    """Removing the arrow that closes the circle mends it."""
    ends = (cycle[-1], cycle[0])
    place = next(
        place
        for place, connection in enumerate(drawing.document.connections)
        if (connection.source, connection.target) == ends
    )
    fix: Fix = remove_connection(place)
    return Issue(
        code="CYCLE",
        message=(
            f"The nodes {_shown(cycle)} wait for each other. "
            "Remove one of the connections, or put what repeats into a control.loop."
        ),
        path=("connections", str(place)),
        node_id=cycle[0],
        connection_id=drawing.document.connections[place].id,
        fix=fix,
    )


def _shown(cycle: tuple[str, ...]) -> str:
    """A circle of hundreds is recognized by its beginning."""
    shown = (*cycle[:MAX_SHOWN], "…") if len(cycle) > MAX_SHOWN else cycle
    return " → ".join((*shown, cycle[0]))
