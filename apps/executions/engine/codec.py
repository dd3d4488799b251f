"""How an event is written to a row of history, and read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from apps.executions.engine.facts import fact
from apps.executions.engine.failure import Failure
from apps.executions.engine.history import (
    AttemptFailed,
    CancelReason,
    Event,
    Handling,
    RunCanceling,
    RunEnded,
    RunQueued,
    RunStarted,
    SkipReason,
    StepCanceled,
    StepCompleted,
    StepDispatched,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from apps.executions.engine.iteration_events import StepIterated, iterated_json, read_iterated
from apps.executions.engine.map_rows import MAP_DECODERS, MAP_TYPES, map_body
from apps.executions.engine.mapping import MapEvent
from apps.executions.engine.pausing import RunPaused, RunResumed
from apps.executions.engine.rescue_events import (
    RunCompensated,
    RunCompensating,
    StepCalled,
    StepCompensated,
    compensating_json,
    read_compensating,
)
from apps.executions.engine.seeds import (
    ItemGiven,
    Origin,
    StepGiven,
    StepReused,
    given_body,
    item_body,
    read_given,
    read_item,
    read_reused,
    reused_body,
)
from apps.executions.engine.state import RunStatus
from apps.executions.engine.storable import (
    BODY_LIMIT,
    INLINE_LIMIT,
    Unstorable,
    checked,
    clean_text,
    dumps,
    usage_from_json,
    usage_json,
    written,
)
from apps.executions.engine.storable import instant as _instant
from apps.executions.engine.storable import millis as _millis
from apps.executions.engine.wait_events import (
    SignalReceived,
    StepWaiting,
    read_signal,
    read_waiting,
    signal_json,
    waiting_json,
)


@fact
class Row:
    """One event as run_event holds it; `body` is JSON text."""

    type: str
    path: str | None = None
    attempt: int | None = None
    body: str | None = None


_Body: TypeAlias = Mapping[str, object] | None


def encode(event: Event) -> Row:
    """The row of an event. Raises Unstorable for a completion whose outputs cannot be stored."""
    return _ENCODERS[type(event)](event)


def decode(row_type: str, *, path: str | None, attempt: int | None, body: Any) -> Event:
    """The event of a row; `body` is the parsed JSON."""
    content = body or {}
    ended = _ENDED.get(row_type)
    if ended is not None:
        error = content.get("error")
        return RunEnded(status=ended, error=Failure.from_json(error) if error else None)
    return _DECODERS[row_type](path, attempt, content)


def result_text(outputs: Mapping[str, Any], *, limit: int) -> str:
    """A run's result: outputs by node; past `limit` bytes only the nodes' names."""
    try:
        return dumps(outputs, limit=limit)
    except Unstorable:
        return dumps({"$omitted": sorted(outputs)[:100]}, limit=limit)


def _attempt_body(event: AttemptFailed | StepFailed, **more: object) -> dict[str, object]:
    body: dict[str, object] = {"startedAt": _millis(event.started_at), **more}
    if usage := usage_json(event.usage):
        body["usage"] = usage
    return body


def _completed_row(event: StepCompleted) -> Row:
    outputs = written(event.outputs) if event.text is None else event.text
    text = f'{{"startedAt":{_millis(event.started_at)},"outputs":{outputs}'
    if more := _completed_more(event):
        text += "," + written(more)[1:-1]
    text = checked(text + "}", limit=INLINE_LIMIT + BODY_LIMIT + _room(event.conditions))
    return Row(type="step.completed", path=event.path, attempt=event.attempt, body=text)


def _completed_more(event: StepCompleted) -> dict[str, object]:
    """What a completion says beside its outputs."""
    body: dict[str, object] = {}
    if usage := usage_json(event.usage):
        body["usage"] = usage
    if event.conditions:
        body["conditions"] = event.conditions
    if event.signal is not None:
        body["signal"] = event.signal
    if event.origin is not None:
        body["origin"] = event.origin
    return body


def _attempt_failed_row(event: AttemptFailed) -> Row:
    body = _attempt_body(event, error=event.failure.to_json(), retryAt=_millis(event.retry_at))
    return _large_row("step.attempt_failed", body, event.path, event.attempt)


def _failed_row(event: StepFailed) -> Row:
    body = _attempt_body(event, error=event.failure.to_json(), handling=event.handling)
    if event.target is not None:
        body["target"] = event.target
    if event.conditions:
        body["conditions"] = event.conditions
    text = dumps(body, limit=BODY_LIMIT + _room(event.conditions))
    return Row(type="step.failed", path=event.path, attempt=event.attempt, body=text)


def _room(conditions: Mapping[str, bool]) -> int:
    """Bytes for the outcomes of conditions: the document bounds how many there are."""
    return sum(6 * len(name) + 16 for name in conditions)


def _map_row(event: MapEvent) -> Row:
    return _large_row(MAP_TYPES[type(event)], map_body(event), event.path, event.attempt)


def _large_row(name: str, body: _Body, path: str | None = None, attempt: int | None = None) -> Row:
    """What others may say at length, each part within its own limit."""
    text = None if body is None else dumps(body, limit=2 * INLINE_LIMIT + BODY_LIMIT)
    return Row(type=name, path=path, attempt=attempt, body=text)


def _run_row(name: str, **body: object) -> Row:
    kept = {key: value for key, value in body.items() if value is not None}
    return Row(type=name, body=dumps(kept, limit=BODY_LIMIT) if kept else None)


_ENCODERS: Final[Mapping[type[Event], Callable[[Any], Row]]] = {
    RunQueued: lambda e: _run_row("run.queued", trigger=e.trigger, by=e.by and clean_text(e.by)),
    RunStarted: lambda _: Row(type="run.started"),
    RunCanceling: lambda e: _run_row(
        "run.canceling", reason=e.reason, by=e.by and clean_text(e.by)
    ),
    RunEnded: lambda e: _run_row(
        f"run.{e.status.lower()}", error=e.error.to_json() if e.error else None
    ),
    StepDispatched: lambda e: _large_row("step.dispatched", {"pool": e.pool}, e.path, e.attempt),
    StepStarted: lambda e: _large_row(
        "step.started", {"startedAt": _millis(e.started_at)}, e.path, e.attempt
    ),
    StepCompleted: _completed_row,
    AttemptFailed: _attempt_failed_row,
    StepFailed: _failed_row,
    StepSkipped: lambda e: _large_row("step.skipped", {"reason": e.reason}, e.path),
    StepCanceled: lambda e: _large_row("step.canceled", None, e.path, e.attempt),
    StepWaiting: lambda e: _large_row("step.waiting", waiting_json(e), e.path, e.attempt),
    SignalReceived: lambda e: _large_row("signal.received", signal_json(e)),
    StepIterated: lambda e: _large_row("step.iterated", iterated_json(e), e.path, e.attempt),
    StepReused: lambda e: _large_row("step.reused", reused_body(e), e.path, e.attempt),
    StepGiven: lambda e: _large_row("step.given", given_body(e), e.path),
    ItemGiven: lambda e: _large_row("item.given", item_body(e)),
    RunPaused: lambda e: _run_row("run.paused", by=e.by and clean_text(e.by)),
    RunResumed: lambda e: _run_row("run.resumed", by=e.by and clean_text(e.by)),
    RunCompensating: lambda e: _run_row("run.compensating", **compensating_json(e)),
    RunCompensated: lambda e: _run_row("run.compensated", then=e.then),
    StepCalled: lambda e: _large_row("step.called", {"by": e.by}, e.path),
    StepCompensated: lambda e: _large_row("step.compensated", {"by": e.by}, e.path),
    **dict.fromkeys(MAP_TYPES, _map_row),
}

_ENDED: Final = {f"run.{status.lower()}": status for status in RunStatus if status.is_terminal}

_DECODERS: Final[Mapping[str, Callable[[Any, Any, Any], Event]]] = {
    "run.queued": lambda _p, _a, b: RunQueued(trigger=b["trigger"], by=b.get("by")),
    "run.started": lambda _p, _a, _b: RunStarted(),
    "run.canceling": lambda _p, _a, b: RunCanceling(
        reason=CancelReason(b["reason"]), by=b.get("by")
    ),
    "step.dispatched": lambda p, a, b: StepDispatched(path=p, attempt=a, pool=b["pool"]),
    "step.started": lambda p, a, b: StepStarted(
        path=p, attempt=a, started_at=_instant(b["startedAt"])
    ),
    "step.completed": lambda p, a, b: StepCompleted(
        path=p,
        attempt=a,
        outputs=b["outputs"],
        conditions=b.get("conditions", {}),
        usage=usage_from_json(b.get("usage", {})),
        started_at=_instant(b["startedAt"]),
        signal=b.get("signal"),
        origin=Origin(b["origin"]) if "origin" in b else None,
    ),
    "step.attempt_failed": lambda p, a, b: AttemptFailed(
        path=p,
        attempt=a,
        failure=Failure.from_json(b["error"]),
        usage=usage_from_json(b.get("usage", {})),
        started_at=_instant(b["startedAt"]),
        retry_at=_instant(b["retryAt"]),
    ),
    "step.failed": lambda p, a, b: StepFailed(
        path=p,
        attempt=a,
        failure=Failure.from_json(b["error"]),
        usage=usage_from_json(b.get("usage", {})),
        started_at=_instant(b["startedAt"]),
        handling=Handling(b["handling"]),
        conditions=b.get("conditions", {}),
        target=b.get("target"),
    ),
    "step.skipped": lambda p, _a, b: StepSkipped(path=p, reason=SkipReason(b["reason"])),
    "step.canceled": lambda p, a, _b: StepCanceled(path=p, attempt=a),
    "step.waiting": read_waiting,
    "run.paused": lambda _p, _a, b: RunPaused(by=b.get("by")),
    "run.resumed": lambda _p, _a, b: RunResumed(by=b.get("by")),
    "signal.received": lambda _p, _a, b: read_signal(b),
    "step.iterated": read_iterated,
    "step.reused": read_reused,
    "step.given": lambda p, _a, b: read_given(p, b),
    "item.given": lambda _p, _a, b: read_item(b),
    "run.compensating": lambda _p, _a, b: read_compensating(b),
    "run.compensated": lambda _p, _a, b: RunCompensated(then=b["then"]),
    "step.called": lambda p, _a, b: StepCalled(path=p, by=b["by"]),
    "step.compensated": lambda p, _a, b: StepCompensated(path=p, by=b["by"]),
    **MAP_DECODERS,
}
