"""One item of a map: its body runs in memory, by the same slice as a run."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from apps.executions.engine.asking import HUMAN_KINDS, unanswered
from apps.executions.engine.codec import Row, decode, encode
from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.failure import Failure
from apps.executions.engine.fold import RunState
from apps.executions.engine.frames import Frame
from apps.executions.engine.history import RunQueued
from apps.executions.engine.mapping import FAILURE_LIMIT
from apps.executions.engine.plan import Plan
from apps.executions.engine.ports import StopReason, TransactionalWrite
from apps.executions.engine.seeds import StepGiven
from apps.executions.engine.slice import Slice
from apps.executions.engine.slice_ports import (
    Around,
    Batch,
    ChunkClaim,
    Control,
    Inbox,
    LeaseLost,
    Left,
)
from apps.executions.engine.state import RunStatus
from apps.executions.engine.step import EVERY_POOL
from apps.executions.engine.storable import BODY_LIMIT, INLINE_LIMIT, Unstorable, dumps
from apps.executions.engine.wait_events import StepAnswer
from apps.executions.store.maps import ItemRecord
from apps.executions.worker.maps.keys import ChunkKeys
from apps.executions.worker.maps.pools import Pools
from apps.executions.worker.throttles import WorkflowThrottle
from apps.workflows.graph.declaration import Json

HISTORY_LIMIT: Final = 64 * (INLINE_LIMIT + BODY_LIMIT)
"""Bytes that an item's events may take where they have to be kept."""
KEPT_LIMIT: Final = 16 * HISTORY_LIMIT
"""Of the same as JSON in JSON, with what undoing adds to them."""
HISTORY_TOO_LARGE: Final = Failure(
    code="ITEM_HISTORY_TOO_LARGE",
    message=(
        f"The item's steps gave more than {HISTORY_LIMIT:,} bytes, which must be kept for an effect"
        " or to undo one. Let them give less, or references to stored objects."
    ),
)
Commit = Callable[[ItemRecord, Sequence[TransactionalWrite]], bool]


class HistoryTooLarge(Exception):
    """What an item has done is more than can be kept of it."""


@dataclass
class Item:
    """An item that is being worked on."""

    idx: int
    state: RunState
    journal: ItemJournal
    wake_at: dt.datetime | None = None
    failure: Failure | None = None
    """Why it cannot go on, whatever its state says."""

    @property
    def is_settled(self) -> bool:
        """It has an outcome to record; a stopped one has none."""
        return self.failure is not None or self.state.status in (
            RunStatus.SUCCEEDED,
            RunStatus.PARTIAL,
            RunStatus.FAILED,
        )

    def unanswered(self) -> tuple[StepAnswer, ...]:
        """Nobody can be asked about a step in an item: its next rule decides, as if in vain."""
        state = self.state
        return tuple(
            StepAnswer(
                path=state.steps[index].path,
                attempt=state.records[index].attempt,
                outcome=unanswered(wait),
            )
            for index, wait in state.waiting.items()
            if wait.kind in HUMAN_KINDS
        )

    def outcome(self) -> tuple[ItemRecord, Mapping[str, Json] | None]:
        """What is kept of it, and its failure if it failed."""
        record, failure = self._outcome()
        if self.state.plan.undoes and self.state.rescue.log:
            record = replace(record, history=self.journal.text())
        return record, failure

    def _outcome(self) -> tuple[ItemRecord, Mapping[str, Json] | None]:
        error = self.failure or self.state.error
        if error is None:
            try:
                output = dumps(self.state.outcome(), limit=INLINE_LIMIT)
            except Unstorable as unstorable:
                error = Failure(code=unstorable.code, message=f"The item's result: {unstorable}")
            else:
                return ItemRecord(idx=self.idx, state="done", output=output), None
        failure = {"index": self.idx, **error.to_json()}
        return failed_record(self.idx, failure), failure


