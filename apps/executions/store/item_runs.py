"""The SQL functions of maps whose items are runs of their own, as typed calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.map_rows import result_body
from apps.executions.engine.mapping import ChunkCompleted
from apps.executions.engine.pausing import PAUSE, RESUME
from apps.executions.engine.slice_ports import ChunkClaim
from apps.executions.engine.state import RunStatus
from apps.executions.store.connections import Connection

CANCEL: Final = "cancel"
CANCELED: Final = "ITEM_CANCELED"
STARTED: Final = "STARTED"
FULL: Final = "FULL"
TOO_DEEP: Final = "TOO_DEEP"
_SEEN: Final = (
    "SELECT engine_chunk_seen_5(%s::uuid, %s::uuid, %s::text, %s::int, %s::bigint, %s::uuid)"
)
_RUNS: Final = (
    "SELECT * FROM engine_map_runs_6(%s::uuid, %s::uuid, %s::text, %s::int, %s::int, %s::int)"
)
_START: Final = (
    "SELECT engine_items_start_7(%s::uuid, %s::uuid, %s::text, %s::int, %s::uuid, %s::int, %s::int,"
    " %s::int, %s::boolean, %s::uuid[], %s::int[], %s::jsonb[])"
)
_LEND: Final = "SELECT engine_items_pass_6(%s::uuid, %s::uuid, %s::text, %s::int, %s::int)"
_PARK: Final = (
    "SELECT engine_chunk_park_5(%s::uuid, %s::uuid, %s::text, %s::int, %s::bigint, %s::uuid,"
    " %s::int)"
)
_HOME: Final = (
    "SELECT engine_chunk_home_5(%s::uuid, %s::uuid, %s::text, %s::int, %s::bigint, %s::uuid,"
    " %s::uuid, %s::jsonb)"
)
_TELL: Final = "SELECT executions_tell_1(%s::uuid, %s::uuid, %s::uuid, %s::text, %s::jsonb)"


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemRun:
    """An item that somebody has begun; `run_state` is set while its run is open."""

    idx: int
    attempt: int
    state: str
    code: str | None
    """Of its failure."""
    run_id: UUID | None
    run_state: RunStatus | None
    told: str | None
    """The last word that the run has not read."""

    @property
    def is_open(self) -> bool:
        """Its run has not ended."""
        return self.run_state is not None

    def needs(self, word: str) -> bool:
        """Whether its run has to be told that."""
        if self.run_state is RunStatus.CANCELING or self.told == CANCEL:
            return False
        if word == RESUME:
            return self.told == PAUSE or (self.run_state is RunStatus.PAUSED and not self.told)
        return self.told != word and not (word == PAUSE and self.run_state is RunStatus.PAUSED)


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemRuns:
    """A chunk's items, those open or failed and those done, and the free places of its map."""

    rows: Sequence[ItemRun]
    done: Sequence[int]
    room: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemStart:
    """A run to begin; `seed` is JSON text."""

    run_id: UUID
    idx: int
    seed: str


def seen(connection: Connection, claim: ChunkClaim) -> int | None:
    """A mark of the news until now; None when the chunk is another's."""
    row = connection.execute(_SEEN, (*_place(claim), claim.item_id, claim.token)).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def runs(
    connection: Connection, claim: ChunkClaim, *, low: int, high: int, places: int
) -> ItemRuns:
    """The items from `low` to before `high`, of a map that may have `places` open."""
    given = (claim.tenant_id, claim.run_id, claim.path, low, high, places)
    (*_, done, room), *rest = connection.execute(_RUNS, given).fetchall()
    return ItemRuns(
        rows=[
            ItemRun(
                idx=idx,
                attempt=attempt,
                state=state,
                code=code,
                run_id=run_id,
                run_state=RunStatus(run_state) if run_state else None,
                told=told,
            )
            for idx, attempt, state, code, run_id, run_state, told, _, _ in rest
        ],
        done=done,
        room=room,
    )


def start(
    connection: Connection,
    claim: ChunkClaim,
    starts: Sequence[ItemStart],
    *,
    depth: int,
    places: int,
    more: bool,
) -> str:
    """Begin these items, as many as the map has places for; `more` wait behind them.

    STARTED; FULL when some wait for a place; LOST; TOO_DEEP where `depth` runs are above them.
    """
    given = (
        *_place(claim),
        claim.token,
        claim.attempt,
        depth,
        places,
        more,
        [one.run_id for one in starts],
        [one.idx for one in starts],
        [one.seed for one in starts],
    )
    crashpoint("runs.begun")
    row = connection.execute(_START, given).fetchone()
    crashpoint("runs.committed")
    return str(row[0]) if row else ""


def pass_on(connection: Connection, claim: ChunkClaim, *, places: int) -> bool:
    """Whether another chunk of the map was woken for the places that are free."""
    row = connection.execute(_LEND, (*_place(claim), places)).fetchone()
    return row is not None and bool(row[0])


def tell(connection: Connection, claim: ChunkClaim, runs: Sequence[UUID], word: str) -> None:
    """Leave a word in the inbox of each of these runs of items, one transaction each."""
    body = json.dumps({"by": "its map"})
    for run_id in runs:
        connection.execute(_TELL, (claim.tenant_id, run_id, uuid4(), word, body))


def park(connection: Connection, claim: ChunkClaim, *, seen: int) -> None:
    """Sleep until there is news; at once ready again where there is already."""
    crashpoint("park.begun")
    connection.execute(_PARK, (*_place(claim), claim.item_id, claim.token, seen))
    crashpoint("park.committed")


def home(connection: Connection, claim: ChunkClaim, event: ChunkCompleted) -> bool:
    """End the chunk; False when it is another's or has been ended by an earlier call of ours."""
    given = (*_place(claim), claim.item_id, claim.token, uuid4(), result_body(event))
    crashpoint("home.begun")
    row = connection.execute(_HOME, given).fetchone()
    crashpoint("home.committed")
    return row is not None and bool(row[0])


def wake(connection: Connection) -> set[str]:
    """Wake the chunks that there is news for; the pools that have something now."""
    return {row[0] for row in connection.execute("SELECT engine_map_news_5()").fetchall()}


def _place(claim: ChunkClaim) -> tuple[object, ...]:
    return claim.tenant_id, claim.run_id, claim.path, claim.chunk
