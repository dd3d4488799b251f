"""Failures that somebody else decides: a person, or a workflow that stands in for the step."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any, Final

from apps.executions.engine.failure import Failure
from apps.executions.engine.history import Handling
from apps.executions.engine.on_error import NO_RULE, Rule
from apps.executions.engine.ports import Decided, StepFailed
from apps.executions.engine.retry_budget import cause_of
from apps.executions.engine.step import Step
from apps.executions.engine.wait_events import StepWaiting
from apps.workflows.graph.declaration import ERROR_PORT, Effect
from apps.workflows.graph.interface import interface_of
from apps.workflows.graph.waits import Wait, WaitKind

EFFECT_IN_DOUBT: Final = "EFFECT_IN_DOUBT"
FOUND_BY: Final = "find"
"""In a doubt's details: with which code the asking for the effect failed."""
DOUBTFUL: Final = frozenset(
    {
        EFFECT_IN_DOUBT,
        "STEP_TIMEOUT",
        "WORKER_LOST",
        "PROCESS_DIED",
        "MEMORY_EXCEEDED",
        "CPU_EXCEEDED",
        "LIMIT_EXCEEDED",
        "NODE_CRASHED",
    }
)
"""Codes of attempts that were cut off: whether an UNSAFE effect happened, nobody knows."""
HUMAN_KINDS: Final = frozenset({WaitKind.DOUBT, WaitKind.ESCALATION})


def rule_for(step: Step, outcome: StepFailed) -> Rule:
    """The first rule that matches; once a person has decided, none asks again.

    Nor does a workflow stand in where one has failed to.
    """
    rules = step.on_error
    if outcome.decided is not None:
        rules = tuple(rule for rule in rules if rule.handling is not Handling.ESCALATE)
    if outcome.decided is Decided.UNHELPED:
        rules = tuple(rule for rule in rules if rule.workflow is None)
    codes = {outcome.code, cause_of(outcome)}
    matching = (
        rule
        for rule in rules
        if any(rule.matches(code, retryable=outcome.retryable) for code in codes)
    )
    return next(matching, NO_RULE)


def question(
    step: Step,
    failure: Failure,
    outcome: StepFailed,
    *,
    attempt: int,
    started_at: dt.datetime,
    now: dt.datetime,
) -> StepWaiting | None:
    """The wait for a person's word, or for a workflow, where the failure is not ours to decide.

    A rule that names the doubt (by code or class) wins over asking.
    """
    rule = rule_for(step, outcome)
    in_doubt = outcome.decided is None and _is_doubt(step, cause_of(outcome))
    if rule.handling is Handling.ESCALATE:
        seconds = rule.seconds
    elif in_doubt and not (rule.codes or rule.classes):
        seconds = None
    elif rule.workflow is not None:
        wait = _stand_in(step, failure, outcome, rule.workflow)
        return StepWaiting(
            path=step.path, attempt=attempt, started_at=started_at, wait=wait, usage=outcome.usage
        )
    else:
        return None
    wait = Wait(
        kind=WaitKind.DOUBT if in_doubt else WaitKind.ESCALATION,
        until=None if seconds is None else now + dt.timedelta(seconds=seconds),
        payload={"failure": failure.to_json(), "retryable": outcome.retryable},
    )
    return StepWaiting(
        path=step.path, attempt=attempt, started_at=started_at, wait=wait, usage=outcome.usage
    )


def is_unsure(step: Step, code: str, *, attempt: int) -> bool:
    """Whether the last attempt was cut off of a step whose effect can be asked for: once more."""
    if step.effect is not Effect.RECONCILABLE or attempt != step.retry.max_attempts:
        return False
    return code in DOUBTFUL and code != EFFECT_IN_DOUBT


def _is_doubt(step: Step, code: str) -> bool:
    """Whether nobody knows if the effect happened, not even who can be asked for it."""
    if step.effect is Effect.RECONCILABLE:
        return code == EFFECT_IN_DOUBT
    return step.effect is Effect.UNSAFE and code in DOUBTFUL


def calling(step: Step, failure: Failure, outcome: StepFailed) -> Wait | None:
    """The wait for a workflow that stands in for a container whose body has failed."""
    workflow = rule_for(step, outcome).workflow
    return None if workflow is None else _stand_in(step, failure, outcome, workflow)


def _stand_in(step: Step, failure: Failure, outcome: StepFailed, workflow: str) -> Wait:
    """For a run of that workflow; what it gives leaves by the step's own ports."""
    ports = interface_of(step.node, step.node_type).outputs
    return Wait(
        kind=WaitKind.CHILD,
        payload={
            "workflow": workflow,
            "failure": failure.to_json(),
            "retryable": outcome.retryable,
            "ports": [
                name for name, port in ports.items() if name != ERROR_PORT and not port.inner
            ],
        },
    )


def unhelped(wait: Wait, *, message: str) -> StepFailed:
    """The failure that a workflow was to make up for, and did not."""
    return replace(given_up(wait, message=message), decided=Decided.UNHELPED)


def unanswered(wait: Wait) -> StepFailed:
    """Nobody has decided in time, or can be asked: the failure stands."""
    stands = given_up(wait, message=None)
    return replace(stands, decided=Decided.UNHELPED) if wait.kind is WaitKind.CHILD else stands


def given_up(wait: Wait, *, message: str | None) -> StepFailed:
    """The failure a person was asked about, as final; with what the person says of it."""
    failure: dict[str, Any] = dict(wait.payload["failure"])
    told = str(failure["message"])
    return StepFailed(
        code=failure["code"],
        message=told if message is None else f"{told} {message}",
        retryable=bool(wait.payload.get("retryable")),
        details=failure.get("details", {}),
        decided=Decided.FAIL,
    )


def again(wait: Wait) -> StepFailed:
    """The failure a person was asked about, to be tried once more."""
    return replace(given_up(wait, message=None), decided=Decided.AGAIN)
