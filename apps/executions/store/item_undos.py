"""The SQL functions that undo items that are runs, or another run's, as typed calls."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.pausing import PAUSE
from apps.executions.engine.slice_ports import ChunkClaim
from apps.executions.engine.state import RunStatus
from apps.executions.store.connections import Connection
from apps.executions.store.item_runs import CANCEL

_TO_UNDO: Final = (
    "SELECT * FROM engine_runs_to_undo_7(%s::uuid, %s::uuid, %s::uuid, %s::text, %s::int, %s::int,"
    " %s::text[], %s::text[], %s::text[])"
)
_START: Final = (
    "SELECT engine_undo_start_7(%s::uuid, %s::uuid, %s::uuid, %s::text, %s::int, %s::uuid,"
    " %s::uuid[], %s::int[])"
)
_ITEMS: Final = (
    "SELECT * FROM engine_items_to_undo_7(%s::uuid, %s::uuid, %s::uuid, %s::text, %s::int, %s::int)"
)
_UNDO: Final = (
    "SELECT engine_item_undo_6(%s::uuid, %s::uuid, %s::uuid, %s::text, %s::int, %s::uuid, %s::int,"
    " %s::jsonb, %s::boolean, %s::jsonb)"
)


class Fate(StrEnum):
    """How an item's run stands that is not undone."""

    FRESH = "fresh"
    OPEN = "open"
    MISSED = "missed"
    UNDONE = "undone"
    """What earlier runs of the item did is not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Undoable:
    """Nodes of a body: steps that can be undone, and maps of such."""

    steps: Collection[str]
    maps: Collection[str]
    sure: Collection[str]
    """Of both, those whose effects are the same ones when they are done again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemToUndo:
    """What an item did that is not undone; `earlier` attempts of it, the oldest first."""

    idx: int
    history: Any
    earlier: Sequence[Any]
    is_taken: bool
    """By somebody else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunToUndo:
    """What an item's run did is not undone; `run_id` and `state` are of the run that does it."""

    idx: int
    fate: Fate
    run_id: UUID | None
    state: RunStatus | None
    told: str | None
    """The last word that the run has not read."""
    error: Any
    left: Sequence[str]
    """What earlier runs of the item did and no later one did again, by path; '' for all of one."""

    @property
    def is_cut(self) -> bool:
        """A compensation failed in a way that forbids to go on."""
        return self.fate is Fate.MISSED and bool(self._details.get("cut"))

    @property
    def not_undone(self) -> list[str]:
        """The steps of the item that are not, as far as their names are known."""
        return [str(name) for name in self._details.get("notUndone", ())]

    @property
    def _details(self) -> dict[str, Any]:
        return (self.error or {}).get("details") or {}

    def needs(self, word: str) -> bool:
        """Whether the run that undoes it has to be told that."""
        if self.state is RunStatus.CANCELING or self.told == CANCEL:
            return False
        rests = self.told == PAUSE or (self.state is RunStatus.PAUSED and not self.told)
        return word == CANCEL or rests is not (word == PAUSE)


def runs_to_undo(
    connection: Connection, claim: ChunkClaim, source: UUID, span: range, nodes: Undoable
) -> list[RunToUndo]:
    """The items of a chunk whose runs are not undone, the last first."""
    given = (
        *(claim.tenant_id, claim.run_id, source, claim.path, span.start, span.stop),
        *(list(nodes.steps), list(nodes.maps), list(nodes.sure)),
    )
    return [
        RunToUndo(
            idx=idx,
            fate=Fate(fate),
            run_id=run_id,
            state=RunStatus(state) if state else None,
            told=told,
            error=error,
            left=left or (),
        )
        for idx, fate, run_id, state, told, error, left in connection.execute(
            _TO_UNDO, given
        ).fetchall()
    ]


def start(
    connection: Connection, claim: ChunkClaim, source: UUID, starts: Sequence[tuple[UUID, int]]
) -> bool:
    """Begin to undo these, each by a run with that id; False when the chunk is another's."""
    given = (
        *(claim.tenant_id, claim.run_id, source, claim.path, claim.chunk, claim.token),
        [run_id for run_id, _ in starts],
        [idx for _, idx in starts],
    )
    crashpoint("unruns.begun")
    row = connection.execute(_START, given).fetchone()
    crashpoint("unruns.committed")
    return row is not None and row[0] == "STARTED"


def to_undo(
    connection: Connection, claim: ChunkClaim, source: UUID, span: range
) -> list[ItemToUndo]:
    """Items, of the run or of another, that are not undone, the last first."""
    given = (claim.tenant_id, claim.run_id, source, claim.path, span.start, span.stop)
    return [
        ItemToUndo(idx=idx, history=history, earlier=earlier or (), is_taken=is_taken)
        for idx, history, earlier, is_taken in connection.execute(_ITEMS, given).fetchall()
    ]


def undo(
    connection: Connection,
    claim: ChunkClaim,
    source: UUID,
    idx: int,
    *,
    history: str | None,
    is_done: bool,
    writes: str | None,
) -> bool:
    """How far an item of another run is undone; False when the chunk is another's."""
    given = (
        *(claim.tenant_id, claim.run_id, source, claim.path, claim.chunk, claim.token),
        *(idx, history, is_done, writes),
    )
    row = connection.execute(_UNDO, given).fetchone()
    return row is not None and bool(row[0])
