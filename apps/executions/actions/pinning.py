"""Sample data: pinning the outputs of a node of the draft, for test runs in development."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from apps.executions import policies
from apps.executions.engine.seeds import StepGiven
from apps.executions.engine.storable import INLINE_LIMIT, Unstorable, dumps
from apps.executions.errors import RunRefused
from apps.executions.models import Pin
from apps.executions.runner import values
from apps.kit.clock import now
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.policies import require
from apps.workflows.actions import living
from apps.workflows.graph import catalogue
from apps.workflows.graph.document import Document, Node
from apps.workflows.graph.interface import interface_of
from apps.workflows.graph.ports import ERROR_PORT

MOST: Final = 50
"""Of one workflow."""


def pin_output(
    *, actor: Actor, workflow_id: uuid.UUID, node_id: str, outputs: Mapping[str, Any] | None
) -> None:
    """Pin these outputs to a node of the draft; None takes the pin off.

    A node inside a container gives them in each iteration, and for each item. Raises NotFound,
    RunRefused (NODE_UNKNOWN, OUTPUT_INVALID, OUTPUT_NOT_STORABLE, TOO_MANY_PINS).
    """
    require(policies.can_pin_output(actor), "pin sample data")
    with scope.transaction():
        workflow = living(workflow_id)
        if outputs is None:
            Pin.objects.of(workflow_id).filter(node_id=node_id).delete()
        else:
            _require_fitting(node_of(workflow.document, node_id), outputs)
            _require_room(workflow_id, node_id)
            Pin.objects.bulk_create(
                [Pin(workflow_id=workflow_id, node_id=node_id, outputs=dict(outputs))],
                update_conflicts=True,
                unique_fields=["tenant", "workflow_id", "node_id"],
                update_fields=["outputs"],
            )
            Pin.objects.of(workflow_id).filter(node_id=node_id).update(pinned_at=now())
        audit.record(
            actor=actor,
            action="node.unpin" if outputs is None else "node.pin",
            target=f"Workflow:{workflow_id}",
            after={"node": node_id[:100]},
        )


def pinned(workflow_id: uuid.UUID, document: Document) -> tuple[StepGiven, ...]:
    """The pins of nodes that the document has, wherever they are."""
    here = {node.id for node in document.nodes if not node.disabled}
    rows = Pin.objects.of(workflow_id).order_by("node_id")[:MOST]
    return tuple(
        StepGiven(path=row.node_id, outputs=row.outputs) for row in rows if row.node_id in here
    )


def node_of(document: Document, node_id: str) -> Node:
    """The node. Raises RunRefused."""
    node = next((one for one in document.nodes if one.id == node_id), None)
    if node is None:
        message = "The draft has no such node; name one by its id."
        raise RunRefused("NODE_UNKNOWN", message, path=("nodeId",))
    return node


def _require_fitting(node: Node, outputs: Mapping[str, Any]) -> None:
    node_type = catalogue.get(node.type, node.type_version)
    every = interface_of(node, node_type).outputs if node_type is not None else {}
    ports = {name: port for name, port in every.items() if not port.inner}
    for name, value in outputs.items():
        if name not in ports or name == ERROR_PORT:
            listed = ", ".join(one for one in ports if one != ERROR_PORT) or "none"
            message = f"The node has no output `{name[:100]}`; it has {listed}."
            raise RunRefused("OUTPUT_INVALID", message, path=("output", name))
        problem = values.fits(value, ports[name].type)
        if problem is not None:
            message = f"The output `{name}` {problem}."
            raise RunRefused("OUTPUT_INVALID", message, path=("output", name))
    try:
        dumps(outputs, limit=INLINE_LIMIT)
    except Unstorable as error:
        raise RunRefused("OUTPUT_NOT_STORABLE", str(error), path=("output",)) from error


def _require_room(workflow_id: uuid.UUID, node_id: str) -> None:
    others = Pin.objects.of(workflow_id).exclude(node_id=node_id)
    if others[MOST - 1 : MOST].exists():
        message = f"A workflow has at most {MOST} pinned nodes; take one off first."
        raise RunRefused("TOO_MANY_PINS", message, path=("nodeId",))
