"""What changed between two documents, for people, for approval and for the next version number."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from apps.workflows.graph import canonical
from apps.workflows.graph.document import to_json
from apps.workflows.graph.shape import Connection, Document, NodePort, Parameter


class ChangeKind(StrEnum):
    """MOVED is a box drawn elsewhere: no change of behavior."""

    ADDED = "ADDED"
    REMOVED = "REMOVED"
    MODIFIED = "MODIFIED"
    MOVED = "MOVED"


class Bump(StrEnum):
    """Which number of a semantic version a change asks for."""

    MAJOR = "MAJOR"
    MINOR = "MINOR"
    PATCH = "PATCH"


@dataclass(frozen=True)
class FieldChange:
    """One field, by dotted path; None stands for a field that is not there."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True)
class NodeChange:
    """One node that is not what or where it was."""

    node_id: str
    name: str
    type: str
    kind: ChangeKind
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class ParameterChange:
    """One run parameter; breaking when callers of today would be refused or unheard tomorrow."""

    name: str
    kind: ChangeKind
    before: Any
    after: Any
    breaking: bool


@dataclass(frozen=True)
class Changes:
    """Everything between two documents."""

    added: tuple[NodeChange, ...]
    modified: tuple[NodeChange, ...]
    removed: tuple[NodeChange, ...]
    connections_added: tuple[Connection, ...]
    connections_removed: tuple[Connection, ...]
    parameters: tuple[ParameterChange, ...]
    settings: tuple[FieldChange, ...]
    behavior: bool
    bump: Bump

    @property
    def is_empty(self) -> bool:
        """Whether nothing is different but, at most, an order."""
        parts = (self.added, self.modified, self.removed, self.parameters, self.settings)
        return not any(parts) and not self.connections_added and not self.connections_removed


def compare(before: Document, after: Document) -> Changes:
    """The structural difference; both in normal form. Nodes are the same by id."""
    old, new = _nodes(before), _nodes(after)
    added = tuple(_whole(node, ChangeKind.ADDED) for id_, node in new.items() if id_ not in old)
    removed = tuple(_whole(node, ChangeKind.REMOVED) for id_, node in old.items() if id_ not in new)
    modified = tuple(
        change
        for id_, node in new.items()
        if id_ in old and (change := _modified(old[id_], node)) is not None
    )
    parameters = tuple(_parameters(before, after))
    gone, come = _connections(before, after)
    nodes_change = bool(added or removed or gone or come) or any(
        change.kind is ChangeKind.MODIFIED for change in modified
    )
    return Changes(
        added=added,
        modified=modified,
        removed=removed,
        connections_added=come,
        connections_removed=gone,
        parameters=parameters,
        settings=tuple(_fields(_settings(before), _settings(after))),
        behavior=canonical.content_hash(before) != canonical.content_hash(after),
        bump=_bump(before, after, parameters, nodes_change=nodes_change),
    )


def _nodes(document: Document) -> dict[str, dict[str, Any]]:
    return {node["id"]: node for node in to_json(document)["nodes"]}


def _whole(node: Mapping[str, Any], kind: ChangeKind) -> NodeChange:
    return NodeChange(node["id"], node.get("name", ""), node["type"], kind)


def _modified(before: Mapping[str, Any], after: Mapping[str, Any]) -> NodeChange | None:
    fields = tuple(_fields(before, after))
    if not fields:
        return None
    moved = all(field.path.partition(".")[0] == "position" for field in fields)
    kind = ChangeKind.MOVED if moved else ChangeKind.MODIFIED
    return NodeChange(after["id"], after.get("name", ""), after["type"], kind, fields)


def _fields(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str = ""
) -> Iterator[FieldChange]:
    """Objects are compared field by field, lists and values as they are."""
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _fields(old, new, f"{path}{name}.")
        elif old != new or type(old) is not type(new):
            yield FieldChange(f"{path}{name}", old, new)


def _settings(document: Document) -> dict[str, Any]:
    """The document without what is compared in a way of its own."""
    written = to_json(document)
    written.pop("nodes")
    written.pop("connections")
    written.get("configuration", {}).pop("parameters", None)
    return written


def _connections(
    before: Document, after: Document
) -> tuple[tuple[Connection, ...], tuple[Connection, ...]]:
    """Which arrows are gone and which have come; an arrow is its ends and its condition."""
    return _missing(before, after), _missing(after, before)


def _missing(present: Document, absent: Document) -> tuple[Connection, ...]:
    left = Counter(_arrow(connection) for connection in absent.connections)
    missing = []
    for connection in present.connections:
        arrow = _arrow(connection)
        if left[arrow]:
            left[arrow] -= 1
        else:
            missing.append(connection)
    return tuple(missing)


def _arrow(one: Connection) -> tuple[str, str, str, str, str | None]:
    return one.source, one.source_port, one.target, one.target_port, one.condition


def _parameters(before: Document, after: Document) -> Iterator[ParameterChange]:
    old = {parameter.name: parameter for parameter in before.configuration.parameters}
    new = {parameter.name: parameter for parameter in after.configuration.parameters}
    for name in {**old, **new}:
        was, is_ = old.get(name), new.get(name)
        if was == is_:
            continue
        if was is None:
            kind, breaking = ChangeKind.ADDED, _demanded(is_)
        elif is_ is None:
            kind, breaking = ChangeKind.REMOVED, True
        else:
            kind = ChangeKind.MODIFIED
            breaking = _demanded(is_) and not _demanded(was)
        yield ParameterChange(name, kind, _plain(was), _plain(is_), breaking)


def _demanded(parameter: Parameter | None) -> bool:
    return parameter is not None and parameter.required and parameter.default is None


def _plain(parameter: Parameter | None) -> dict[str, Any] | None:
    if parameter is None:
        return None
    return {
        "schema": parameter.schema,
        "default": parameter.default,
        "required": parameter.required,
        "secret": parameter.secret,
    }


def _bump(
    before: Document,
    after: Document,
    parameters: tuple[ParameterChange, ...],
    *,
    nodes_change: bool,
) -> Bump:
    """MAJOR if a parameter or port disappears or becomes required, MINOR if nodes change."""
    if any(change.breaking for change in parameters) or _breaks_ports(before, after):
        return Bump.MAJOR
    return Bump.MINOR if nodes_change or parameters else Bump.PATCH


def _breaks_ports(before: Document, after: Document) -> bool:
    """Of the ports that documents name themselves, on nodes that stay."""
    stayed = {node.id: node for node in after.nodes}
    return any(
        _breaks(old, new)
        for node in before.nodes
        if (other := stayed.get(node.id)) is not None
        for old, new in ((node.inputs, other.inputs), (node.outputs, other.outputs))
    )


def _breaks(old: tuple[NodePort, ...], new: tuple[NodePort, ...]) -> bool:
    were = {port.name: port for port in old}
    are = {port.name: port for port in new}
    return any(name not in are for name in were) or any(
        port.required and not (name in were and were[name].required) for name, port in are.items()
    )
