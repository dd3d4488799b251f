"""The engine's SQL functions as typed calls."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.codec import decode
from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.history import Event
from apps.executions.engine.map_rows import read_chunk
from apps.executions.engine.mapping import CHUNK_RESULT, ChunkResult
from apps.executions.engine.pausing import PAUSE, RESUME, PauseRequest
from apps.executions.engine.ports import StepCall
from apps.executions.engine.record import Totals
from apps.executions.engine.slice_ports import Batch, Change, ChunkClaim, Claim, Inbox, TaskClaim
from apps.executions.engine.task import (
    RESULT,
    STARTED,
    TaskResult,
    TaskStarted,
    read_result,
    read_started,
)
from apps.executions.engine.wait_events import ANSWER, SIGNAL, read_answer, read_signal
from apps.executions.store.connections import Connection

_CLAIM: Final = "SELECT * FROM engine_claim_7(%s::uuid, %s::text, %s, %s::uuid[], %s::float8[])"
_CLAIM_EXPECTED: Final = (
    "SELECT * FROM engine_claim_expected_7("
    "%s::uuid, %s::uuid, %s::text, %s, %s::uuid[], %s::float8[])"
)
ABI: Final = 7
"""The release of SQL functions that this process calls; those of the one before stay."""
_HEAD: Final = "SELECT head, fence FROM engine_head_1(%s::uuid, %s::uuid)"
_HISTORY: Final = "SELECT * FROM engine_history_1(%s::uuid, %s::uuid, %s::int)"
_INBOX: Final = "SELECT * FROM engine_inbox_1(%s::uuid, %s::uuid)"
_RECALL: Final = "SELECT engine_recall_tasks_4(%s::uuid, %s::uuid, %s::uuid, %s::text[])"
_REGISTER: Final = (
    "INSERT INTO worker (id, host, pid, pools, slots, lease_until, labels, abi)"
    " VALUES (%s, %s, %s, %s::text[], %s, clock_timestamp() + %s * interval '1 second',"
    " %s::text[], %s)"
)
_BEAT: Final = "SELECT engine_beat_1(%s::uuid, %s::float8)"
_MAIL: Final = "SELECT id FROM work_item WHERE worker_id = %s AND has_mail"
_LEASED: Final = "SELECT id, token FROM work_item WHERE worker_id = %s"
_GIVE_UP: Final = "SELECT engine_give_up_4(%s::bigint, %s::uuid, %s, false)"
_LEAVE: Final = "DELETE FROM worker WHERE id = %s"
_ENTER: Final = "SELECT engine_enter_5(%s::uuid, %s::uuid, %s::uuid, %s::text, %s::int, %s::bigint)"
_LEAVE_KEY: Final = "SELECT engine_leave_3(%s::uuid, %s::uuid, %s::text)"
_DRAINING: Final = "UPDATE worker SET draining = true WHERE id = %s"
_TOLD: Final = "SELECT draining FROM worker WHERE id = %s"
_CROWDED: Final = (
    "SELECT EXISTS (SELECT FROM lane WHERE pool = ANY (%s::text[]) AND has_ready"
    " AND (blocked_until IS NULL OR blocked_until <= clock_timestamp()))"
)
_LOG: Final = (
    "SELECT engine_log_1(%s::uuid, %s::uuid[], %s::text[], %s::int[], %s::text[], %s::text[],"
    " %s::text[], %s::jsonb[], %s::timestamptz[])"
)
_PAUSES: Final = (PAUSE, RESUME)
_TASK_WORDS: Final[Mapping[str, Callable[[Any], TaskStarted | TaskResult | ChunkResult]]] = {
    RESULT: read_result,
    STARTED: read_started,
    CHUNK_RESULT: read_chunk,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One row of run_log."""

    tenant_id: UUID
    run_id: UUID
    path: str
    attempt: int
    kind: str
    level: str
    message: str
    fields: str | None
    at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Posted:
    """A batch of one run on its way to the writer."""

    claim: Claim
    batch: Batch


def claim(
    connection: Connection,
    *,
    worker_id: UUID,
    pool: str,
    want: int,
    charges: Mapping[UUID, float],
    expected: UUID | None = None,
) -> list[Claim]:
    """Lease up to `want` runs and tasks; `charges`: slot-milliseconds by tenant since the last.

    While the run `expected` is being written this waits, some milliseconds at most.
    """
    tenants, used = list(charges) or None, list(charges.values()) or None
    crashpoint("claim.begun")
    given = (worker_id, pool, want, tenants, used)
    if expected is None:
        rows = connection.execute(_CLAIM, given).fetchall()
    else:
        rows = connection.execute(_CLAIM_EXPECTED, (expected, *given)).fetchall()
    if rows:
        crashpoint("claim.committed")
    return [_claim(row, pool) for row in rows]


