"""Trivial steps, one per effect: the engine's own cost is what remains."""

from __future__ import annotations

from apps.workflows.graph import catalogue
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


class Parameters(NodeParameters):
    """None."""


_PORTS = {"inputs": {"value": PortSpec(type=Port.JSON, required=False)}}
_OUT = {"value": Port.JSON}


def fibonacci(n: int) -> int:
    """A few microseconds of work."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@node(
    "bench.pure",
    version=1,
    title="Pure",
    effect=Effect.PURE,
    inputs=_PORTS["inputs"],
    outputs=_OUT,
    example=Example(),
)
def pure(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Compute fib(10)."""
    return {"value": {"v": fibonacci(10)}}


@node(
    "bench.keyed",
    version=1,
    title="Keyed",
    effect=Effect.KEYED,
    inputs=_PORTS["inputs"],
    outputs=_OUT,
    example=Example(),
)
def keyed(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Compute fib(10), as if it touched the world under a key."""
    return {"value": {"v": fibonacci(10)}}


@node(
    "bench.unsafe",
    version=1,
    title="Unsafe",
    effect=Effect.UNSAFE,
    inputs=_PORTS["inputs"],
    outputs=_OUT,
    example=Example(),
)
def unsafe(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Compute fib(10), as if it touched the world without one."""
    return {"value": {"v": fibonacci(10)}}


def register() -> None:
    """Make them known to this process."""
    for function in (pure, keyed, unsafe):
        catalogue.register(node_type_of(function))
