"""What is known of a step before any attempt: its expressions, ports and conditions, found once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from apps.executions.engine.ports import StepCall
from apps.executions.runner import configuration
from apps.workflows.graph import templates
from apps.workflows.graph.context import NodeError
from apps.workflows.graph.declaration import Effect, NodeType
from apps.workflows.graph.expressions import Expression, ExpressionInvalid
from apps.workflows.graph.interface import interface_of
from apps.workflows.graph.ports import ERROR_PORT, PortSpec
from apps.workflows.graph.shape import Connection, Node

KEPT: Final = 4_096


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """An outgoing connection that has one, the port it leaves by, and what it says."""

    connection: Connection
    port: str
    expression: Expression | None
    """None for a text that is none; parsing it again says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """One node of one version, ready for any number of attempts."""

    node: Node
    node_type: NodeType
    outgoing: tuple[Connection, ...]
    plan: configuration.Plan | None
    """None for a configuration that can never work; planning it again says why."""
    text: str | None
    """The configuration as JSON, where it has nothing to resolve."""
    inputs: Mapping[str, PortSpec]
    outputs: Mapping[str, PortSpec]
    needed: tuple[str, ...]
    """Input ports without which the step cannot run."""
    conditions: tuple[Condition, ...]
    cached_seconds: int
    """How long what it gives may be taken for what an equal step would; 0 for never."""

    @property
    def secrets(self) -> frozenset[str]:
        """What the configuration names."""
        return self.plan.secrets if self.plan is not None else frozenset()

    def is_of(self, call: StepCall) -> bool:
        """The very objects: what is equal may still be another version's."""
        return (
            self.node is call.node
            and self.node_type is call.node_type
            and self.outgoing is call.outgoing
        )


_kept: dict[int, Prepared] = {}


def prepared(call: StepCall) -> Prepared:
    """Found once per node of a plan."""
    # A kept entry holds its node, so no other node can have this id.
    held = _kept.get(id(call.node))
    if held is not None and held.is_of(call):
        return held
    made = _prepare(call)
    while len(_kept) >= KEPT:
        _kept.pop(next(iter(_kept), 0), None)
    _kept[id(call.node)] = made
    return made


def _prepare(call: StepCall) -> Prepared:
    node, node_type = call.node, call.node_type
    ports = interface_of(node, node_type)
    plan = None
    with suppress(NodeError):
        plan = configuration.plan(node_type, node.configuration)
    return Prepared(
        node=node,
        node_type=node_type,
        outgoing=call.outgoing,
        plan=plan,
        text=json.dumps(node.configuration) if plan and not plan.slots else None,
        inputs=ports.inputs,
        outputs={name: port for name, port in ports.outputs.items() if name != ERROR_PORT},
        needed=tuple(
            name
            for name, port in ports.inputs.items()
            if port.required
            and not port.inner
            and not (port.configured_by and port.configured_by in node.configuration)
        ),
        conditions=tuple(
            _condition(connection, node_type)
            for connection in call.outgoing
            if connection.condition is not None
        ),
        cached_seconds=_cached_seconds(node, node_type),
    )


def _cached_seconds(node: Node, node_type: NodeType) -> int:
    """Only what has no effect, and no body of its own, is the same whoever runs it."""
    if node.cache is None or node_type.container or node_type.effect is not Effect.PURE:
        return 0
    return node.cache.ttl_seconds


def _condition(connection: Connection, node_type: NodeType) -> Condition:
    port = connection.source_port or next(iter(node_type.outputs), "")
    expression: Expression | None = None
    with suppress(ExpressionInvalid):
        expression = templates.condition(str(connection.condition))
    return Condition(connection=connection, port=port, expression=expression)
