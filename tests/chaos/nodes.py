"""The node types that fault tests know: the product's, those of every effect, and a large one."""

from __future__ import annotations

from typing import Final

from apps.workflows.graph import catalogue
from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeParameters,
    Outputs,
    Port,
    PortSpec,
    node,
    node_type_of,
)
from tests.factories.graphs import TYPES

_ANY: Final = PortSpec(type=Port.ANY, required=False)


class Size(NodeParameters):
    """How large."""

    kilobytes: int = 64


@node(
    "chaos.large",
    version=1,
    title="Large value",
    effect=Effect.PURE,
    inputs={"value": _ANY},
    outputs={"value": Port.ANY},
    example=Example(),
)
def large(parameters: Size, inputs: Inputs, context: NodeContext) -> Outputs:
    """A text of many kilobytes."""
    return {"value": "x" * (parameters.kilobytes * 1024)}


class Count(NodeParameters):
    """How many."""

    count: int = 100


@node(
    "chaos.numbers",
    version=1,
    title="Numbers",
    effect=Effect.PURE,
    inputs={"value": _ANY},
    outputs={"value": Port.JSON},
    example=Example(),
)
def numbers(parameters: Count, inputs: Inputs, context: NodeContext) -> Outputs:
    """A list, for a map: as an object where it is long."""
    return {"value": list(range(parameters.count))}


_KNOWN: Final = {one.key for one in catalogue.all_types()}
OWN: Final = (
    *(one for one in TYPES if one.key not in _KNOWN),
    node_type_of(large),
    node_type_of(numbers),
)


def install() -> None:
    """Known to the whole process: only where it is one of our own."""
    for one in OWN:
        catalogue.register(one)


CATALOGUE: Final = Catalogue((*catalogue.all_types(), *OWN))
