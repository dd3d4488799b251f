"""Rules about connections and ports: ends exist, walls hold, types fit, required inputs are fed."""

from collections.abc import Iterator, Mapping

from apps.workflows.graph import order
from apps.workflows.graph.error_rules import ErrorAction
from apps.workflows.graph.issues import Issue, Severity
from apps.workflows.graph.nearby import closest
from apps.workflows.graph.ports import ERROR_PORT, PortSpec
from apps.workflows.graph.rules.drawing import Drawing, connection_issue, remove_connection
from apps.workflows.graph.shape import Connection, Node


def check(drawing: Drawing) -> Iterator[Issue]:
    """All rules of this file."""
    seen: set[tuple[str | None, ...]] = set()
    for place, connection in enumerate(drawing.document.connections):
        yield from _connection(drawing, place, connection)
        arrow = (
            connection.source,
            connection.source_port,
            connection.target,
            connection.target_port,
            connection.condition,
        )
        if arrow in seen:
            message = "The same connection is drawn twice; remove one."
            fix = remove_connection(place)
            yield connection_issue(place, connection, "CONNECTION_DUPLICATE", message, fix=fix)
        seen.add(arrow)
    called = order.on_call(drawing.document)
    for node in drawing.nodes.values():
        if node.id not in called:
            yield from _inputs(drawing, node)
        yield from _error_port(drawing, node)


def _connection(drawing: Drawing, place: int, connection: Connection) -> Iterator[Issue]:
    missing = [end for end in ("source", "target") if getattr(connection, end) not in drawing.nodes]
    for end in missing:
        message = f"The {end} `{getattr(connection, end)}` is no node of this workflow."
        fix = remove_connection(place)
        yield connection_issue(place, connection, "CONNECTION_END_UNKNOWN", message, end, fix=fix)
    if missing:
        return
    source, target = drawing.nodes[connection.source], drawing.nodes[connection.target]
    inward, outward = target.parent_id == source.id, source.parent_id == target.id
    if not (inward or outward or source.parent_id == target.parent_id):
        message = (
            f"`{source.id}` and `{target.id}` are in different containers. Lead the value through "
            "the container's own ports."
        )
        yield connection_issue(place, connection, "CONNECTION_CROSSES_CONTAINER", message)
        return
    if inward and connection.condition is not None:
        message = (
            f"What enters the body of `{source.id}` enters always; "
            "put a control.if into the body, and the condition there."
        )
        fix = ({"op": "remove", "path": f"/connections/{place}/condition"},)
        yield connection_issue(
            place, connection, "CONDITION_INTO_BODY", message, "condition", fix=fix
        )
    yield from _ports(drawing, place, connection, inward=inward, outward=outward)


def _ports(
    drawing: Drawing, place: int, connection: Connection, *, inward: bool, outward: bool
) -> Iterator[Issue]:
    source = drawing.interfaces.get(connection.source)
    target = drawing.interfaces.get(connection.target)
    output = source.output(connection.source_port, inner=inward) if source else None
    input_ = target.input(connection.target_port, inner=outward) if target else None
    if source is not None and output is None:
        known = _names(source.outputs, inner=inward)
        what = (connection.source, "output", connection.source_port)
        yield _port_issue(place, connection, "sourcePort", what, known)
    if target is not None and input_ is None:
        known = _names(target.inputs, inner=outward)
        what = (connection.target, "input", connection.target_port)
        yield _port_issue(place, connection, "targetPort", what, known)
    if output is not None and input_ is not None and not input_.type.accepts(output.type):
        message = (
            f"`{connection.source}.{connection.source_port}` sends {output.type.value}, "
            f"`{connection.target}.{connection.target_port}` takes {input_.type.value}. "
            "Put a node that converts between them."
        )
        yield connection_issue(place, connection, "PORT_TYPES_DIFFER", message)


def _port_issue(
    place: int, connection: Connection, field: str, what: tuple[str, str, str], known: list[str]
) -> Issue:
    node_id, side, name = what
    listed = ", ".join(f"`{one}`" for one in known) or "none"
    if not name:
        message = f"Name the {side} port of `{node_id}`: it has {listed}."
        return connection_issue(place, connection, "PORT_UNNAMED", message, field)
    message = f"`{node_id}` has no {side} port `{name}` on this side; it has {listed}."
    close = closest(name, known)
    path = f"/connections/{place}/{field}"
    fix = ({"op": "replace", "path": path, "value": close},) if close else ()
    return connection_issue(place, connection, "PORT_UNKNOWN", message, field, fix=fix)


def _names(ports: Mapping[str, PortSpec], *, inner: bool) -> list[str]:
    return [name for name, port in ports.items() if port.inner is inner]


def _inputs(drawing: Drawing, node: Node) -> Iterator[Issue]:
    interface = drawing.interfaces.get(node.id)
    fed = {connection.target_port for connection in drawing.incoming.get(node.id, ())}
    for name, port in (interface.inputs if interface else {}).items():
        configured = port.configured_by is not None and port.configured_by in node.configuration
        if port.required and name not in fed and not configured:
            instead = f", or configure `{port.configured_by}`" if port.configured_by else ""
            message = (
                f"The input `{name}` ({port.type.value}) of `{node.id}` is required: "
                f"connect it{instead}."
            )
            yield drawing.node_issue(node, "INPUT_MISSING", message, "inputs", name)


def _error_port(drawing: Drawing, node: Node) -> Iterator[Issue]:
    routes = any(rule.do is ErrorAction.ROUTE for rule in node.on_error)
    connected = any(
        connection.source_port == ERROR_PORT for connection in drawing.outgoing.get(node.id, ())
    )
    warning = Severity.WARNING
    if routes and not connected:
        message = f"Failures of `{node.id}` leave by its `error` port: connect it."
        yield drawing.node_issue(node, "ERROR_ROUTE_OPEN", message, "onError", severity=warning)
    if connected and not routes:
        message = f"Nothing leaves `{node.id}` by `error` until its onError says `route`."
        place = drawing.places[node.id]
        fix = ({"op": "add", "path": f"/nodes/{place}/onError", "value": "route"},)
        yield drawing.node_issue(
            node, "ERROR_PORT_UNUSED", message, "onError", severity=warning, fix=fix
        )
