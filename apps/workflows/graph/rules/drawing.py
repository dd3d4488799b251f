"""A document laid beside the catalogue: the look-ups every rule needs, made once."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.declaration import NodeType
from apps.workflows.graph.interface import Interface, interface_of
from apps.workflows.graph.issues import Fix, Issue, Severity
from apps.workflows.graph.shape import Connection, Document, Node


@dataclass(frozen=True)
class Drawing:
    """Of nodes with the same id the first counts; the others are refused by a rule of their own."""

    document: Document
    catalogue: Catalogue
    nodes: Mapping[str, Node]
    places: Mapping[str, int]
    types: Mapping[str, NodeType]
    interfaces: Mapping[str, Interface]
    incoming: Mapping[str, tuple[Connection, ...]]
    outgoing: Mapping[str, tuple[Connection, ...]]

    @classmethod
    def of(cls, document: Document, catalogue: Catalogue) -> "Drawing":
        """Linear in nodes and connections."""
        nodes: dict[str, Node] = {}
        places: dict[str, int] = {}
        for place, node in enumerate(document.nodes):
            if node.id not in nodes:
                nodes[node.id], places[node.id] = node, place
        types = {
            node.id: node_type
            for node in nodes.values()
            if (node_type := catalogue.get(node.type, node.type_version)) is not None
        }
        return cls(
            document=document,
            catalogue=catalogue,
            nodes=nodes,
            places=places,
            types=types,
            interfaces={id_: interface_of(nodes[id_], type_) for id_, type_ in types.items()},
            incoming=_by_end(document.connections, "target"),
            outgoing=_by_end(document.connections, "source"),
        )

    def node_issue(
        self,
        node: Node,
        code: str,
        message: str,
        *field: str,
        severity: Severity = Severity.ERROR,
        fix: Fix = (),
    ) -> Issue:
        """An issue at a field of a node."""
        return Issue(
            code=code,
            message=message,
            path=("nodes", str(self.places[node.id]), *field),
            severity=severity,
            node_id=node.id,
            fix=fix,
        )


def connection_issue(
    place: int, connection: Connection, code: str, message: str, *field: str, fix: Fix = ()
) -> Issue:
    """An issue at a field of a connection."""
    return Issue(
        code=code,
        message=message,
        path=("connections", str(place), *field),
        connection_id=connection.id,
        fix=fix,
    )


def remove_connection(place: int) -> Fix:
    """The mend of a connection that cannot stay."""
    return ({"op": "remove", "path": f"/connections/{place}"},)


def _by_end(connections: tuple[Connection, ...], end: str) -> Mapping[str, tuple[Connection, ...]]:
    found: dict[str, list[Connection]] = defaultdict(list)
    for connection in connections:
        found[getattr(connection, end)].append(connection)
    return {node_id: tuple(of_node) for node_id, of_node in found.items()}
