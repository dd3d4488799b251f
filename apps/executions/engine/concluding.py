"""What an attempt's outcome means for its step: the one event that records it."""

from __future__ import annotations

import datetime as dt

from apps.executions.engine import ports
from apps.executions.engine.asking import DOUBTFUL, FOUND_BY, is_unsure, question, rule_for
from apps.executions.engine.failure import Failure
from apps.executions.engine.history import (
    AttemptFailed,
    Handling,
    StepCanceled,
    StepCompleted,
    StepEvent,
    StepFailed,
)
from apps.executions.engine.iteration_events import StepIterated
from apps.executions.engine.mapping import opened
from apps.executions.engine.on_error import NO_RULE
from apps.executions.engine.retry_budget import Retries
from apps.executions.engine.step import Step
from apps.executions.engine.waits import begun
from apps.workflows.graph.declaration import Effect

STEP_TIMEOUT = "STEP_TIMEOUT"
WORKER_LOST = "WORKER_LOST"


def conclude(
    step: Step,
    outcome: ports.StepOutcome,
    *,
    attempt: int,
    started_at: dt.datetime,
    now: dt.datetime,
    retries: Retries,
    fraction: float,
) -> StepEvent | None:
    """What an attempt's outcome means; None when it was cut off and leaves no trace.

    `fraction` (0 ≤ f < 1) is the jitter of the backoff; a retry that would come too late for the
    run, or that `retries` have no room for, does not come at all.
    """
    if isinstance(outcome, ports.StepDone):
        return StepCompleted(
            path=step.path,
            attempt=attempt,
            outputs=outcome.outputs,
            conditions=outcome.conditions,
            usage=outcome.usage,
            started_at=started_at,
            signal=outcome.signal,
            origin=outcome.origin,
            text=outcome.text,
        )
    if isinstance(outcome, ports.StepWaits):
        return begun(step, outcome, attempt=attempt, started_at=started_at)
    if isinstance(outcome, ports.StepRepeats):
        return StepIterated(
            path=step.path,
            attempt=attempt,
            index=outcome.index,
            values=outcome.values,
            started_at=started_at,
            usage=outcome.usage,
        )
    if isinstance(outcome, ports.StepOpens):
        parks = step.body is not None and step.body.parks
        return opened(step.path, outcome, attempt=attempt, started_at=started_at, parks=parks)
    if isinstance(outcome, ports.StepStopped):
        is_canceled = outcome.reason is ports.StopReason.CANCELED
        return StepCanceled(path=step.path, attempt=attempt) if is_canceled else None
    return _fell(
        step,
        outcome,
        attempt=attempt,
        started_at=started_at,
        now=now,
        retries=retries,
        fraction=fraction,
    )


def _fell(
    step: Step,
    outcome: ports.StepFailed,
    *,
    attempt: int,
    started_at: dt.datetime,
    now: dt.datetime,
    retries: Retries,
    fraction: float,
) -> StepEvent:
    """Another attempt, a person's word, or the end."""
    retry_before = retries.before(step, now)
    retry_at = _retry_at(step, outcome, attempt, now, fraction)
    if retry_at is not None and (retry_before is None or retry_at < retry_before):
        refusal = None if outcome.decided else retries.refusal(outcome, now)
        if refusal is None:
            return AttemptFailed(
                path=step.path,
                attempt=attempt,
                failure=_failure(step, outcome, attempt),
                usage=outcome.usage,
                started_at=started_at,
                retry_at=retry_at,
            )
        outcome = refusal
    failure = _failure(step, outcome, attempt)
    asked = question(step, failure, outcome, attempt=attempt, started_at=started_at, now=now)
    if asked is not None and (retry_before is None or now < retry_before):
        return asked
    return failed(step, failure, outcome, attempt=attempt, started_at=started_at)


def _failure(step: Step, outcome: ports.StepFailed, attempt: int) -> Failure:
    return Failure(
        code=outcome.code,
        message=outcome.message,
        path=step.path,
        attempt=attempt,
        details=outcome.details,
    )


def failed(
    step: Step,
    failure: Failure,
    outcome: ports.StepFailed,
    *,
    attempt: int,
    started_at: dt.datetime,
) -> StepFailed:
    """The step's end, as its rules have it; where nobody can be asked any more, it fails."""
    rule = rule_for(step, outcome)
    if rule.handling is Handling.ESCALATE or rule.workflow is not None:
        rule = NO_RULE
    if rule.handling is Handling.ROUTE and not _has_route(step, outcome):
        rule = NO_RULE
    return StepFailed(
        path=step.path,
        attempt=attempt,
        failure=failure,
        usage=outcome.usage,
        started_at=started_at,
        handling=rule.handling,
        target=rule.target,
        conditions=outcome.conditions,
    )


def _has_route(step: Step, outcome: ports.StepFailed) -> bool:
    """Whether the failure can leave by the error port; a failure nobody receives fails the run."""
    return any(
        not link.conditional or outcome.conditions.get(link.id, True) for link in step.error_links
    )


def _retry_at(
    step: Step, outcome: ports.StepFailed, attempt: int, now: dt.datetime, fraction: float
) -> dt.datetime | None:
    if outcome.decided is ports.Decided.AGAIN:
        return now
    is_final = outcome.decided is not None
    if is_final or (step.effect is Effect.UNSAFE and outcome.code in DOUBTFUL):
        return None
    if is_unsure(step, outcome.code, attempt=attempt):
        return now + dt.timedelta(
            seconds=step.retry.delay_seconds(after_attempt=attempt, fraction=fraction)
        )
    # A doubt that came of asking is tried again as what the asking met.
    code = str(outcome.details.get(FOUND_BY, outcome.code))
    if not step.retry.covers(code, retryable=outcome.retryable):
        return None
    if not step.retry.has_left(after_attempt=attempt):
        return None
    delay = step.retry.delay_seconds(
        after_attempt=attempt,
        fraction=fraction,
        retry_after_seconds=outcome.retry_after_seconds,
    )
    return now + dt.timedelta(seconds=delay)
