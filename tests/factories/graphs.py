"""Node types of every effect and small documents made of them.

The types do nothing of their own: a test's runner decides what a step returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeParameters,
    NodeType,
    Outputs,
    Port,
    PortSpec,
    Wait,
    node,
    node_type_of,
)
from apps.workflows.graph.document import Document, parse
from apps.workflows.graph.mapping import MapOpening

_ANY = PortSpec(type=Port.ANY, required=False)
_PORTS: Any = {
    "inputs": {
        "value": _ANY,
        "all": PortSpec(type=Port.ANY, required=False, multiple=True),
    },
    "outputs": {"value": Port.ANY, "other": Port.ANY, "payload": _ANY, "timeout": _ANY},
    "example": Example(),
}
_PICKY: Any = {
    **_PORTS,
    "inputs": {
        **_PORTS["inputs"],
        "needed": PortSpec(type=Port.ANY),
        "either": PortSpec(type=Port.ANY, configured_by="fallback"),
    },
}


class Parameters(NodeParameters):
    """Whatever a test wants to tell its runner."""

    fallback: Any = None
    say: Any = None


@node("test.pure", version=1, title="Pure", effect=Effect.PURE, **_PORTS)
def pure(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Does nothing."""
    return {"value": parameters.say}


@node("test.keyed", version=1, title="Keyed", effect=Effect.KEYED, secrets=("say",), **_PORTS)
def keyed(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Does nothing."""
    return {"value": parameters.say}


def find(key: str) -> None:
    """Finds nothing."""


@node(
    "test.reconcilable",
    version=1,
    title="Reconcilable",
    effect=Effect.RECONCILABLE,
    find=find,
    **_PORTS,
)
def reconcilable(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Does nothing."""
    return {"value": parameters.say}


@node("test.unsafe", version=1, title="Unsafe", effect=Effect.UNSAFE, **_PORTS)
def unsafe(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Does nothing."""
    return {"value": parameters.say}


@node("test.transactional", version=1, title="Own state", effect=Effect.TRANSACTIONAL, **_PORTS)
def transactional(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Does nothing."""
    return {"value": parameters.say}


@node("test.picky", version=1, title="Demanding", effect=Effect.PURE, **_PICKY)
def picky(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Does nothing."""
    return {}


@node("test.picky_keyed", version=1, title="Demanding", effect=Effect.KEYED, **_PICKY)
def picky_keyed(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Does nothing."""
    return {}


_WALLED: Any = {
    **_PORTS,
    "inputs": {
        **_PORTS["inputs"],
        "next": PortSpec(type=Port.ANY, required=False, inner=True),
        "every": PortSpec(type=Port.ANY, required=False, multiple=True, inner=True),
    },
    "outputs": {
        **_PORTS["outputs"],
        "item": PortSpec(type=Port.ANY, inner=True),
        "index": PortSpec(type=Port.JSON, inner=True),
    },
}


@node("test.box", version=1, title="Container", effect=Effect.PURE, container=True, **_WALLED)
def box(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Does nothing."""
    return {}


class JoinParameters(NodeParameters):
    """As those of the library's join."""

    needed: int | None = None


@node(
    "control.join",
    version=1,
    title="Join",
    effect=Effect.PURE,
    inputs={"branches": PortSpec(type=Port.ANY, multiple=True)},
    outputs={"value": Port.ANY},
    example=Example(),
)
def join(parameters: JoinParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Does nothing."""
    return {}


@node(
    "test.each",
    version=1,
    title="For each",
    effect=Effect.PURE,
    container=True,
    inputs={
        "value": PortSpec(type=Port.ANY, required=False),
        "result": PortSpec(type=Port.ANY, required=False, inner=True),
    },
    outputs={
        "item": PortSpec(type=Port.ANY, inner=True),
        "index": PortSpec(type=Port.JSON, inner=True, required=False),
        "value": PortSpec(type=Port.ANY, required=False),
        "failed": PortSpec(type=Port.ANY, required=False),
        "results": PortSpec(type=Port.ANY, required=False),
        "summary": PortSpec(type=Port.ANY, required=False),
    },
    example=Example(),
)
def each(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs | MapOpening:
    """A map, as far as the engine knows."""
    return {}


@node("test.waiting", version=1, title="Waiting", effect=Effect.PURE, **_PORTS)
def waiting(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs | Wait:
    """It may wait, as far as the engine knows."""
    return {}


TYPES: tuple[NodeType, ...] = tuple(
    node_type_of(one)
    for one in (
        *(pure, keyed, reconcilable, unsafe, transactional),
        *(picky, picky_keyed, box, join, each, waiting),
    )
)
OWN_TYPES = tuple(one for one in TYPES if one.type.startswith("test."))
"""Those that no installation has."""
CATALOGUE = Catalogue(TYPES)


def a(name: str, kind: str = "pure", **fields: Any) -> dict[str, Any]:
    """A node."""
    return {"id": name, "type": f"test.{kind}", **fields}


def to(source: str, target: str, **fields: Any) -> dict[str, Any]:
    """A connection `source[.port]` → `target[.port]`."""
    start, _, source_port = source.partition(".")
    end, _, target_port = target.partition(".")
    return {
        "id": f"{source}-{target}",
        "source": start,
        "sourcePort": source_port or "value",
        "target": end,
        "targetPort": target_port or "value",
        **fields,
    }


def raw(
    nodes: Iterable[dict[str, Any]],
    connections: Iterable[dict[str, Any]] = (),
    **configuration: Any,
) -> dict[str, Any]:
    """A document as JSON."""
    return {
        "schemaVersion": 1,
        "name": "Test",
        "type": "dataPipeline",
        "nodes": list(nodes),
        "connections": list(connections),
        "configuration": configuration,
    }


def document(
    nodes: Iterable[dict[str, Any]],
    connections: Iterable[dict[str, Any]] = (),
    **configuration: Any,
) -> Document:
    """A parsed document."""
    return parse(raw(nodes, connections, **configuration))


def chain(length: int, kind: str = "pure") -> dict[str, Any]:
    """n0 → n1 → … as JSON."""
    nodes = [a(f"n{i}", kind) for i in range(length)]
    return raw(nodes, [to(f"n{i}", f"n{i + 1}") for i in range(length - 1)])
