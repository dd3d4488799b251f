"""A person's word on a step that waits for it: an effect in doubt, or an escalated failure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from apps.executions import policies
from apps.executions.actions.asking import close_questions
from apps.executions.actions.finding import found
from apps.executions.actions.telling import answer_step
from apps.executions.engine.asking import HUMAN_KINDS, again, given_up
from apps.executions.engine.ports import StepDone, StepFailed
from apps.executions.engine.state import StepStatus
from apps.executions.engine.storable import INLINE_LIMIT, Unstorable, dumps
from apps.executions.engine.wait_events import StepAnswer, StepWaiting
from apps.executions.errors import ExecutionEnded, NothingToResolve
from apps.executions.history import latest_event
from apps.executions.models import Run
from apps.kit.errors import Refusal
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.policies import require

COMMENT_LIMIT: Final = 1_000
OUTCOMES: Final = (
    StepStatus.SUCCEEDED,
    StepStatus.FAILED,
    StepStatus.READY,
    StepStatus.SKIPPED,
)


def resolve_step(
    *,
    actor: Actor,
    run_id: uuid.UUID,
    path: str,
    outcome: StepStatus,
    output: Mapping[str, Any] | None = None,
    comment: str,
) -> Run:
    """Say what became of a step that waits for a person.

    SUCCEEDED with `output` by port; FAILED: the failure stands, and the step's other rules decide;
    READY: it runs once more; SKIPPED: nothing leaves it. The first word counts. Raises NotFound,
    ExecutionEnded, NothingToResolve, Refusal for an outcome, output or comment that cannot be.
    """
    require(policies.can_resolve_step(actor), "decide about steps")
    if outcome not in OUTCOMES:
        raise Refusal("A step is SUCCEEDED, FAILED, READY or SKIPPED.", path=("outcome",))
    if not 1 <= len(comment.strip()) <= COMMENT_LIMIT or "\x00" in comment:
        message = f"Say why, in 1 to {COMMENT_LIMIT:,} characters: it is kept in the audit log."
        raise Refusal(message, path=("comment",))
    if output is not None and outcome is not StepStatus.SUCCEEDED:
        raise Refusal("Only a step that succeeded has an output.", path=("output",))
    _require_storable(output or {})
    with scope.transaction():
        run = found(run_id)
        if run.finished_at is not None:
            raise ExecutionEnded(state=run.state)
        waiting = latest_event(run_id, path)
        if not isinstance(waiting, StepWaiting) or waiting.wait.kind not in HUMAN_KINDS:
            raise NothingToResolve(path)
        answer = _answer(waiting, outcome, output or {}, f"({actor.name}: {comment.strip()})")
        told = StepAnswer(
            path=path, attempt=waiting.attempt, outcome=answer, kind=waiting.wait.kind
        )
        answer_step(run_id=run_id, answer=told)
        close_questions(run_id=run_id, path=path)
        audit.record(
            actor=actor,
            action="run.resolve",
            target=f"Run:{run_id}",
            after={"step": path, "outcome": str(outcome), "comment": comment.strip()},
        )
        return run


def _answer(
    waiting: StepWaiting, outcome: StepStatus, output: Mapping[str, Any], comment: str
) -> StepDone | StepFailed:
    if outcome is StepStatus.READY:
        return again(waiting.wait)
    if outcome is StepStatus.FAILED:
        return given_up(waiting.wait, message=comment)
    return StepDone(outputs=output if outcome is StepStatus.SUCCEEDED else {})


def _require_storable(output: Mapping[str, Any]) -> None:
    try:
        dumps(output, limit=INLINE_LIMIT)
    except Unstorable as error:
        raise Refusal(str(error), path=("output",)) from error
