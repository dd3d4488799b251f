"""The normal form in which documents are kept: every port named, no port the type has anyway."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.document import parse
from apps.workflows.graph.interface import Interface, interface_of
from apps.workflows.graph.ports import ERROR_PORT, PortSpec
from apps.workflows.graph.shape import Connection, Document, Node, NodePort


def read(raw: object, catalogue: Catalogue) -> Document:
    """Parse what came from outside and bring it into normal form; raises DocumentInvalid."""
    return normalize(parse(raw), catalogue)


def normalize(document: Document, catalogue: Catalogue) -> Document:
    """Idempotent; what cannot be decided is left as it is, for `validate` to name."""
    nodes = tuple(_without_derived_ports(node, catalogue) for node in document.nodes)
    interfaces = {
        node.id: interface_of(node, node_type)
        for node in nodes
        if (node_type := catalogue.get(node.type, node.type_version)) is not None
    }
    return replace(
        document, nodes=nodes, connections=_with_named_ports(document, nodes, interfaces)
    )


def _without_derived_ports(node: Node, catalogue: Catalogue) -> Node:
    node_type = catalogue.get(node.type, node.type_version)
    if node_type is None or not (node.inputs or node.outputs):
        return node
    return replace(
        node,
        inputs=tuple(port for port in node.inputs if not _repeats(port, node_type.inputs)),
        outputs=tuple(port for port in node.outputs if not _repeats(port, node_type.outputs)),
    )


def _repeats(port: NodePort, declared: Mapping[str, PortSpec]) -> bool:
    """A port that contradicts its declaration is kept, so that it can be refused."""
    if port.name == ERROR_PORT:
        return True
    spec = declared.get(port.name)
    return spec is not None and not spec.dynamic and port.data_type in {spec.type.value, "any"}


def _with_named_ports(
    document: Document, nodes: tuple[Node, ...], interfaces: Mapping[str, Interface]
) -> tuple[Connection, ...]:
    if all(
        connection.source_port and connection.target_port for connection in document.connections
    ):
        return document.connections
    parents = {node.id: node.parent_id for node in nodes}
    taken: dict[str, set[str]] = defaultdict(set)
    for connection in document.connections:
        taken[connection.target].add(connection.target_port)
    named = []
    for connection in document.connections:
        inward = parents.get(connection.target) == connection.source
        outward = parents.get(connection.source) == connection.target
        source, target = interfaces.get(connection.source), interfaces.get(connection.target)
        source_port = connection.source_port or _first_output(source, inner=inward)
        target_port = connection.target_port or _free_input(
            source.outputs.get(source_port) if source else None,
            target,
            taken=taken[connection.target],
            inner=outward,
        )
        taken[connection.target].add(target_port)
        named.append(replace(connection, source_port=source_port, target_port=target_port))
    return tuple(named)


def _first_output(source: Interface | None, *, inner: bool) -> str:
    """A node's own ports come before `error`."""
    ports = source.outputs if source else {}
    return next((name for name, port in ports.items() if port.inner is inner), "")


def _free_input(
    sent: PortSpec | None, target: Interface | None, *, taken: Collection[str], inner: bool
) -> str:
    """The first fitting input, free and required ones first."""
    fitting = [
        (not port.multiple and name in taken, not port.required, index, name)
        for index, (name, port) in enumerate(target.inputs.items() if target else ())
        if port.inner is inner and (sent is None or port.type.accepts(sent.type))
    ]
    return min(fitting)[-1] if fitting else ""