def head(connection: Connection, claim: Claim) -> tuple[int | None, UUID | None]:
    """Where a run stands: its head and its fence."""
    row = connection.execute(_HEAD, (claim.tenant_id, claim.run_id)).fetchone()
    return (row[0], row[1]) if row else (None, None)


def history(connection: Connection, claim: Claim, *, after: int = 0) -> list[Event]:
    """The events of a run behind a sequence, in order."""
    rows = connection.execute(_HISTORY, (claim.tenant_id, claim.run_id, after)).fetchall()
    return [decode(kind, path=path, attempt=n, body=body) for kind, path, n, body in rows]


def recall(connection: Connection, claim: Claim, paths: Sequence[str]) -> None:
    """Ask the tasks of these steps to stop, if the run is still ours; may be repeated."""
    connection.execute(_RECALL, (claim.tenant_id, claim.run_id, claim.token, list(paths)))


def inbox(connection: Connection, claim: Claim, *, read: Collection[UUID] = ()) -> Inbox:
    """What the run has not consumed yet; of what it has `read`, the ids alone."""
    unread = connection.execute(_INBOX, (claim.tenant_id, claim.run_id)).fetchall()
    ids = tuple(row[0] for row in unread)
    rows = [row for row in unread if row[0] not in read] if read else unread
    cancel = next((body or {} for _, kind, body in rows if kind == "cancel"), None)
    return Inbox(
        ids=ids,
        cancel=None if cancel is None else CancelRequest(by=cancel.get("by")),
        tasks=tuple(_TASK_WORDS[kind](body) for _, kind, body in rows if kind in _TASK_WORDS),
        pause=next(
            (_pause(kind, body) for _, kind, body in reversed(rows) if kind in _PAUSES), None
        ),
        signals=tuple(read_signal(body) for _, kind, body in rows if kind == SIGNAL),
        answers=tuple(read_answer(body) for _, kind, body in rows if kind == ANSWER),
    )


def _pause(kind: str, body: Any) -> PauseRequest:
    return PauseRequest(is_wanted=kind == PAUSE, by=(body or {}).get("by"))


def register(  # noqa: PLR0913 - one row, every column by its name
    connection: Connection,
    *,
    worker_id: UUID,
    host: str,
    pid: int,
    pools: Sequence[str],
    slots: int,
    lease_seconds: float,
    labels: Sequence[str] = (),
) -> None:
    """A new incarnation. Raises UniqueViolation for an id that lived before."""
    values = (worker_id, host, pid, list(pools), slots, lease_seconds, list(labels), ABI)
    connection.execute(_REGISTER, values)


def beat(connection: Connection, *, worker_id: UUID, lease_seconds: float) -> dt.datetime | None:
    """Renew the lease; the database's time, or None when the incarnation is dead."""
    crashpoint("beat.begun")
    row = connection.execute(_BEAT, (worker_id, lease_seconds)).fetchone()
    crashpoint("beat.committed")
    return row[0] if row else None


def mail(connection: Connection, *, worker_id: UUID) -> set[int]:
    """Leased items: runs with something in their inbox, tasks that shall stop."""
    return {row[0] for row in connection.execute(_MAIL, (worker_id,)).fetchall()}


def is_crowded(connection: Connection, *, pools: Sequence[str]) -> bool:
    """Whether a lane has something to claim."""
    row = connection.execute(_CROWDED, (list(pools),)).fetchone()
    return row is not None and bool(row[0])


def reap(connection: Connection, *, lease_seconds: float) -> set[str]:
    """Make items of dead workers ready; the pools that got some."""
    rows = connection.execute("SELECT engine_reap_5(%s::float8)", (lease_seconds,)).fetchall()
    crashpoint("reap.committed")
    return {row[0] for row in rows}


def tidy(connection: Connection) -> set[str]:
    """Bring back what was recalled and nobody has, and forget places of ended runs; the pools."""
    return {row[0] for row in connection.execute("SELECT engine_tidy_5()").fetchall()}


def fire_timers(connection: Connection) -> set[str]:
    """Make runs ready whose time has come; the pools that got some."""
    rows = connection.execute("SELECT engine_timers_1()").fetchall()
    if rows:
        crashpoint("timers.committed")
    return {row[0] for row in rows}


def wake(connection: Connection) -> set[str]:
    """Let chunks go on whose time has come; the pools that got some."""
    return {row[0] for row in connection.execute("SELECT engine_wake_5()").fetchall()}


def open_gates(connection: Connection) -> set[str]:
    """Let runs begin whose workflow's bounds have room again; the pools that got some."""
    return {row[0] for row in connection.execute("SELECT engine_gates_3()").fetchall()}


def enter_key(
    connection: Connection, call: StepCall, gate: UUID, *, most: int, item_id: int | None
) -> bool:
    """Take one of the places behind a gate; whether the step has one now.

    `item_id`: the chunk whose item the step is of.
    """
    given = (call.tenant_id, gate, call.run_id, call.path, most, item_id)
    row = connection.execute(_ENTER, given).fetchone()
    return row is not None and bool(row[0])


