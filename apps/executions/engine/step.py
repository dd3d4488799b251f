"""A compiled graph and its nodes as the engine sees them: connections, rules, what must not be."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from apps.executions.engine.history import Handling
from apps.executions.engine.on_error import NO_RULE, Rule
from apps.executions.engine.retry import RUN_RETRIES, RetryPolicy
from apps.workflows.graph.declaration import ERROR_PORT, Effect, Isolation, NodeType
from apps.workflows.graph.document import Concurrency, Connection, Node

GPU_POOL = "gpu"
EVERY_POOL = "*"
"""Where nothing is handed out: an item of a map runs its whole body on one worker."""
SLOTS_LIMIT = 16
"""Most steps of one run that run at once in one slice."""
CONTAINER = -1
"""In a body, the position of the container itself: its inner outputs are sources, its inner
inputs are targets."""


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


class Role(StrEnum):
    """Why a copy of a node on call runs."""

    FALLBACK = "FALLBACK"
    COMPENSATION = "COMPENSATION"


def _pool(node: Node, node_type: NodeType) -> str | None:
    if node.resources.pool is not None:
        return node.resources.pool
    if node.resources.gpu is not None or node_type.resources.gpu is not None:
        return GPU_POOL
    return None if node_type.isolation is Isolation.INLINE else node_type.pool


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
    needed: int | None = None
    """Of how many connections a value lets it run; None: when all are decided."""
    body: Plan | None = None
    """What a container repeats."""
    standby: bool = False
    """It never starts by itself: copies of it run when called, or a path begins with it."""
    ports: frozenset[str] = frozenset()
    """All input ports of a step on standby."""
    compensation: str | None = None
    """Id of the node that undoes this one."""
    role: Role | None = None
    """Of a copy: why it runs."""
    level: str | None = None
    """Of a copy: what the paths of its level begin with."""
    caller: int = -1
    """Of a copy: the step that called it."""
    place: int = -1
    """Of a fallback: the step of the drawing whose place it takes in the end."""
    undoes: bool = False
    """It is part of undoing: the run's deadline does not count for it."""

    effect: Effect = field(init=False)
    """How often the world bears this step to run."""
    is_pure: bool = field(init=False)
    """It may run again at no harm: its completion may be written a little later."""
    needs_intent: bool = field(init=False)
    """Its start must be durable before it touches the world."""
    is_light: bool = field(init=False)
    """It may run on the thread that owns the run, if it is known to be quick."""
    pool: str | None = field(init=False)
    """Where the step must run; None when it runs in the process that owns the run."""
    timeout: dt.timedelta = field(init=False)
    """How long one attempt may take."""

    def __post_init__(self) -> None:
        """What every attempt asks for follows from the rest, once."""
        node_type = self.node_type
        for name, value in (
            ("effect", node_type.effect),
            ("is_pure", node_type.effect is Effect.PURE),
            ("needs_intent", node_type.effect in (Effect.UNSAFE, Effect.RECONCILABLE)),
            (
                "is_light",
                node_type.isolation is Isolation.INLINE and not node_type.asynchronous,
            ),
            ("pool", _pool(self.node, node_type)),
            ("timeout", dt.timedelta(seconds=self.timeout_seconds)),
        ):
            object.__setattr__(self, name, value)

    @property
    def error_links(self) -> tuple[Link, ...]:
        """Connections that a failure may leave by."""
        links = (*self.outgoing, *self.exits)
        return tuple(link for link in links if link.source_port == ERROR_PORT)

    @property
    def parks(self) -> bool:
        """It, or something in it, may outlast its attempt: by its type, or by a rule that asks."""
        if self.disabled:
            return False
        asks = any(rule.handling is Handling.ESCALATE or rule.workflow for rule in self.on_error)
        return self.node_type.parks or asks or (self.body is not None and self.body.parks)

    def is_dispatched_from(self, pool: str) -> bool:
        """Whether a run owned in that pool hands the step to another."""
        return self.pool is not None and pool not in (self.pool, EVERY_POOL)

    def rule(self, code: str, *, retryable: bool) -> Rule:
        """The first rule that matches; without one the run fails."""
        if not self.on_error:
            return NO_RULE
        found = (rule for rule in self.on_error if rule.matches(code, retryable=retryable))
        return next(found, NO_RULE)

    def beside(self, node_id: str) -> str:
        """The path of another node of the same level, in the same iteration."""
        return self.begin + node_id

    @property
    def begin(self) -> str:
        """What the paths of its level begin with."""
        if self.level is not None:
            return self.level
        return self.path[: len(self.path) - len(self.node.id)]


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
    keyed: Mapping[str, Concurrency] = field(default_factory=dict)
    """Bounds by node id, the workflow's under the empty one; empty for most."""
    standby: tuple[int, ...] = ()
    """Of the steps, those that never start by themselves."""
    retries: int = RUN_RETRIES
    """Of all steps together; each item of a map has so many of its own."""
    undoes_on_cancel: bool = False
    """Whether a run that is canceled, or out of time, undoes what it did before it ends."""

    def step(self, path: str) -> Step:
        """The step at a path. Raises KeyError."""
        return self.steps[self.positions[path]]

    @cached_property
    def parks(self) -> bool:
        """Whether anything in it may wait, or open a map, at any depth."""
        return any(step.parks for step in self.steps)

    @cached_property
    def bodies(self) -> Mapping[str, Plan]:
        """What is in its containers, at any depth, by their nodes."""
        found: dict[str, Plan] = {}
        for step in self.steps:
            if step.body is not None:
                found |= {step.node.id: step.body, **step.body.bodies}
        return found

    @cached_property
    def undoes(self) -> bool:
        """Whether what a body of this plan did may have to be undone."""
        return any(
            step.compensation is not None or (step.body is not None and step.body.undoes)
            for step in self.steps
        )

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
