"""In which order the nodes of a document stand: levels, containers, depth, nodes on call."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from apps.workflows.graph.shape import Connection, Document, Node

Parent: TypeAlias = str | None
"""Id of the container a level is the body of; None for the top level."""


class CyclicGraph(ValueError):
    """No order exists: the nodes named wait for each other."""

    def __init__(self, cycle: tuple[str, ...]) -> None:
        super().__init__(f"The nodes {', '.join(cycle)} wait for each other.")
        self.cycle = cycle


@dataclass(frozen=True)
class Levels:
    """The nodes of each level in topological order, the same for the same document."""

    by_parent: Mapping[Parent, tuple[str, ...]]
    cycles: tuple[tuple[str, ...], ...]

    def __getitem__(self, parent: Parent) -> tuple[str, ...]:
        return self.by_parent.get(parent, ())


def levels(document: Document) -> Levels:
    """Order every level, in time linear in nodes and connections. Nodes of a cycle are left out."""
    parents = {node.id: node.parent_id for node in document.nodes}
    successors = _successors_within_levels(document.connections, parents)
    ordered: dict[Parent, list[str]] = defaultdict(list)
    for node_id in _sorted(parents, successors):
        ordered[parents[node_id]].append(node_id)
    placed = {node_id for level in ordered.values() for node_id in level}
    cycles = tuple(_cycles([one for one in parents if one not in placed], successors))
    frozen = {parent: tuple(level) for parent, level in ordered.items()}
    return Levels(MappingProxyType(frozen), cycles)


def topological_order(document: Document) -> tuple[str, ...]:
    """Every node id: predecessors before successors, a container before its body. CyclicGraph."""
    found = levels(document)
    if found.cycles:
        raise CyclicGraph(found.cycles[0])
    order: list[str] = []
    stack: list[str] = list(reversed(found[None]))
    while stack:
        node_id = stack.pop()
        order.append(node_id)
        stack.extend(reversed(found[node_id]))
    return tuple(order)


def depths(document: Document) -> dict[str, int | None]:
    """How many containers each node is in; None where its parents lead nowhere or in a circle."""
    parents = {node.id: node.parent_id for node in document.nodes}
    known: dict[str, int | None] = {}
    for node_id in parents:
        trail: list[str] = []
        at: Parent = node_id
        while at is not None and at in parents and at not in known:
            known[at] = None
            trail.append(at)
            at = parents[at]
        depth = -1 if at is None else known.get(at)
        for passed in reversed(trail):
            depth = None if depth is None else depth + 1
            known[passed] = depth
    return known


def containers(document: Document) -> dict[str, tuple[Node, ...]]:
    """The body of every node that is somebody's parent, in document order."""
    bodies: dict[str, list[Node]] = defaultdict(list)
    for node in document.nodes:
        if node.parent_id is not None:
            bodies[node.parent_id].append(node)
    return {parent: tuple(body) for parent, body in bodies.items()}


def on_call(document: Document) -> frozenset[str]:
    """Nodes that run when called: compensations, fallbacks, other paths, error handler."""
    handler = document.configuration.error_handler
    called = {handler if isinstance(handler, str) else None}
    for node in document.nodes:
        called.add(node.compensation)
        for rule in node.on_error:
            called |= {rule.arguments.node, rule.arguments.then}
    return frozenset(node_id for node_id in called if node_id is not None)


def after_call(document: Document) -> frozenset[str]:
    """The nodes on call and all that follows them: when they run, nobody knows before."""
    parents = {node.id: node.parent_id for node in document.nodes}
    successors = _successors_within_levels(document.connections, parents)
    reached = set(on_call(document))
    pending = list(reached)
    while pending:
        for target in successors.get(pending.pop(), ()):
            if target not in reached:
                reached.add(target)
                pending.append(target)
    return frozenset(reached)


def endless_fallbacks(document: Document) -> tuple[str, ...]:
    """Nodes whose fallbacks, and theirs, never come to an end."""
    nodes = dict.fromkeys((node.id for node in document.nodes), None)
    callers: dict[str, list[str]] = defaultdict(list)
    for node in document.nodes:
        for target in dict.fromkeys(rule.arguments.node for rule in node.on_error):
            if target in nodes and target != node.id:
                callers[target].append(node.id)
    ended = set(_sorted(nodes, callers))
    return tuple(node_id for node_id in nodes if node_id not in ended)


