"""What a slice records, and when that becomes durable."""

from __future__ import annotations

import datetime as dt
from typing import Final
from uuid import UUID

from apps.executions.engine.codec import Row, encode, result_text
from apps.executions.engine.fold import RunState
from apps.executions.engine.history import (
    AttemptFailed,
    Event,
    RunEnded,
    StepCanceled,
    StepFailed,
)
from apps.executions.engine.mapping import Chunk
from apps.executions.engine.ports import TransactionalWrite
from apps.executions.engine.rescue_events import RunCompensating
from apps.executions.engine.slice_ports import NOTHING, Ask, AskKind, Batch, Change, Journal, Left
from apps.executions.engine.state import RunStatus
from apps.executions.engine.task import Task
from apps.executions.engine.wait_events import StepWaiting

BUFFER_AGE: Final = dt.timedelta(milliseconds=15)
BUFFER_ROWS: Final = 256
RESULT_LIMIT: Final = 64 * 1024

_WITHDRAWS: Final = frozenset({StepCanceled, StepFailed, AttemptFailed, RunCompensating})
"""Events by which waits of other steps may end."""
_NOBODY: Final[frozenset[int]] = frozenset()


class Buffer:
    """Events that are applied in memory, and become durable when they must."""

    def __init__(self, state: RunState, journal: Journal) -> None:
        self.state = state
        self._journal = journal
        self._posted = False
        self.due_at = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._shown = RunStatus.WAITING if state.is_waiting else state.status
        """What the run's row says, or would say if its last owner had come to leave."""
        self._signals = len(state.signals)
        self._clear()
        self._clear_more()

    def _clear(self) -> None:
        self.rows: list[Row] = []
        self.is_strict = False
        self._head = self.state.head
        self._settled = self.state.settled
        self._steps = len(self.state.steps)

    def _clear_more(self) -> None:
        self.consumed: tuple[UUID, ...] = ()
        self.writes: list[TransactionalWrite] = []
        self.tasks: list[Task] = []
        self.asks: list[Ask] = []
        self.recall = False
        self.halts: list[str] = []
        self.chunks: list[Chunk] = []
        self.recalls: list[str] = []

    @property
    def settles(self) -> bool:
        """What other steps build upon is in here, or that there are more of them."""
        return self.state.settled > self._settled or len(self.state.steps) > self._steps

    @property
    def _does_more(self) -> bool:
        """An append has more to do than to write events and what they make of the run's state."""
        return bool(
            self.consumed
            or self.writes
            or self.tasks
            or self.asks
            or self.recall
            or self.halts
            or self.chunks
            or self.recalls
        )

    def record(self, event: Event, *, now: dt.datetime) -> None:
        """Encode, apply, keep. Raises Unstorable before anything has changed."""
        row = encode(event)
        is_over = type(event) is RunEnded and self.state.is_asking
        asked = self._asked() if type(event) in _WITHDRAWS and self.state.waiting else _NOBODY
        self.state.apply(event)
        if not self.rows:
            self.due_at = now + BUFFER_AGE
        self.rows.append(row)
        if is_over:
            self.asks.append(Ask(kind=AskKind.OVER, seq=self.state.head))
        if asked and self._has_withdrawn(asked, event):
            self.asks.append(Ask(kind=AskKind.WITHDRAWN, seq=self.state.head))
        if type(event) is StepWaiting and event.wait.kind.is_asked:
            self.asks.append(Ask(kind=AskKind.WAITING, seq=self.state.head))

    def _asked(self) -> frozenset[int]:
        """Steps whose wait somebody was told of."""
        waiting = self.state.waiting.items()
        return frozenset(index for index, wait in waiting if wait.kind.is_asked)

    def _has_withdrawn(self, asked: frozenset[int], event: Event) -> bool:
        """Whether a wait has ended by what became of other steps."""
        ended = asked.difference(self.state.waiting)
        if isinstance(event, StepFailed | AttemptFailed):
            ended -= {self.state.step(event.path).index}  # It was answered, or overdue.
        return bool(ended)

    def barrier(self, now: dt.datetime, *, touches_world: bool, ahead: bool = False) -> None:
        """Make durable what must be before the steps that are about to start.

        `ahead`: somebody lands what is begun before the first of them runs.
        """
        if self.is_strict or (touches_world and self.settles):
            if ahead:
                self.begin()
            else:
                self._append()
        elif touches_world and self._posted:
            self._journal.flush()
            self._posted = False
        elif self.rows and (now >= self.due_at or len(self.rows) >= BUFFER_ROWS):
            self._post()

    def begin(self) -> None:
        """Send what has been recorded on its way; it has to be landed."""
        self._journal.begin(self._take())
        self._posted = False

    def leave(self, left: Left, *, now: dt.datetime) -> None:
        """The slice ends. Nothing builds on a run's end: it may be durable a little later."""
        batch = self._take(left, now=now)
        if left is Left.FINISHED:
            self._journal.land()
            self._journal.post(batch)
        else:
            self._journal.append(batch)

    def _append(self) -> None:
        self._journal.append(self._take())
        self._posted = False

    def _post(self) -> None:
        self._journal.post(self._take())
        self._posted = True

    def _take(self, left: Left | None = None, *, now: dt.datetime | None = None) -> Batch:
        """All of it, once; with what ends the slice, if it ends (at `now`)."""
        state = self.state
        ended = left is Left.FINISHED
        rests = left is Left.PARKED and state.is_waiting
        shows = RunStatus.WAITING if rests else state.status
        before, self._shown = self._shown, shows
        kept, self._signals = self._signals, len(state.signals)
        change = NOTHING
        if left or shows is not before or self._signals != kept or self._does_more:
            change = Change(
                status=shows if rests or shows is not before else None,
                unbegun=ended and not state.has_started,
                left=left,
                wake_at=state.due_at(after=now) if left is Left.PARKED else None,
                consumed=self.consumed,
                result=result_text(state.result(), limit=RESULT_LIMIT) if ended else None,
                error=state.error.to_json() if state.error else None,
                totals=state.totals if ended else None,
                writes=tuple(self.writes),
                tasks=tuple(self.tasks),
                recall=self.recall,
                halts=tuple(self.halts),
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
        self._clear()
        if change is not NOTHING:
            self._clear_more()
        return batch
