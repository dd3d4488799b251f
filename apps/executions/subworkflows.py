"""What goes wrong with a child, as a failure of the step that waits for it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from apps.executions.engine.on_error import classes_of
from apps.executions.engine.ports import StepFailed
from apps.executions.engine.state import RunStatus
from apps.executions.errors import RunRefused
from apps.executions.models import Run
from apps.kit.errors import ErrorCode, NotFound, Refusal
from apps.versions.errors import NotDeployed
from apps.workflows.errors import WorkflowIsArchived
from apps.workflows.graph.document import ErrorClass
from apps.workflows.invalid import GraphInvalid

_CODES: Final = MappingProxyType(
    {
        NotFound: "SUBWORKFLOW_UNKNOWN",
        NotDeployed: "SUBWORKFLOW_NOT_DEPLOYED",
        WorkflowIsArchived: "SUBWORKFLOW_ARCHIVED",
        GraphInvalid: "SUBWORKFLOW_INVALID",
    }
)
_BUSY: Final = (ErrorCode.QUOTA_EXCEEDED, ErrorCode.RATE_LIMITED)
_PASSING: Final = frozenset(
    {ErrorClass.TIMEOUT, ErrorClass.RATE_LIMIT, ErrorClass.UNAVAILABLE, ErrorClass.CRASH}
)
"""Classes of failures that a new child may not have."""


def refusal_of(refusal: Refusal) -> StepFailed:
    """Of a child that could not be started; a place in a full queue becomes free."""
    code = refusal.reason if isinstance(refusal, RunRefused) else str(refusal.code)
    for kind, named in _CODES.items():
        if isinstance(refusal, kind):
            code = named
    return StepFailed(
        code=code,
        message=f"The sub-workflow was not started: {refusal.message}",
        retryable=refusal.code in _BUSY,
    )


def failure_of(child: Run) -> StepFailed:
    """Of a child that ended badly: with its own code, so that rules and retries know it."""
    error = child.error or {}
    code = str(error.get("code") or "SUBWORKFLOW_FAILED")
    if child.status is RunStatus.CANCELED:
        code = "SUBWORKFLOW_CANCELED"
    elif child.status is RunStatus.TIMED_OUT:
        code = "SUBWORKFLOW_TIMEOUT"
    said = error.get("message") or "it was canceled."
    return StepFailed(
        code=code,
        message=f"The sub-workflow ended {child.state}: {said}",
        retryable=not _PASSING.isdisjoint(classes_of(code, retryable=False)),
        details={
            "run": str(child.pk),
            "workflow": str(child.workflow_id),
            "status": child.state,
            "nodeId": error.get("nodeId"),
        },
    )


def too_large(child: Run) -> StepFailed:
    """Of a child whose result no event can hold: history has the names of its nodes only."""
    message = (
        "The result of the sub-workflow is too large to be passed on. Let its last nodes give less,"
        " or a reference to a stored object."
    )
    return StepFailed(code="OUTPUT_TOO_LARGE", message=message, details={"run": str(child.pk)})
