"""Small plans and scripts for directed cases of a slice."""

from __future__ import annotations

from typing import Any

from apps.executions.engine.failure import Failure
from apps.executions.engine.history import (
    Handling,
    SkipReason,
    StepCompleted,
    StepSkipped,
)
from apps.executions.engine.history import (
    StepFailed as FailedEvent,
)
from apps.executions.engine.plan import Plan, compile_plan
from apps.executions.engine.ports import (
    StepCall,
    StepFailed,
    StepOutcome,
    Usage,
)
from tests.engine.simulator import START, Script, World, echo
from tests.factories.graphs import CATALOGUE, document


def plan_of(nodes: list[dict[str, Any]], links: Any = (), **configuration: Any) -> Plan:
    return compile_plan(document(nodes, links, **configuration), CATALOGUE)


def failing(code: str = "NO", *, times: int = 99, **fields: Any) -> Script:
    """Attempts up to `times` fail, the others say their name."""

    def answer(call: StepCall) -> StepOutcome:
        if call.attempt <= times:
            return StepFailed(code=code, message="no", **fields)
        return echo(call)

    return answer


def only(path: str, script: Script) -> Script:
    """A script for one step; the others echo."""
    return lambda call: script(call) if call.path == path else echo(call)


def types(world: World) -> list[str]:
    return [f"{row.type} {row.path or ''}".strip() for row in world.rows]


def statuses(world: World) -> dict[str, str]:
    state = world.folded()
    pairs = zip(state.steps, state.records, strict=True)
    return {step.path: record.status.value for step, record in pairs}


def completed(path: str, **outputs: Any) -> StepCompleted:
    return StepCompleted(
        path=path, attempt=1, outputs=outputs, conditions={}, usage=Usage(), started_at=START
    )


def failed(path: str, *, handling: Handling = Handling.FAIL) -> FailedEvent:
    return FailedEvent(
        path=path,
        attempt=1,
        failure=Failure(code="NO", message="no", path=path, attempt=1),
        usage=Usage(),
        started_at=START,
        handling=handling,
        conditions={},
    )


def skipped(path: str) -> StepSkipped:
    return StepSkipped(path=path, reason=SkipReason.NOT_REACHED)
