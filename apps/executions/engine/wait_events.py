"""What history says of waits, and the words that end them: as values and as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from apps.executions.engine.ports import Decided, StepDone, StepFailed, Usage
from apps.executions.engine.storable import instant, millis, usage_from_json, usage_json
from apps.workflows.graph.declaration import Json
from apps.workflows.graph.waits import Wait, WaitKind

ANSWER: Final = "answer"
SIGNAL: Final = "signal"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepWaiting:
    """An attempt has begun to wait; `wait.until` is an instant of the database's clock."""

    path: str
    attempt: int
    started_at: dt.datetime
    wait: Wait
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalReceived:
    """A signal came; it is kept until a step that waits for its name takes it."""

    id: str
    """What makes it one signal, however often it is sent."""
    name: str
    key: str | None = None
    payload: Json = None
    by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepAnswer:
    """What a waiting step comes to; of an attempt that waits no more, nothing counts."""

    path: str
    attempt: int
    outcome: StepDone | StepFailed
    kind: WaitKind | None = None
    """Of the wait that was asked about: the same attempt may wait for somebody else by now."""


def wait_json(wait: Wait) -> dict[str, Json]:
    """Only what is set."""
    body: dict[str, Json] = {"kind": wait.kind.value}
    if wait.seconds is not None:
        body["seconds"] = wait.seconds
    if wait.until is not None:
        body["until"] = millis(wait.until)
    if wait.name:
        body["name"] = wait.name
    if wait.key is not None:
        body["key"] = wait.key
    if wait.payload:
        body["payload"] = dict(wait.payload)
    if wait.due is not None:
        body["due"] = dict(wait.due)
    return body


def read_wait(body: Mapping[str, Any]) -> Wait:
    """The reverse of `wait_json`."""
    until = body.get("until")
    return Wait(
        kind=WaitKind(body["kind"]),
        seconds=body.get("seconds"),
        until=None if until is None else instant(until),
        name=body.get("name", ""),
        key=body.get("key"),
        payload=body.get("payload", {}),
        due=body.get("due"),
    )


def waiting_json(event: StepWaiting) -> dict[str, Json]:
    """The body of `step.waiting`."""
    body: dict[str, Json] = {"startedAt": millis(event.started_at), **wait_json(event.wait)}
    if usage := usage_json(event.usage):
        body["usage"] = usage
    return body


def read_waiting(path: str, attempt: int, body: Mapping[str, Any]) -> StepWaiting:
    """The reverse of `waiting_json`."""
    return StepWaiting(
        path=path,
        attempt=attempt,
        started_at=instant(body["startedAt"]),
        wait=read_wait(body),
        usage=usage_from_json(body.get("usage", {})),
    )


def signal_json(signal: SignalReceived) -> dict[str, Json]:
    """The body of `signal.received`, and of the inbox's word."""
    body: dict[str, Json] = {"id": signal.id, "name": signal.name, "payload": signal.payload}
    if signal.key is not None:
        body["key"] = signal.key
    if signal.by is not None:
        body["by"] = signal.by
    return body


def read_signal(body: Mapping[str, Any]) -> SignalReceived:
    """The reverse of `signal_json`."""
    return SignalReceived(
        id=body["id"],
        name=body["name"],
        key=body.get("key"),
        payload=body.get("payload"),
        by=body.get("by"),
    )


def answer_json(answer: StepAnswer) -> dict[str, Json]:
    """The inbox's word: outputs, or the failure."""
    body: dict[str, Json] = {"path": answer.path, "attempt": answer.attempt, "kind": answer.kind}
    outcome = answer.outcome
    if isinstance(outcome, StepDone):
        return {**body, "outputs": dict(outcome.outputs)}
    return {
        **body,
        "code": outcome.code,
        "message": outcome.message,
        "retryable": outcome.retryable,
        "details": dict(outcome.details),
        "decided": outcome.decided,
    }


def read_answer(body: Mapping[str, Any]) -> StepAnswer:
    """The reverse of `answer_json`."""
    outcome: StepDone | StepFailed
    if "outputs" in body:
        outcome = StepDone(outputs=body["outputs"])
    else:
        outcome = StepFailed(
            code=body["code"],
            message=body["message"],
            retryable=body["retryable"],
            details=body["details"],
            decided=Decided(body["decided"]) if body.get("decided") else None,
        )
    kind = body.get("kind")
    return StepAnswer(
        path=body["path"],
        attempt=body["attempt"],
        outcome=outcome,
        kind=None if kind is None else WaitKind(kind),
    )