def leave_key(connection: Connection, claim: Claim, *, path: str) -> None:
    """Give the places of a step back."""
    connection.execute(_LEAVE_KEY, (claim.tenant_id, claim.run_id, path))


def release(connection: Connection, *, worker_id: UUID, items: Sequence[int] | None) -> None:
    """Give items back (all of the worker's when None), without counting a crash."""
    given = None if items is None else list(items)
    connection.execute("SELECT engine_release_5(%s::uuid, %s::bigint[])", (worker_id, given))
    crashpoint("drain.released")


def leased(connection: Connection, *, worker_id: UUID) -> dict[int, UUID]:
    """Tokens of the items that the database counts as this worker's."""
    return {row[0]: row[1] for row in connection.execute(_LEASED, (worker_id,)).fetchall()}


def give_up(connection: Connection, *, item_id: int, token: UUID, broken: bool) -> None:
    """Drop an item: it is ready again; `broken`, and one crash nearer to its end."""
    connection.execute(_GIVE_UP, (item_id, token, broken))


def start_draining(connection: Connection, *, worker_id: UUID) -> None:
    """Say so in the worker's row."""
    crashpoint("drain.begun")
    connection.execute(_DRAINING, (worker_id,))


def is_told_to_drain(connection: Connection, *, worker_id: UUID) -> bool:
    """Whether an operator has asked this worker to start nothing more."""
    row = connection.execute(_TOLD, (worker_id,)).fetchone()
    return row is not None and bool(row[0])


def leave(connection: Connection, *, worker_id: UUID) -> None:
    """The incarnation ends in good order."""
    connection.execute(_LEAVE, (worker_id,))


def write_log(connection: Connection, tenant_id: UUID, lines: Sequence[Line]) -> None:
    """Lines of one tenant, in order."""
    connection.execute(
        _LOG,
        (
            tenant_id,
            [line.run_id for line in lines],
            [line.path for line in lines],
            [line.attempt for line in lines],
            [line.kind for line in lines],
            [line.level for line in lines],
            [line.message for line in lines],
            [line.fields for line in lines],
            [line.at for line in lines],
        ),
    )


def change_text(change: Change) -> str | None:
    """The JSON of a change; None for none, the hot case."""
    if change.is_empty:
        return None
    facts: dict[str, Any] = {
        "state": change.status,
        "unbegun": change.unbegun or None,
        "left": change.left,
        "wakeAt": change.wake_at and change.wake_at.isoformat(),
        "consumed": [str(one) for one in change.consumed] or None,
        "error": change.error,
        "tasks": [
            {"path": task.path, "attempt": task.attempt, "pool": task.pool, "slots": task.slots}
            for task in change.tasks
        ]
        or None,
        "recall": change.recall or None,
        "signals": change.signals,
        "asks": [{"kind": ask.kind, "seq": ask.seq} for ask in change.asks] or None,
        "chunks": [
            {
                "path": chunk.path,
                "attempt": chunk.attempt,
                "chunk": chunk.chunk,
                "low": chunk.low,
                "high": chunk.high,
                "pool": chunk.pool,
                "slots": chunk.slots,
            }
            for chunk in change.chunks
        ]
        or None,
        "recalls": list(change.recalls) or None,
        "writes": [{"key": write.key, "value": write.value} for write in change.writes] or None,
        **(_totals(change.totals) if change.totals else {}),
    }
    body = {name: fact for name, fact in facts.items() if fact is not None}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    if change.result is None:
        return text
    # The result is JSON text already; a run's state is never empty here.
    return f'{text[:-1]},"result":{change.result}}}'


def _totals(totals: Totals) -> dict[str, int | float]:
    return {
        "attempts": totals.attempts,
        "cpuSeconds": totals.cpu_seconds,
        "peakMemoryBytes": totals.peak_memory_bytes,
        "bytesIn": totals.bytes_in,
        "bytesOut": totals.bytes_out,
        "costMinor": totals.cost_minor,
    }


_FACTS: Final = (
    *("item_id", "tenant_id", "run_id", "token", "head", "settled", "slots", "crashes"),
    *("has_inbox", "workflow_id", "version_id", "environment", "environment_id", "lineage_id"),
    *("installation_id", "parameters", "variables", "created_at", "deadline_at"),
)
"""What engine_claim_7 returns first; then come ready_at and what only some kinds have."""


def _claim(row: tuple[Any, ...], pool: str) -> Claim:
    facts = dict(zip(_FACTS, row, strict=False))
    path, attempt, has_begun, kind, idx, held = row[-6:]
    if kind == "run":
        return Claim(**facts, pool=pool, is_held=held)
    if kind == "chunk":
        return ChunkClaim(**facts, pool=pool, path=path, attempt=attempt, chunk=idx)
    return TaskClaim(**facts, pool=pool, path=path, attempt=attempt, has_begun=has_begun)
