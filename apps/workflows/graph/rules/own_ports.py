"""Rules about ports a document names itself: only on dynamic sides, once, of a fitting type."""

import keyword
from collections.abc import Iterator, Mapping

from apps.workflows.graph.issues import Issue
from apps.workflows.graph.ports import ERROR_PORT, Port, PortSpec
from apps.workflows.graph.rules.drawing import Drawing
from apps.workflows.graph.shape import Node, NodePort


def check(drawing: Drawing) -> Iterator[Issue]:
    """All rules of this file."""
    for node in drawing.nodes.values():
        if node_type := drawing.types.get(node.id):
            yield from _side(drawing, node, "inputs", node.inputs, node_type.inputs)
            yield from _side(drawing, node, "outputs", node.outputs, node_type.outputs)


def _side(
    drawing: Drawing,
    node: Node,
    side: str,
    listed: tuple[NodePort, ...],
    declared: Mapping[str, PortSpec],
) -> Iterator[Issue]:
    template = next((port for port in declared.values() if port.dynamic), None)
    seen: set[str] = set()
    for number, port in enumerate(listed):
        problem = _problem(port, declared.get(port.name), template)
        if port.name in seen:
            problem = "PORT_DUPLICATE", f"`{node.id}` lists `{port.name}` twice; remove one."
        seen.add(port.name)
        if problem is not None:
            code, message = problem
            fix = ({"op": "remove", "path": f"/nodes/{drawing.places[node.id]}/{side}/{number}"},)
            yield drawing.node_issue(node, code, message, side, str(number), fix=fix)


def _problem(
    port: NodePort, declared: PortSpec | None, template: PortSpec | None
) -> tuple[str, str] | None:
    if not port.name:
        return "PORT_UNNAMED", "Give the port a name."
    if keyword.iskeyword(port.name):
        return "PORT_RESERVED", f"`{port.name}` is a word of the expression language; rename it."
    if declared is not None and not declared.dynamic:
        if port.data_type in {declared.type.value, Port.ANY.value}:
            return None
        message = f"`{port.name}` is {declared.type.value} by its type, not {port.data_type}."
        return "PORT_CONTRADICTS", f"{message} Ports of the type need not be listed."
    if port.name == ERROR_PORT:
        return None
    if template is None:
        message = f"The type has no port `{port.name}` and takes none of your own; remove it."
        return "PORT_NOT_DYNAMIC", message
    if port.data_type not in set(Port) or not template.type.accepts(Port(port.data_type)):
        message = f"`{port.name}` cannot be {port.data_type}; this node's own ports are "
        return "PORT_CONTRADICTS", f"{message}{template.type.value}."
    return None