class ItemJournal:
    """The history of an item, in memory; what an effect needs is committed before it."""

    def __init__(self, idx: int, rows: list[Row], commit: Commit, *, keeps: bool) -> None:
        """`keeps`: the whole history is needed when the item has ended."""
        self.rows = rows
        self.limit = HISTORY_LIMIT
        self._keeps = keeps
        self._size = sum(map(_size, rows))
        self.writes: list[TransactionalWrite] = []
        self.has_begun = False
        self.answers: tuple[StepAnswer, ...] = ()
        self._idx = idx
        self._commit = commit
        self._state: RunState | None = None

    def attend(self, state: RunState) -> None:
        """Whose history this is."""
        self._state = state

    def append(self, batch: Batch) -> None:
        """Keep; commit when an effect that may not be repeated is about to start, or did.

        Raises LeaseLost, HistoryTooLarge.
        """
        self.post(batch)
        ends = batch.change.left is Left.FINISHED
        if not ends and (self.has_begun or any(map(self._is_intent, batch.rows))):
            self.has_begun = True
            if not self._commit(self.record(), self.writes):
                raise LeaseLost
            self.writes = []

    @property
    def has_history(self) -> bool:
        """A step of the item has."""
        return any(row.path is not None for row in self.rows)

    def record(self) -> ItemRecord:
        """How far the item has come, for whoever goes on with it. Raises HistoryTooLarge."""
        self._require_room()
        return ItemRecord(idx=self._idx, state="begun", output=self.text())

    def text(self) -> str:
        """The history as JSON."""
        history = [[row.type, row.path, row.attempt, row.body] for row in self.rows]
        return dumps(history, limit=KEPT_LIMIT)

    def post(self, batch: Batch) -> None:
        """Keep. Raises HistoryTooLarge."""
        self.rows += batch.rows
        self._size += sum(map(_size, batch.rows))
        self.writes += batch.change.writes
        if self._keeps:
            self._require_room()

    def _require_room(self) -> None:
        if self._size > self.limit:
            raise HistoryTooLarge

    begin = append
    """It waits for nobody's disk but at the intent of an effect."""

    def land(self) -> None:
        """Nothing is on its way."""

    flush = land

    def inbox(self) -> Inbox:
        """Asked for when a step has its answer, else only when the map stops."""
        answers, self.answers = self.answers, ()
        return Inbox(answers=answers) if answers else Inbox(cancel=CancelRequest())

    def _is_intent(self, row: Row) -> bool:
        state = self._state
        if row.type != "step.started" or row.path is None or state is None:
            return False
        return state.step(row.path).needs_intent


@dataclass(frozen=True, kw_only=True)
class ItemRunner:
    """Runs items of one chunk; thread safe as far as its parts are."""

    claim: ChunkClaim
    body: Plan
    outer: Mapping[str, Mapping[str, Json]]
    said: Callable[[int], StepGiven]
    """Of an item: its generation, and what it goes on from."""
    given: Callable[[int], Mapping[str, StepGiven]]
    """Of steps in an item."""
    scope: str
    """Where the run stands in those above it."""
    commit: Commit
    control: Control
    pools: Pools
    throttle: WorkflowThrottle
    keys: ChunkKeys | None

    def is_called(self, item: Item) -> bool:
        """There may be a place for a step of it that waits for its key."""
        return self.keys is not None and self.keys.is_called(item.state.frame.prefix)

    def begin(self, idx: int, value: Json, *, history: Any = None) -> Item:
        """A fresh item, or one with the history that an effect left behind, or an earlier run."""
        said = self.said(idx)
        frame = Frame(
            prefix=f"{self.claim.path}[{idx}]/",
            index=idx,
            item=value,
            values={"item": value, "index": idx},
            generation=said.generation,
            scope=self.scope,
            outer=self.outer,
        )
        state = RunState(self.body, frame=frame)
        state.given.update(self.given(idx))
        rows = _rows(history or (said.follows and said.follows.history))
        journal = ItemJournal(idx, rows, self.commit, keeps=self.body.undoes)
        journal.has_begun = bool(history)
        journal.attend(state)
        for row in rows:
            body = json.loads(row.body) if row.body else None
            state.apply(decode(row.type, path=row.path, attempt=row.attempt, body=body))
        return Item(idx=idx, state=state, journal=journal)

    def turn(self, item: Item) -> Left:
        """One slice of an item. Raises LeaseLost."""
        item.journal.answers = item.unanswered()
        claim = replace(
            self.claim,
            head=item.state.head,
            slots=1,
            crashes=0,
            has_inbox=bool(item.journal.answers),
            pool=EVERY_POOL,
        )
        pool = self.pools.open()
        try:
            around = Around(
                journal=item.journal,
                pool=pool,
                control=self.control,
                keys=self.keys,
                throttle=self.throttle,
            )
            attempts = item.state.totals.attempts
            outcome = Slice(claim, item.state, around).run()
        except HistoryTooLarge:
            # Before the effect that wanted it kept; what runs beside that is asked to stop.
            pool.stop(StopReason.CANCELED)
            item.failure = HISTORY_TOO_LARGE
            return Left.FINISHED
        else:
            self.throttle.earn(outcome.state.totals.attempts - attempts)
        finally:
            self.pools.close(pool)
        item.wake_at = min(item.state.retrying.values(), default=None)
        return outcome.left


def failed_record(idx: int, failure: Mapping[str, Json]) -> ItemRecord:
    """An item that will not be done in this attempt of its map."""
    return ItemRecord(idx=idx, state="failed", error=dumps(failure, limit=FAILURE_LIMIT))


def _size(row: Row) -> int:
    return len(row.body or "")


def _rows(history: Any) -> list[Row]:
    if not history:
        return [encode(RunQueued(trigger=""))]
    return [
        Row(type=t, path=path, attempt=attempt, body=body) for t, path, attempt, body in history
    ]
