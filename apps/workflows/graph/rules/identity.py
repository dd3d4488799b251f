"""Rules about names: ids are unique and usable, node types are known, references lead somewhere."""

import keyword
from collections.abc import Iterable, Iterator

from apps.workflows.graph import catalogue as installed
from apps.workflows.graph.issues import Issue, Severity
from apps.workflows.graph.rules.drawing import Drawing, connection_issue
from apps.workflows.graph.shape import Node


def check(drawing: Drawing) -> Iterator[Issue]:
    """All rules of this file."""
    yield from _ids(drawing)
    for node in drawing.nodes.values():
        if keyword.iskeyword(node.id):
            message = f"`{node.id}` is a word of the expression language; choose another id."
            yield drawing.node_issue(node, "NODE_ID_RESERVED", message, "id")
        yield from _type(drawing, node)


def _ids(drawing: Drawing) -> Iterator[Issue]:
    document = drawing.document
    for place, id_ in _repeated(node.id for node in document.nodes):
        yield Issue(
            code="NODE_ID_DUPLICATE",
            message=f"Another node is called `{id_}` already; give each node an id of its own.",
            path=("nodes", str(place), "id"),
            node_id=id_,
        )
    for place, id_ in _repeated(connection.id for connection in document.connections):
        message = f"Another connection is called `{id_}` already; leave the id out to get one."
        fix = ({"op": "remove", "path": f"/connections/{place}/id"},)
        connection = document.connections[place]
        yield connection_issue(place, connection, "CONNECTION_ID_DUPLICATE", message, "id", fix=fix)


def _repeated(ids: Iterable[str]) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for place, id_ in enumerate(ids):
        if id_ in seen:
            yield place, id_
        seen.add(id_)


def _type(drawing: Drawing, node: Node) -> Iterator[Issue]:
    node_type = drawing.types.get(node.id)
    if node_type is None:
        yield _unknown(drawing, node)
        return
    warning, info = Severity.WARNING, Severity.INFO
    if node_type.deprecated:
        message = f"`{node.type}` is deprecated; its manual names what replaces it."
        yield drawing.node_issue(node, "NODE_TYPE_DEPRECATED", message, "type", severity=warning)
    if extra := installed.missing_extra(node_type):
        message = (
            f"`{node.type}` needs the extra `{extra}`, which is not installed here; "
            f"install nstarx-workflows[{extra}] where runs are executed."
        )
        yield drawing.node_issue(node, "EXTRA_MISSING", message, "type", severity=warning)
    newest = drawing.catalogue.versions(node.type)[-1]
    if newest > node_type.version:
        message = (
            f"Version {newest} of `{node.type}` is available; this node uses {node.type_version}."
        )
        yield drawing.node_issue(node, "NODE_TYPE_OUTDATED", message, "typeVersion", severity=info)


def _unknown(drawing: Drawing, node: Node) -> Issue:
    place = drawing.places[node.id]
    if versions := drawing.catalogue.versions(node.type):
        message = (
            f"`{node.type}` has no version {node.type_version}; "
            f"known are {', '.join(map(str, versions))}."
        )
        newest = {"op": "add", "path": f"/nodes/{place}/typeVersion", "value": str(versions[-1])}
        return drawing.node_issue(
            node, "NODE_TYPE_VERSION_UNKNOWN", message, "typeVersion", fix=(newest,)
        )
    close = drawing.catalogue.closest(node.type)
    mend = f"did you mean `{close}`?" if close else "choose one of the types in the palette."
    fix = ({"op": "replace", "path": f"/nodes/{place}/type", "value": close},) if close else ()
    message = f"There is no node type `{node.type}`; {mend}"
    return drawing.node_issue(node, "NODE_TYPE_UNKNOWN", message, "type", fix=fix)
