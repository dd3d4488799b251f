"""Run another workflow as a step: it starts a run of its own and waits for its end.

`workflow` is the id of a workflow of this organization. With a `version` that one runs, always
(pinned). Without, what is deployed in the environment of this run when the step starts (tracking);
in development, the draft. Its parameters come from `parameters`, over those that arrive as an
object by the input of that name. While the child runs this run needs no worker and no slot.

`result` carries the child's result, outputs by node and port; `run` has its `id`, `status` and
`version`. A child that fails fails the step with its own code, and `details.run` names it; one that
was canceled, or whose time was over, with SUBWORKFLOW_CANCELED or SUBWORKFLOW_TIMEOUT. A retry of
the step is a new child. When this run ends, or `deadline_seconds` are over, the child is canceled;
the latter leaves by `timeout` if something is connected to it, else fails with WAIT_TIMEOUT.

Errors: SUBWORKFLOW_UNKNOWN, SUBWORKFLOW_ARCHIVED, SUBWORKFLOW_NOT_DEPLOYED, SUBWORKFLOW_INVALID,
SUBWORKFLOW_TOO_DEEP (16 below each other), those of its parameters, SECRET_MISSING, QUOTA_EXCEEDED.
"""

from __future__ import annotations

from pydantic import JsonValue

from apps.workflows.graph.callees import SUBWORKFLOW, workflow_id_of
from apps.workflows.graph.declaration import (
    TIMEOUT_PORT,
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeError,
    NodeParameters,
    Port,
    PortSpec,
    Wait,
    WaitKind,
    field,
    node,
)


class Parameters(NodeParameters):
    """Which workflow, and with what."""

    workflow: str = field(title="Workflow", min_length=1, max_length=200)
    version: str | None = field(
        None, title="Version", max_length=100, description="Empty: what is deployed."
    )
    parameters: dict[str, JsonValue] = field({}, title="Parameters")
    deadline_seconds: float | None = field(
        None, title="Wait at most (seconds)", ge=0, le=366 * 86_400
    )


@node(
    SUBWORKFLOW,
    version=1,
    title="Sub-workflow",
    effect=Effect.KEYED,
    icon="workflow",
    inputs={"parameters": PortSpec(type=Port.JSON, required=False)},
    outputs={
        "result": PortSpec(type=Port.JSON, required=False),
        "run": PortSpec(type=Port.JSON, required=False),
        TIMEOUT_PORT: PortSpec(type=Port.ANY, required=False),
    },
    example=Example(
        parameters={
            "workflow": "01890a5d-ac96-774b-bcce-b302099a8057",
            "version": "1.2.0",
            "parameters": {"customer": 7},
            "deadline_seconds": 3600,
        },
        outputs={TIMEOUT_PORT: None},
    ),
)
def subworkflow(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Wait:
    """Come back when it has ended."""
    workflow_id = workflow_id_of(parameters.workflow)
    if workflow_id is None:
        message = f"{parameters.workflow[:100]} is no id of a workflow; take it from its page."
        raise NodeError("SUBWORKFLOW_UNKNOWN", message)
    arrived = inputs.get("parameters")
    if arrived is not None and not isinstance(arrived, dict):
        raise NodeError("INPUT_INVALID", "The input `parameters` must be an object.")
    return Wait(
        kind=WaitKind.CHILD,
        seconds=parameters.deadline_seconds,
        due={TIMEOUT_PORT: None},
        payload={
            "workflow": str(workflow_id),
            "version": parameters.version,
            "parameters": {**(arrived or {}), **parameters.parameters},
        },
    )