class Upstream:
    """Whose output a node may rely on: all before it on its level and around its containers."""

    def __init__(self, document: Document) -> None:
        self._bit = {node.id: 1 << index for index, node in enumerate(document.nodes)}
        self._before = self._masks(document)

    def knows(self, node_id: str) -> bool:
        """Whether the node has a place in the order; nodes of a cycle have none."""
        return node_id in self._before

    def reaches(self, source: str, *, target: str) -> bool:
        """Whether `source` has always ended before `target` begins."""
        return bool(self._before.get(target, 0) & self._bit.get(source, 0))

    def _masks(self, document: Document) -> dict[str, int]:
        """One bit per node: 2,000 nodes are 250 bytes each, a set of names would be 100 KB."""
        found = levels(document)
        parents = {node.id: node.parent_id for node in document.nodes}
        predecessors: dict[str, list[str]] = defaultdict(list)
        for connection in document.connections:
            if _same_level(connection, parents):
                predecessors[connection.target].append(connection.source)
        before: dict[str, int] = {}
        for parent, level in _outside_in(found):
            around = before[parent] if parent is not None else 0
            for node_id in level:
                mask = around
                for one in predecessors[node_id]:
                    mask |= before[one] | self._bit[one]
                before[node_id] = mask
        return before


def _outside_in(found: Levels) -> Iterator[tuple[Parent, tuple[str, ...]]]:
    pending: list[Parent] = [None]
    while pending:
        parent = pending.pop()
        yield parent, found[parent]
        pending.extend(node_id for node_id in found[parent] if found[node_id])


def _same_level(connection: Connection, parents: Mapping[str, Parent]) -> bool:
    source, target = connection.source, connection.target
    return source in parents and target in parents and parents[source] == parents[target]


def _successors_within_levels(
    connections: tuple[Connection, ...], parents: Mapping[str, Parent]
) -> dict[str, list[str]]:
    """A connection through a container's own port orders nothing: it is around its body."""
    successors: dict[str, list[str]] = defaultdict(list)
    for connection in connections:
        if _same_level(connection, parents):
            successors[connection.source].append(connection.target)
    return successors


def _sorted(nodes: Mapping[str, Parent], successors: Mapping[str, list[str]]) -> Iterator[str]:
    """Kahn's algorithm."""
    waiting_for = dict.fromkeys(nodes, 0)
    for targets in successors.values():
        for target in targets:
            waiting_for[target] += 1
    ready = [node_id for node_id, count in waiting_for.items() if count == 0]
    for node_id in ready:
        yield node_id
        for target in successors.get(node_id, ()):
            waiting_for[target] -= 1
            if waiting_for[target] == 0:
                ready.append(target)


def _cycles(unplaced: list[str], successors: Mapping[str, list[str]]) -> Iterator[tuple[str, ...]]:
    """Disjoint cycles, at least one if any: follow each knotted node's first successor."""
    follow = _first_successors(unplaced, successors)
    pending = dict.fromkeys(follow)
    while pending:
        at = next(iter(pending))
        trail: dict[str, int] = {}
        while at in pending:
            del pending[at]
            trail[at] = len(trail)
            at = follow[at]
        if at in trail:
            yield tuple(trail)[trail[at] :]


def _first_successors(unplaced: list[str], successors: Mapping[str, list[str]]) -> dict[str, str]:
    """What only hangs behind a knot is cut off from the end, as Kahn does in front."""
    left = set(unplaced)
    inside = {one: [to for to in successors.get(one, ()) if to in left] for one in unplaced}
    predecessors: dict[str, list[str]] = defaultdict(list)
    for source, targets in inside.items():
        for target in targets:
            predecessors[target].append(source)
    open_ends = {one: len(targets) for one, targets in inside.items()}
    dead = [one for one, count in open_ends.items() if count == 0]
    for one in dead:
        left.discard(one)
        for source in predecessors[one]:
            open_ends[source] -= 1
            if open_ends[source] == 0:
                dead.append(source)
    return {one: next(to for to in inside[one] if to in left) for one in unplaced if one in left}
