"""A shop: its steps act at a bank over HTTP, under their keys; some can be asked for afterwards."""

from __future__ import annotations

import http.client
import json
import os
from typing import Any, Final

from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    Isolation,
    NodeContext,
    NodeError,
    NodeParameters,
    Outputs,
    Port,
    PortSpec,
    field,
    node,
    node_type_of,
)
from tests.factories.graphs import CATALOGUE

_PORTS: Final[dict[str, Any]] = {
    "inputs": {"value": PortSpec(type=Port.ANY, required=False)},
    "outputs": {"value": Port.ANY},
    "example": Example(),
}


class Parameters(NodeParameters):
    bank: int = field(0, title="Where the bank listens on this machine")
    act: str = field("", title="What to do there")


def _ask(bank: int, method: str, path: str, key: str) -> tuple[int, Any]:
    """Whoever is asked may end us: it knows our process."""
    connection = http.client.HTTPConnection("127.0.0.1", bank, timeout=5)
    try:
        headers = {"Idempotency-Key": key, "Worker": str(os.getpid())}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or "null")
    finally:
        connection.close()


def find(key: str, parameters: Parameters, context: NodeContext) -> Outputs | None:
    """What the bank knows of this key."""
    status, found = _ask(parameters.bank, "GET", f"/{parameters.act}", key)
    if status == 404:
        return None
    if status != 200:
        raise NodeError(f"HTTP_{status}", "The bank does not answer.", retryable=True)
    return {"value": found}


def _act(parameters: Parameters, context: NodeContext) -> Outputs:
    key = context.idempotency_key
    status, done = _ask(parameters.bank, "POST", f"/{parameters.act}", key)
    if status == 409:
        raise NodeError("SOLD_OUT", "Nothing is left of it.")
    return {"value": done}


@node("shop.charge", version=1, title="Charge", effect=Effect.RECONCILABLE, find=find, **_PORTS)
def charge(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return _act(parameters, context)


@node(
    "shop.apart",
    version=1,
    title="Charge in a process of its own",
    effect=Effect.RECONCILABLE,
    find=find,
    isolation=Isolation.PROCESS,
    **_PORTS,
)
def apart(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return _act(parameters, context)


@node("shop.act", version=1, title="Act", effect=Effect.KEYED, **_PORTS)
def act(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return _act(parameters, context)


SHOP: Final = Catalogue((*CATALOGUE.all_types(), *map(node_type_of, (charge, apart, act))))
