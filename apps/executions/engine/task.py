"""A dispatched step: what its owner hands to another process, and what comes back by the inbox."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from apps.executions.engine.ports import (
    StepDone,
    StepFailed,
    StepOpens,
    StepOutcome,
    StepRepeats,
    StepStopped,
    StepWaits,
    StopReason,
    TransactionalWrite,
)
from apps.executions.engine.seeds import Origin
from apps.executions.engine.storable import (
    BODY_LIMIT,
    INLINE_LIMIT,
    Unstorable,
    dumps,
    usage_from_json,
    usage_json,
)
from apps.executions.engine.wait_events import read_wait, wait_json
from apps.workflows.graph.mapping import MapOpening

RESULT: Final = "task_result"
STARTED: Final = "task_started"
RESULT_LIMIT: Final = INLINE_LIMIT + BODY_LIMIT
WRITES_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of declared writes: at most 100 values of 32 KiB each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One attempt of a step that another process shall run; a row beside the event that says so."""

    path: str
    attempt: int
    pool: str
    slots: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStarted:
    """A worker has been running the attempt for a while: those who watch may know."""

    path: str
    attempt: int
    started_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskResult:
    """What became of the attempt. `fraction` (0 ≤ f < 1) is its share of chance for the backoff."""

    path: str
    attempt: int
    started_at: dt.datetime
    outcome: StepOutcome
    fraction: float = 0.0


def result_body(result: TaskResult) -> str:
    """The inbox's JSON; an outcome that cannot be stored becomes a failure that says so."""
    try:
        return _body(result, result.outcome)
    except Unstorable as error:
        refused = StepFailed(code=error.code, message=str(error), usage=result.outcome.usage)
        return _body(result, refused)


def started_body(notice: TaskStarted) -> str:
    """The inbox's JSON."""
    body = {"path": notice.path, "attempt": notice.attempt, "startedAt": _text(notice.started_at)}
    return dumps(body, limit=BODY_LIMIT)


def read_started(body: Mapping[str, Any]) -> TaskStarted:
    """The reverse of `started_body`."""
    return TaskStarted(
        path=body["path"], attempt=body["attempt"], started_at=_instant(body["startedAt"])
    )


def read_result(body: Mapping[str, Any]) -> TaskResult:
    """The reverse of `result_body`."""
    return TaskResult(
        path=body["path"],
        attempt=body["attempt"],
        started_at=_instant(body["startedAt"]),
        outcome=_outcome(body),
        fraction=body.get("fraction", 0.0),
    )


def _body(result: TaskResult, outcome: StepOutcome) -> str:
    body: dict[str, object] = {
        "path": result.path,
        "attempt": result.attempt,
        "startedAt": _text(result.started_at),
        "fraction": result.fraction,
        "usage": usage_json(outcome.usage),
    }
    limit = RESULT_LIMIT
    match outcome:
        case StepDone():
            body |= {"outputs": outcome.outputs, "conditions": outcome.conditions}
            if outcome.origin is not None:
                body["origin"] = outcome.origin
            dumps(body, limit=limit)
            writes = [[write.key, write.value] for write in outcome.writes]
            body |= {"writes": writes} if writes else {}
            limit += WRITES_LIMIT if writes else 0
        case StepFailed():
            body |= {
                "code": outcome.code,
                "message": outcome.message,
                "retryable": outcome.retryable,
                "retryAfter": outcome.retry_after_seconds,
                "details": outcome.details,
                "conditions": outcome.conditions,
            }
        case StepRepeats():
            body["values"] = outcome.values
        case StepStopped():
            body["stopped"] = outcome.reason
        case StepWaits():
            body["wait"] = wait_json(outcome.wait)
        case StepOpens():
            body["opening"] = outcome.opening.to_json()
        case _:  # pragma: no cover - mypy proves that nothing is left
            assert_never(outcome)
    return dumps(body, limit=limit)


def _outcome(body: Mapping[str, Any]) -> StepOutcome:
    usage = usage_from_json(body.get("usage", {}))
    if "stopped" in body:
        return StepStopped(reason=StopReason(body["stopped"]), usage=usage)
    if "wait" in body:
        return StepWaits(wait=read_wait(body["wait"]), usage=usage)
    if "values" in body:
        return StepRepeats(values=body["values"], usage=usage)
    if "opening" in body:
        return StepOpens(opening=MapOpening.from_json(body["opening"]), usage=usage)
    conditions = body.get("conditions", {})
    if "code" in body:
        return StepFailed(
            code=body["code"],
            message=body["message"],
            retryable=body["retryable"],
            retry_after_seconds=body["retryAfter"],
            details=body["details"],
            conditions=conditions,
            usage=usage,
        )
    writes = tuple(
        TransactionalWrite(key=key, value=value) for key, value in body.get("writes", ())
    )
    return StepDone(
        outputs=body["outputs"],
        conditions=conditions,
        usage=usage,
        writes=writes,
        origin=Origin(body["origin"]) if "origin" in body else None,
    )


def _text(at: dt.datetime) -> str:
    return at.isoformat()


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
