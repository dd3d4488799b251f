"""Trivial steps, one per effect: the engine's own cost is what remains."""

from __future__ import annotations

import dataclasses
import os
import sys
import time

from apps.workflows.graph import catalogue
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    Isolation,
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
from bench.work import LONG, QUICK, fibonacci

SLEEP_SECONDS = 1.0


class Parameters(NodeParameters):
    """None."""


_IN = {"value": PortSpec(type=Port.JSON, required=False)}
# A step that joins many branches.
_MANY = {"value": PortSpec(type=Port.JSON, required=False, multiple=True)}
_OUT = {"value": Port.JSON}


@node(
    "bench.pure",
    version=1,
    title="Pure",
    effect=Effect.PURE,
    inputs=_MANY,
    outputs=_OUT,
    example=Example(),
)
def pure(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Compute fib(10)."""
    return {"value": {"v": fibonacci(QUICK)}}


@node(
    "bench.keyed",
    version=1,
    title="Keyed",
    effect=Effect.KEYED,
    inputs=_MANY,
    outputs=_OUT,
    example=Example(),
)
def keyed(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Compute fib(10), as if it touched the world under a key."""
    return {"value": {"v": fibonacci(QUICK)}}


@node(
    "bench.unsafe",
    version=1,
    title="Unsafe",
    effect=Effect.UNSAFE,
    inputs=_MANY,
    outputs=_OUT,
    example=Example(),
)
def unsafe(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Compute fib(10), as if it touched the world without one."""
    return {"value": {"v": fibonacci(QUICK)}}


@node(
    "bench.stamp",
    version=1,
    title="Stamp",
    effect=Effect.PURE,
    inputs=_IN,
    outputs=_OUT,
    example=Example(),
)
def stamp(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """When its body began, by this machine's clock."""
    return {"value": {"at": time.time()}}


@node(
    "bench.sleep",
    version=1,
    title="Sleep",
    effect=Effect.PURE,
    inputs=_IN,
    outputs=_OUT,
    example=Example(),
)
def sleep(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Wait a second for somebody else."""
    time.sleep(SLEEP_SECONDS)
    return {"value": {"slept": SLEEP_SECONDS}}


@node(
    "bench.items",
    version=1,
    title="Items",
    effect=Effect.PURE,
    inputs={},
    outputs={"value": Port.JSON},
    example=Example(),
)
def items(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """A list as long as BENCH_ITEMS says."""
    return {"value": list(range(int(os.environ.get("BENCH_ITEMS", "100000"))))}


@node(
    "bench.parks",
    version=1,
    title="Parks",
    effect=Effect.PURE,
    inputs=_IN,
    outputs=_OUT,
    example=Example(),
)
def parks(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs | Wait:
    """Compute fib(10); it might have waited, so the item that it is in is a run of its own."""
    return {"value": {"v": fibonacci(QUICK)}}


@node(
    "bench.cpu",
    version=1,
    title="CPU",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    inputs=_IN,
    outputs=_OUT,
    example=Example(),
)
def cpu(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Compute in a process of its own."""
    return {"value": {"v": fibonacci(LONG)}}


def register() -> None:
    """Make them known to this process, as nodes of the house.

    Nodes of the product run inline; a stranger's gets a thread of its own. Which is which goes by
    the handler's name, so the inline ones are known by a name inside apps.nodes.
    """
    sys.modules["apps.nodes.bench"] = sys.modules[__name__]
    for function in (pure, keyed, unsafe, stamp, sleep, items, parks):
        own = node_type_of(function)
        catalogue.register(_of_the_house(own))
    catalogue.register(node_type_of(cpu))


def _of_the_house(node_type: NodeType) -> NodeType:
    _, _, name = node_type.handler.partition(":")
    return dataclasses.replace(node_type, handler=f"apps.nodes.bench:{name}")
