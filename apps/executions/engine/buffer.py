"""What a slice has recorded and not yet handed to its journal."""

from __future__ import annotations

import datetime as dt
from typing import Final
from uuid import UUID

from apps.executions.engine.codec import Row, result_text
from apps.executions.engine.fold import RunState
from apps.executions.engine.mapping import Chunk
from apps.executions.engine.ports import TransactionalWrite
from apps.executions.engine.slice_ports import Ask, Batch, Change, Left
from apps.executions.engine.state import RunStatus
from apps.executions.engine.task import Task

BUFFER_AGE: Final = dt.timedelta(milliseconds=15)
BUFFER_ROWS: Final = 256
RESULT_LIMIT: Final = 64 * 1024


class Buffer:
    """Events that are applied in memory and not yet handed to the journal."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.consumed: tuple[UUID, ...] = ()
        self.due_at = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._shown = RunStatus.WAITING if state.is_waiting else state.status
        """What the run's row says, or would say if its last owner had come to leave."""
        self._signals = len(state.signals)
        self._clear()

    def _clear(self) -> None:
        self.rows: list[Row] = []
        self.writes: list[TransactionalWrite] = []
        self.tasks: list[Task] = []
        self.asks: list[Ask] = []
        self.recall = False
        self.chunks: list[Chunk] = []
        self.recalls: list[str] = []
        self.is_strict = False
        self._head = self.state.head
        self._settled = self.state.settled
        self._steps = len(self.state.steps)

    @property
    def settles(self) -> bool:
        """What other steps build upon is in here, or that there are more of them."""
        return self.state.settled > self._settled or len(self.state.steps) > self._steps

    def add(self, row: Row, *, now: dt.datetime) -> None:
        """One more; the first one sets the time by which all must leave."""
        if not self.rows:
            self.due_at = now + BUFFER_AGE
        self.rows.append(row)

    def take(self, left: Left | None = None, *, now: dt.datetime | None = None) -> Batch:
        """All of it, once; with what ends the slice, if it ends (at `now`)."""
        state = self.state
        ended = left is Left.FINISHED
        rests = left is Left.PARKED and state.is_waiting
        shows = RunStatus.WAITING if rests else state.status
        before, self._shown = self._shown, shows
        kept, self._signals = self._signals, len(state.signals)
        change = Change(
            status=shows if rests or shows is not before else None,
            started=before is RunStatus.QUEUED and state.has_started,
            left=left,
            wake_at=state.due_at(after=now) if left is Left.PARKED else None,
            consumed=self.consumed,
            result=result_text(state.result(), limit=RESULT_LIMIT) if ended else None,
            error=state.error.to_json() if state.error else None,
            totals=state.totals if ended else None,
            writes=tuple(self.writes),
            tasks=tuple(self.tasks),
            recall=self.recall,
            asks=tuple(self.asks),
            signals=self._signals if kept != self._signals else None,
            chunks=tuple(self.chunks),
            recalls=tuple(self.recalls),
        )
        batch = Batch(
            head=self._head,
            rows=tuple(self.rows),
            settled=state.settled - self._settled,
            change=change,
        )
        self.consumed = ()
        self._clear()
        return batch
