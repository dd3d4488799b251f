"""The SQL functions of maps as typed calls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.map_rows import result_body
from apps.executions.engine.mapping import ChunkCompleted
from apps.executions.engine.slice_ports import ChunkClaim, Claim
from apps.executions.store.connections import Connection

_TAKE: Final = (
    "SELECT * FROM engine_chunk_take_5(%s::uuid, %s::uuid, %s::text, %s::int, %s::bigint, %s::uuid)"
)
_REST: Final = (
    "SELECT engine_chunk_rest_5(%s::uuid, %s::uuid, %s::text, %s::int, %s::bigint, %s::uuid,"
    " %s::jsonb, %s::timestamptz)"
)
_LOOK: Final = "SELECT * FROM engine_chunk_look_4(%s::uuid, %s::uuid, %s::bigint, %s::uuid)"
_ITEMS: Final = "SELECT * FROM engine_map_items_3(%s::uuid, %s::uuid, %s::text, %s::int, %s::int)"
_RECORD: Final = (
    "SELECT engine_chunk_record_3(%s::uuid, %s::uuid, %s::text, %s::int, %s::uuid, %s::int,"
    " %s::int[], %s::text[], %s::jsonb[], %s::jsonb[], %s::jsonb, %s::boolean)"
)
_RECORD_WHOLE: Final = (
    "SELECT engine_chunk_record_7(%s::uuid, %s::uuid, %s::text, %s::int, %s::uuid, %s::int,"
    " %s::int[], %s::text[], %s::jsonb[], %s::jsonb[], %s::jsonb[], %s::jsonb, %s::boolean)"
)
_UNDO: Final = (
    "SELECT engine_item_undo_5(%s::uuid, %s::uuid, %s::text, %s::int, %s::uuid, %s::int,"
    " %s::jsonb, %s::boolean, %s::jsonb)"
)
_DONE: Final = (
    "SELECT engine_chunk_done_5(%s::uuid, %s::uuid, %s::text, %s::int, %s::bigint, %s::uuid,"
    " %s::uuid, %s::jsonb)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemRow:
    """What is known of an item; `state` is begun, done or failed."""

    idx: int
    attempt: int
    state: str
    output: Any
    error: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemRecord:
    """What to record of an item; `output` and `error` are JSON text."""

    idx: int
    state: str
    output: str | None = None
    error: str | None = None
    history: str | None = None
    """What its steps did, where that may have to be undone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How an open chunk stands; `head` is the end of its run's history."""

    is_held: bool
    is_recalled: bool
    is_ending: bool
    head: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """How many workers died with what is next, and what the chunk's steps have used so far."""

    died: int
    spent: Any


def take(connection: Connection, claim: ChunkClaim) -> Taken | None:
    """Take the chunk. None when its item is another's."""
    given = (*_place(claim), claim.item_id, claim.token)
    row = connection.execute(_TAKE, given).fetchone()
    crashpoint("chunk.taken")
    return None if row is None else Taken(died=row[0], spent=row[1])


def rest(
    connection: Connection, claim: ChunkClaim, *, spent: str, until: dt.datetime | None
) -> bool:
    """Put the chunk down: behind what is ready now, or until that time. False: it is another's."""
    given = (*_place(claim), claim.item_id, claim.token, spent, until)
    row = connection.execute(_REST, given).fetchone()
    return row is not None and bool(row[0])


def look(connection: Connection, claim: ChunkClaim) -> Look:
    """Whether anybody wants the chunk back."""
    given = (claim.tenant_id, claim.run_id, claim.item_id, claim.token)
    row = connection.execute(_LOOK, given).fetchone()
    if row is None:
        return Look(is_held=False, is_recalled=False, is_ending=True, head=claim.head)
    return Look(is_held=row[0], is_recalled=row[1], is_ending=row[2], head=row[3])


def items(connection: Connection, claim: Claim, path: str, *, low: int, high: int) -> list[ItemRow]:
    """What is known of the items from `low` to before `high`, in order."""
    given = (claim.tenant_id, claim.run_id, path, low, high)
    rows = connection.execute(_ITEMS, given).fetchall()
    return [
        ItemRow(idx=idx, attempt=attempt, state=state, output=output, error=error)
        for idx, attempt, state, output, error in rows
    ]


def record(
    connection: Connection,
    claim: ChunkClaim,
    records: Sequence[ItemRecord],
    *,
    writes: str | None,
    soon: bool,
    undoes: bool = False,
) -> bool:
    """Write results or intents; False when the chunk is another's. `soon`: not at once durable.

    `undoes`: what the items do may have to be undone, by every attempt.
    """
    given = (
        *_place(claim),
        claim.token,
        claim.attempt,
        [one.idx for one in records],
        [one.state for one in records],
        [one.output for one in records],
        [one.error for one in records],
    )
    histories = [one.history for one in records]
    crashpoint("items.begun")
    if undoes:
        row = connection.execute(_RECORD_WHOLE, (*given, histories, writes, soon)).fetchone()
    else:
        row = connection.execute(_RECORD, (*given, writes, soon)).fetchone()
    crashpoint("items.committed")
    return row is not None and bool(row[0])


def undo(
    connection: Connection,
    claim: ChunkClaim,
    idx: int,
    *,
    history: str | None,
    is_done: bool,
    writes: str | None,
) -> bool:
    """How far an item is undone, durable; False when the chunk is another's."""
    given = (*_place(claim), claim.token, idx, history, is_done, writes)
    crashpoint("undo.begun")
    row = connection.execute(_UNDO, given).fetchone()
    crashpoint("undo.committed")
    return row is not None and bool(row[0])


def done(connection: Connection, claim: ChunkClaim, event: ChunkCompleted) -> bool:
    """End the chunk; False when it is another's or has been ended by an earlier call of ours."""
    given = (*_place(claim), claim.item_id, claim.token, uuid4(), result_body(event))
    crashpoint("chunk.begun")
    row = connection.execute(_DONE, given).fetchone()
    crashpoint("chunk.committed")
    return row is not None and bool(row[0])


def _place(claim: ChunkClaim) -> tuple[object, ...]:
    return claim.tenant_id, claim.run_id, claim.path, claim.chunk
