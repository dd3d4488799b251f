"""The compiled graph of one version: who waits for whom, and how each step is to be treated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from apps.executions.engine.bounds import keyed_of
from apps.executions.engine.on_error import called_by, paths_of, rules_of
from apps.executions.engine.retry import RUN_RETRIES, RetryPolicy
from apps.executions.engine.step import CONTAINER, Link, Plan, Role, Step
from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.declaration import NodeType
from apps.workflows.graph.document import (
    CancelAction,
    Connection,
    Document,
    Node,
    Retry,
)
from apps.workflows.graph.interface import interface_of
from apps.workflows.graph.joins import needed_by
from apps.workflows.graph.normal import normalize
from apps.workflows.graph.order import Levels, Parent, levels

__all__ = ["CONTAINER", "RUN_POOL", "Link", "Plan", "PlanRefused", "Role", "Step", "compile_plan"]

RUN_POOL = "io"
"""Where runs are owned: most of their time they wait for others."""
QUARANTINE_POOL = "quarantine"
"""Where runs and tasks go that a worker died with: one at a time, in a process of its own."""
DEFAULT_CONCURRENCY = 8
DEFAULT_PRIORITY = 5


class PlanRefused(ValueError):
    """A valid document that this engine cannot run; `code` is stable."""

    def __init__(self, code: str, message: str, *, node_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.node_id = node_id


def compile_plan(document: Document, catalogue: Catalogue) -> Plan:
    """The plan of a valid document. Raises PlanRefused for what this engine does not run."""
    _refuse_unbuilt(document)
    compiler = _Compiler(normalize(document, catalogue), catalogue)
    plan = compiler.level(None)
    if compiler.compiled < len(document.nodes):
        raise PlanRefused("DOCUMENT_INVALID", "A node's parentId leads nowhere or in a circle.")
    return plan


class _Compiler:
    """Makes the plan of each level: the top, and the body of every container."""

    def __init__(self, document: Document, catalogue: Catalogue) -> None:
        self.document = document
        self.catalogue = catalogue
        self.nodes = {node.id: node for node in document.nodes}
        self.order = _levels(document)
        self.connections: dict[Parent, list[Connection]] = defaultdict(list)
        self.compiled = 0
        self.disabled = frozenset(node.id for node in document.nodes if node.disabled)
        self.templates = frozenset(name for node in document.nodes for name in called_by(node))
        self.paths = frozenset(name for node in document.nodes for name in paths_of(node))
        for connection in document.connections:
            self.connections[self._level_of(connection)].append(connection)

    def level(self, parent: Parent) -> Plan:
        """The nodes whose parent that is, containers with what is in them."""
        order = [self.nodes[name] for name in self.order[parent]]
        self.compiled += len(order)
        positions = {node.id: index for index, node in enumerate(order)}
        ends = positions if parent is None else {**positions, parent: CONTAINER}
        connections = self.connections[parent]
        links = tuple(_link(index, one, ends) for index, one in enumerate(connections))
        incoming: list[list[Link]] = [[] for _ in order]
        outgoing: list[list[Link]] = [[] for _ in order]
        for link in links:
            if link.target != CONTAINER:
                incoming[link.target].append(link)
            if link.source != CONTAINER:
                outgoing[link.source].append(link)
        steps: list[Step] = []
        for index, node in enumerate(order):
            ancestors = 0
            for link in incoming[index]:
                if link.source != CONTAINER:
                    ancestors |= steps[link.source].ancestors | 1 << link.source
            node_type = _node_type(node, self.catalogue)
            step = _step(
                index,
                node,
                node_type,
                incoming=tuple(incoming[index]),
                outgoing=tuple(outgoing[index]),
                connections=tuple(connections[link.index] for link in outgoing[index]),
                ancestors=(1 << len(order)) - 1 if node.id in self.paths else ancestors,
            )
            if node.on_error or node.compensation:
                step = self._with_rules(step)
            if node.id in self.templates or node.id in self.paths:
                ports = interface_of(node, node_type).inputs
                several = frozenset(name for name, port in ports.items() if port.multiple)
                step = replace(step, standby=True, ports=frozenset(ports), multiple=several)
            if node_type.container:
                step = replace(step, body=self.level(node.id))
            steps.append(step)
        resources = self.document.configuration.resources
        retries = self.document.configuration.limits.retries
        exits = tuple(link for link in links if link.target == CONTAINER)
        return Plan(
            steps=tuple(steps),
            links=links,
            entries=tuple(link for link in links if link.source == CONTAINER),
            exits=exits,
            lists=self._lists(parent, exits),
            max_concurrency=resources.max_concurrency or DEFAULT_CONCURRENCY,
            timeout_seconds=resources.timeout_seconds,
            priority=resources.priority or DEFAULT_PRIORITY,
            positions=positions,
            standby=tuple(step.index for step in steps if step.standby),
            keyed=keyed_of(self.document),
            retries=RUN_RETRIES if retries is None else retries,
            undoes_on_cancel=self.document.configuration.on_cancel is CancelAction.COMPENSATE,
        )

    def _with_rules(self, step: Step) -> Step:
        node = step.node
        called = {*called_by(node), *paths_of(node)}
        for name in sorted(called - self.nodes.keys()):
            message = f"{node.id} calls {name}, which is not there."
            raise PlanRefused("DOCUMENT_INVALID", message, node_id=node.id)
        undone_by = None if node.compensation in self.disabled else node.compensation
        return replace(
            step, on_error=rules_of(node, disabled=self.disabled), compensation=undone_by
        )

    def _lists(self, parent: Parent, exits: tuple[Link, ...]) -> frozenset[str]:
        if parent is None:
            return frozenset()
        node = self.nodes[parent]
        ports = interface_of(node, _node_type(node, self.catalogue)).inputs
        for link in exits:
            if link.target_port not in ports:
                message = f"Connection {link.id} leads to no inner input of {node.id}."
                raise PlanRefused("DOCUMENT_INVALID", message, node_id=node.id)
        return frozenset(name for name, port in ports.items() if port.inner and port.multiple)

    def _level_of(self, connection: Connection) -> Parent:
        """Where a connection is drawn: inside a container, if one of its ends is its wall."""
        for end in (connection.source, connection.target):
            if end not in self.nodes:
                message = f"Connection {connection.id} leads to {end}, which is not there."
                raise PlanRefused("DOCUMENT_INVALID", message)
        inside = self.nodes[connection.source].parent_id
        beyond = self.nodes[connection.target].parent_id
        if inside in (beyond, connection.target):
            return inside
        if beyond != connection.source:
            message = f"Connection {connection.id} crosses the wall of a container."
            raise PlanRefused("DOCUMENT_INVALID", message)
        if connection.condition is not None:
            message = (
                f"Connection {connection.id} leads into a container's body and has a condition: "
                "put a control.if into the body instead."
            )
            raise PlanRefused("DOCUMENT_INVALID", message, node_id=connection.source)
        return beyond


def _step(
    index: int,
    node: Node,
    node_type: NodeType,
    *,
    incoming: tuple[Link, ...],
    outgoing: tuple[Link, ...],
    connections: tuple[Connection, ...],
    ancestors: int,
) -> Step:
    ports = interface_of(node, node_type).inputs
    for link in incoming:
        if link.target_port not in ports:
            message = f"Connection {link.id} leads to no input of {node.id}."
            raise PlanRefused("DOCUMENT_INVALID", message, node_id=node.id)
    fed = {link.target_port: ports[link.target_port] for link in incoming}
    configured = frozenset(node.configuration)
    timeout = node.timeout_seconds or node.resources.timeout_seconds
    return Step(
        index=index,
        path=node.id,
        node=node,
        node_type=node_type,
        incoming=incoming,
        awaits=sum(link.source != CONTAINER for link in incoming),
        outgoing=tuple(link for link in outgoing if link.target != CONTAINER),
        exits=tuple(link for link in outgoing if link.target == CONTAINER),
        connections=connections,
        required=frozenset(
            name
            for name, port in fed.items()
            if port.required and port.configured_by not in configured
        ),
        multiple=frozenset(name for name, port in fed.items() if port.multiple),
        retry=_retry(node.retry),
        timeout_seconds=timeout or node_type.resources.timeout_seconds,
        on_error=(),
        disabled=node.disabled,
        ancestors=ancestors,
        needed=needed_by(node),
    )


def _refuse_unbuilt(document: Document) -> None:
    if isinstance(document.configuration.error_handler, str):
        message = (
            "A node cannot handle the failure of its run: name a workflow by"
            " errorHandler: {workflow: …}."
        )
        raise PlanRefused("ERROR_HANDLER_NOT_SUPPORTED", message)


def _node_type(node: Node, catalogue: Catalogue) -> NodeType:
    found = catalogue.get(node.type, node.type_version)
    if found is None:
        message = f"This installation has no node type {node.type} version {node.type_version}."
        raise PlanRefused("NODE_TYPE_UNKNOWN", message, node_id=node.id)
    return found


def _levels(document: Document) -> Levels:
    found = levels(document)
    if found.cycles:
        message = f"The nodes {', '.join(found.cycles[0])} wait for each other."
        raise PlanRefused("DOCUMENT_INVALID", message)
    return found


def _link(index: int, connection: Connection, positions: Mapping[str, int]) -> Link:
    return Link(
        index=index,
        id=connection.id,
        source=positions[connection.source],
        source_port=connection.source_port,
        target=positions[connection.target],
        target_port=connection.target_port,
        conditional=connection.condition is not None,
    )


def _retry(retry: Retry | None) -> RetryPolicy:
    if retry is None:
        return RetryPolicy()
    return RetryPolicy(
        max_attempts=retry.max_attempts,
        backoff_seconds=retry.backoff_seconds,
        multiplier=retry.multiplier,
        max_backoff_seconds=retry.max_backoff_seconds,
        retry_on=retry.retry_on,
    )
