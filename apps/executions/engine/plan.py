"""The compiled graph of one version: who waits for whom, and how each step is to be treated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import assert_never

from apps.executions.engine.history import Handling
from apps.executions.engine.retry import RetryPolicy
from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.declaration import ERROR_PORT, Effect, Isolation, NodeType
from apps.workflows.graph.document import (
    Connection,
    Document,
    ErrorAction,
    ErrorRule,
    Node,
    Retry,
)
from apps.workflows.graph.interface import interface_of
from apps.workflows.graph.normal import normalize
from apps.workflows.graph.order import Levels, Parent, levels

SLOTS_LIMIT = 16
"""Most steps of one run that run at once in one slice."""
RUN_POOL = "io"
"""Where runs are owned: most of their time they wait for others."""
GPU_POOL = "gpu"
QUARANTINE_POOL = "quarantine"
"""Where runs and tasks go that a worker died with: one at a time, in a process of its own."""
DEFAULT_CONCURRENCY = 8
DEFAULT_PRIORITY = 5
CONTAINER = -1
"""In a body, the position of the container itself: its inner outputs are sources, its inner
inputs are targets."""


class PlanRefused(ValueError):
    """A valid document that this engine cannot run; `code` is stable."""

    def __init__(self, code: str, message: str, *, node_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.node_id = node_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """One connection between two steps, by their positions."""

    index: int
    id: str
    source: int
    source_port: str
    target: int
    target_port: str
    conditional: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One line of `onError`: error codes (with * wildcards) and what to do."""

    codes: tuple[str, ...]
    handling: Handling

    def matches(self, code: str) -> bool:
        """An empty list of codes matches all."""
        return not self.codes or any(fnmatchcase(code, pattern) for pattern in self.codes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One node as the engine sees it."""

    index: int
    path: str
    node: Node
    node_type: NodeType
    incoming: tuple[Link, ...]
    """In document order; those from the container's inner outputs are decided from the start."""
    awaits: int
    """How many of them come from other steps."""
    outgoing: tuple[Link, ...]
    exits: tuple[Link, ...]
    """Those that lead to the container's inner inputs."""
    connections: tuple[Connection, ...]
    """The document's outgoing connections, for the runner."""
    required: frozenset[str]
    """Connected input ports that must have a value."""
    multiple: frozenset[str]
    """Input ports that take a list."""
    retry: RetryPolicy
    timeout_seconds: float
    on_error: tuple[Rule, ...]
    disabled: bool
    ancestors: int
    """Bit set of the steps of the same level this one depends on."""
    body: Plan | None = None
    """What a container repeats."""

    @property
    def effect(self) -> Effect:
        """How often the world bears this step to run."""
        return self.node_type.effect

    @property
    def is_pure(self) -> bool:
        """It may run again at no harm: its completion may be written a little later."""
        return self.node_type.effect is Effect.PURE

    @property
    def needs_intent(self) -> bool:
        """Its start must be durable before it touches the world."""
        return self.node_type.effect in (Effect.UNSAFE, Effect.RECONCILABLE)

    @property
    def is_light(self) -> bool:
        """It may run on the thread that owns the run, if it is known to be quick."""
        return self.node_type.isolation is Isolation.INLINE and not self.node_type.asynchronous

    @property
    def pool(self) -> str | None:
        """Where the step must run; None when it runs in the process that owns the run."""
        if self.node.resources.pool is not None:
            return self.node.resources.pool
        if self.node.resources.gpu is not None or self.node_type.resources.gpu is not None:
            return GPU_POOL
        return None if self.node_type.isolation is Isolation.INLINE else self.node_type.pool

    @property
    def error_links(self) -> tuple[Link, ...]:
        """Connections that a failure may leave by."""
        links = (*self.outgoing, *self.exits)
        return tuple(link for link in links if link.source_port == ERROR_PORT)

    def is_dispatched_from(self, pool: str) -> bool:
        """Whether a run owned in that pool hands the step to another."""
        return self.pool is not None and self.pool != pool

    def handling(self, code: str) -> Handling:
        """The first matching rule's; without one the run fails."""
        return next((rule.handling for rule in self.on_error if rule.matches(code)), Handling.FAIL)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A compiled version, or the body of one of its containers. Immutable, shared by all runs."""

    steps: tuple[Step, ...]
    links: tuple[Link, ...]
    entries: tuple[Link, ...]
    """Of the links, those that come from the container's inner outputs."""
    exits: tuple[Link, ...]
    """Of the links, those that lead to its inner inputs."""
    lists: frozenset[str]
    """The inner inputs that take a list."""
    max_concurrency: int
    timeout_seconds: float | None
    priority: int
    positions: dict[str, int] = field(repr=False)

    def step(self, path: str) -> Step:
        """The step at a path. Raises KeyError."""
        return self.steps[self.positions[path]]

    @cached_property
    def slots(self) -> int:
        """How many steps may usefully run at once: bounded by the widest level of the graph."""
        levels: dict[int, int] = {}
        width: dict[int, int] = {}
        for step in self.steps:
            sources = (link.source for link in step.incoming if link.source != CONTAINER)
            level = max((levels[source] + 1 for source in sources), default=0)
            levels[step.index] = level
            width[level] = width.get(level, 0) + (step.body.slots if step.body else 1)
        return min(self.max_concurrency, SLOTS_LIMIT, max(width.values(), default=1))


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
                ancestors=ancestors,
            )
            if node_type.container:
                step = replace(step, body=self.level(node.id))
            steps.append(step)
        resources = self.document.configuration.resources
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
        on_error=tuple(_rule(rule, node) for rule in node.on_error),
        disabled=node.disabled,
        ancestors=ancestors,
    )


def _refuse_unbuilt(document: Document) -> None:
    if document.configuration.error_handler is not None:
        message = "Runs with an error handler are not supported yet: remove errorHandler."
        raise PlanRefused("ERROR_HANDLER_NOT_SUPPORTED", message)
    for node in document.nodes:
        if node.compensation is not None:
            message = "Runs with compensation are not supported yet: remove it from the node."
            raise PlanRefused("COMPENSATION_NOT_SUPPORTED", message, node_id=node.id)


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


def _rule(rule: ErrorRule, node: Node) -> Rule:
    match rule.do:
        case ErrorAction.FAIL:
            handling = Handling.FAIL
        case ErrorAction.CONTINUE:
            handling = Handling.CONTINUE
        case ErrorAction.ROUTE:
            handling = Handling.ROUTE
        case ErrorAction.FALLBACK | ErrorAction.COMPENSATE | ErrorAction.ESCALATE:
            message = f"onError {rule.do} is not supported yet: use fail, continue or route."
            raise PlanRefused("ON_ERROR_NOT_SUPPORTED", message, node_id=node.id)
        case _:  # pragma: no cover - mypy proves that nothing is left
            assert_never(rule.do)
    return Rule(codes=rule.match.codes, handling=handling)
