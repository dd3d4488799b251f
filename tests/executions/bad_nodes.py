"""Steps that harm the process they run in, each in its own way."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import replace
from typing import Any, Final

from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    Isolation,
    NodeContext,
    NodeParameters,
    Outputs,
    Port,
    PortSpec,
    Resources,
    field,
    node,
    node_type_of,
)
from tests.nodes.hostile_nodes import hostile

_PORTS: Final[dict[str, Any]] = {
    "inputs": {"value": PortSpec(type=Port.ANY, required=False)},
    "outputs": {"value": Port.ANY},
}


class Parameters(NodeParameters):
    how: str = field("well", title="What to do")
    worker: str = field("", title="In which worker; in others it does well")


def _act(parameters: Parameters) -> Outputs:
    here = os.environ.get("NSTARX_WORKER_ID", "")
    match parameters.how if parameters.worker in ("", here) else "well":
        case "segfault":
            ctypes.string_at(0)
        case "eat":
            held = []
            while True:
                held.append(bytearray(10 << 20))
        case "spin":
            while True:
                pass
        case "never":
            time.sleep(3600)
    return {"value": "well"}


@node(
    "bad.process",
    version=1,
    title="In a process",
    effect=Effect.KEYED,
    isolation=Isolation.PROCESS,
    resources=Resources(memory="100Mi"),
    example=Example(),
    **_PORTS,
)
def process(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    if parameters.how == "deaf":
        asking: Any = context
        while True:
            # Nobody reads the answers: soon nobody can write one either.
            asking._channel.send({"op": "secret", "name": "none"})
    return _act(parameters)


@node(
    "bad.sandbox",
    version=1,
    title="In the sandbox",
    effect=Effect.KEYED,
    isolation=Isolation.SANDBOX,
    resources=Resources(memory="100Mi"),
    example=Example(),
    **_PORTS,
)
def sandbox(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return process(parameters, inputs, context)


@node(
    "bad.thread",
    version=1,
    title="In a thread",
    effect=Effect.KEYED,
    example=Example(),
    **_PORTS,
)
def thread(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return _act(parameters)


IN_HOUSE: Final = "apps.nodes.bad"
"""The name by which a worker finds this module when it shall trust it as one of the house."""


@node(
    "bad.house",
    version=1,
    title="In a thread of the engine",
    effect=Effect.KEYED,
    example=Example(),
    **_PORTS,
)
def house(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return _act(parameters)


TYPES: Final = (
    node_type_of(process),
    node_type_of(sandbox),
    node_type_of(hostile),
    node_type_of(thread),
    replace(node_type_of(house), handler=f"{IN_HOUSE}:house"),
)
