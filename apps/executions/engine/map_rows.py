"""How what history and inboxes say of maps is written, and read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from apps.executions.engine.mapping import (
    FAILURE_LIMIT,
    ChunkCompleted,
    ChunkDispatched,
    ChunkResult,
    MapEvent,
    StepOpened,
)
from apps.executions.engine.storable import (
    BODY_LIMIT,
    dumps,
    instant,
    millis,
    usage_from_json,
    usage_json,
)
from apps.workflows.graph.mapping import MapOpening


def map_body(event: MapEvent) -> dict[str, object]:
    """What an event says beside path and attempt."""
    return opened_body(event) if isinstance(event, StepOpened) else chunk_body(event)


def opened_body(event: StepOpened) -> dict[str, object]:
    """What the event says beside path and attempt."""
    body: dict[str, object] = {
        "startedAt": millis(event.started_at),
        "opening": event.opening.to_json(),
    }
    if usage := usage_json(event.usage):
        body["usage"] = usage
    return body


def read_opened(path: str, attempt: int, body: Mapping[str, Any]) -> StepOpened:
    """The reverse of `opened_body`."""
    return StepOpened(
        path=path,
        attempt=attempt,
        opening=MapOpening.from_json(body["opening"]),
        usage=usage_from_json(body.get("usage", {})),
        started_at=instant(body["startedAt"]),
    )


def chunk_body(event: ChunkDispatched | ChunkCompleted) -> dict[str, object]:
    """What an event says beside path and attempt."""
    if isinstance(event, ChunkDispatched):
        return {"chunk": event.chunk, "pool": event.pool, **_undoes(event)}
    body: dict[str, object] = {
        "chunk": event.chunk,
        "done": event.done,
        "failed": event.failed,
        "attempts": event.attempts,
        **_undoes(event),
    }
    if event.misses:
        body |= {"missed": list(event.missed), "misses": event.misses, "cut": event.is_cut}
    if event.stopped:
        body["stopped"] = True
    if event.failure:
        body["failure"] = event.failure
    if usage := usage_json(event.usage):
        body["usage"] = usage
    return body


def read_completed(path: str, attempt: int, body: Mapping[str, Any]) -> ChunkCompleted:
    """The reverse of `chunk_body`."""
    return ChunkCompleted(
        path=path,
        attempt=attempt,
        chunk=body["chunk"],
        done=body["done"],
        failed=body["failed"],
        attempts=body.get("attempts", 0),
        stopped=body.get("stopped", False),
        failure=body.get("failure"),
        usage=usage_from_json(body.get("usage", {})),
        undoes=body.get("undoes", False),
        missed=tuple(body.get("missed", ())),
        misses=body.get("misses", 0),
        is_cut=body.get("cut", False),
    )


def _undoes(event: ChunkDispatched | ChunkCompleted) -> dict[str, object]:
    return {"undoes": True} if event.undoes else {}


def result_body(event: ChunkCompleted) -> str:
    """The inbox's JSON; the counts are the database's, added as the chunk ends."""
    body = {"path": event.path, "attempt": event.attempt, **chunk_body(event)}
    return dumps(body, limit=FAILURE_LIMIT + BODY_LIMIT)


def read_chunk(body: Mapping[str, Any]) -> ChunkResult:
    """The reverse of `result_body`."""
    return ChunkResult(event=read_completed(body["path"], body["attempt"], body))


def _read_dispatched(path: str, attempt: int, body: Mapping[str, Any]) -> ChunkDispatched:
    return ChunkDispatched(
        path=path,
        attempt=attempt,
        chunk=body["chunk"],
        pool=body["pool"],
        undoes=body.get("undoes", False),
    )


MAP_TYPES: Final[Mapping[type[MapEvent], str]] = {
    StepOpened: "step.opened",
    ChunkDispatched: "chunk.dispatched",
    ChunkCompleted: "chunk.completed",
}
MAP_DECODERS: Final[Mapping[str, Callable[[Any, Any, Any], MapEvent]]] = {
    "step.opened": read_opened,
    "chunk.dispatched": _read_dispatched,
    "chunk.completed": read_completed,
}
