"""Node types for tests of the language: small, typed, without effect.

This docstring is their manual.
"""

import sys
from typing import Any, Literal

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
    Resources,
    declared_in,
    field,
    node,
)

EXAMPLE = Example()


class Nothing(NodeParameters):
    """No parameters at all."""


class TrainParameters(NodeParameters):
    """One of every kind of parameter the validator must judge."""

    algorithm: Literal["forest", "linear"] = "forest"
    target: str
    trees: int = field(100, title="Trees", ge=1, le=1_000)
    features: tuple[str, ...] = ()
    prior: int | str | None = None


class Csv(NodeParameters):
    """A member of a tagged union."""

    kind: Literal["csv"]
    separator: str = ","


class Parquet(NodeParameters):
    """The other member."""

    kind: Literal["parquet"]


class SendParameters(NodeParameters):
    """A secret, an address, code and a union."""

    url: str
    token: str | None = None
    code: str = ""
    text: str | None = None
    format: Csv | Parquet = field(Csv(kind="csv"), title="Format", discriminator="kind")


@node(
    "test.source",
    version=1,
    title="Source",
    effect=Effect.PURE,
    outputs={"table": Port.TABLE, "report": Port.REPORT},
    example=EXAMPLE,
)
def source(parameters: Nothing, inputs: Inputs, context: NodeContext) -> Outputs:
    """Rows from nowhere."""
    return {"table": [], "report": {}}


@node(
    "test.train",
    version=1,
    title="Train",
    effect=Effect.PURE,
    inputs={"table": Port.TABLE},
    outputs={"model": Port.MODEL, "metrics": Port.METRICS},
    example=EXAMPLE,
    deprecated=True,
)
def train(parameters: TrainParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """The first major."""
    return {}


@node(
    "test.train",
    version=2,
    title="Train",
    effect=Effect.PURE,
    inputs={"table": Port.TABLE, "hint": PortSpec(type=Port.TEXT, required=False)},
    outputs={"model": Port.MODEL, "metrics": Port.METRICS},
    example=EXAMPLE,
)
def train_again(parameters: TrainParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """The second major."""
    return {}


@node(
    "test.send",
    version=1,
    title="Send",
    effect=Effect.UNSAFE,
    inputs={"value": PortSpec(type=Port.ANY, configured_by="text")},
    outputs={"receipt": Port.JSON},
    secrets=("token",),
    egress_parameters=("url",),
    code={"code": "python"},
    resources=Resources(memory="64Mi"),
    example=EXAMPLE,
)
async def send(parameters: SendParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Tells somebody."""
    return {"receipt": {}}


@node(
    "test.merge",
    version=1,
    title="Merge",
    effect=Effect.PURE,
    inputs={
        "first": Port.TABLE,
        "more": PortSpec(type=Port.TABLE, required=False, dynamic=True),
        "rest": PortSpec(type=Port.TABLE, required=False, multiple=True),
    },
    outputs={"table": Port.TABLE, "extra": PortSpec(type=Port.ANY, dynamic=True)},
    extra="unheard-of",
    example=EXAMPLE,
)
def merge(parameters: Nothing, inputs: Inputs, context: NodeContext) -> Outputs:
    """Joins what it gets."""
    return {}


@node(
    "test.each",
    version=1,
    title="For each",
    effect=Effect.PURE,
    inputs={
        "rows": Port.TABLE,
        "result": PortSpec(type=Port.ANY, required=False, inner=True),
    },
    outputs={"item": PortSpec(type=Port.ANY, inner=True), "results": Port.TABLE},
    container=True,
    example=EXAMPLE,
)
def each(parameters: Nothing, inputs: Inputs, context: NodeContext) -> Outputs:
    """A container."""
    return {}


def happened(key: str) -> bool:
    """What a reconcilable node is asked."""
    return False


@node(
    "test.book",
    version=1,
    title="Book",
    effect=Effect.RECONCILABLE,
    find=happened,
    migrate=happened,
    inputs={"value": PortSpec(type=Port.ANY, required=False)},
    outputs={},
    example=EXAMPLE,
)
def book(parameters: Nothing, inputs: Inputs, context: NodeContext) -> Outputs:
    """Can be asked whether it happened."""
    return {}


def catalogue() -> Catalogue:
    """Only the types of this file."""
    return Catalogue(declared_in(sys.modules[__name__]))


def training() -> dict[str, Any]:
    """A small document that is valid in every respect."""
    return {
        "schemaVersion": 1,
        "name": "Training",
        "type": "ml",
        "nodes": [
            {"id": "rows", "type": "test.source"},
            {
                "id": "fit",
                "type": "test.train",
                "typeVersion": "2",
                "position": {"x": 240, "y": 0},
                "configuration": {"target": "{{ parameters.target }}", "trees": 10},
            },
            {
                "id": "tell",
                "type": "test.send",
                "configuration": {
                    "url": "https://example.test",
                    "token": "{{ secrets.TOKEN }}",
                    "text": "accuracy {{ nodes.fit.metrics.accuracy }}",
                },
            },
        ],
        "connections": [
            {
                "id": "c1",
                "source": "rows",
                "sourcePort": "table",
                "target": "fit",
                "targetPort": "table",
            },
            {
                "id": "c2",
                "source": "fit",
                "sourcePort": "metrics",
                "target": "tell",
                "targetPort": "value",
                "condition": "metrics.accuracy > 0.95",
            },
        ],
        "configuration": {
            "parameters": [{"name": "target", "schema": {"type": "string"}, "default": "label"}]
        },
        "metadata": {"tags": ["demo"]},
    }
