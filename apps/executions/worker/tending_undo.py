"""A chunk whose items were runs and are undone: each by a run that has the history of the item's.

Each turn looks at all of it, does what is to be done now, and sleeps or comes home.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar
from uuid import UUID

from apps.executions.engine.fold import RunState
from apps.executions.engine.mapping import ChunkCompleted, MapProgress
from apps.executions.engine.pausing import PAUSE, RESUME
from apps.executions.engine.plan import RUN_POOL, Plan
from apps.executions.engine.slice_ports import ChunkClaim, LeaseLost
from apps.executions.engine.undoing import NAMED
from apps.executions.store import item_runs, item_undos, maps
from apps.executions.store.connections import Connection
from apps.executions.store.item_runs import CANCEL
from apps.executions.store.item_undos import Fate, RunToUndo, Undoable
from apps.executions.store.resilient import read_surely
from apps.executions.worker.shop import Shop
from apps.kit.ids import uuid7

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class UndoTending:
    """One turn of a chunk that looks after what undoes its items."""

    claim: ChunkClaim
    shop: Shop
    read: Callable[[int], RunState]
    """The map's run as it was at that head, or later."""

    def run(self) -> None:
        """Do what is to be done now, then sleep or come home. Raises LeaseLost."""
        seen = self._ask(lambda c: item_runs.seen(c, self.claim))
        if seen is None:
            raise LeaseLost
        look = self._ask(lambda c: maps.look(c, self.claim))
        state = self.read(look.head)
        step = state.step(self.claim.path)
        progress, undoing = state.records[step.index].mapping, state.rescue.undoing
        if progress is None or undoing is None or step.body is None:
            raise LeaseLost
        nodes = _undoable(step.body)
        source = UUID(progress.source) if progress.source else self.claim.run_id
        while True:
            rows = self._ask(
                lambda c: item_undos.runs_to_undo(
                    c, self.claim, source, range(*progress.opening.span(self.claim.chunk)), nodes
                )
            )
            is_cut = undoing.is_cut or any(row.is_cut for row in rows)
            if look.is_ending or is_cut:
                self._tell(_running(rows), CANCEL if look.is_ending else RESUME)
                break
            if not self._begins(rows, progress, state, source):
                break
        is_resting = state.is_paused and not look.is_ending
        if _running(rows) or is_resting:
            self._ask(lambda c: item_runs.park(c, self.claim, seen=seen))
        else:
            self._come_home(rows, is_cut=is_cut)

    def _begins(
        self,
        rows: Sequence[RunToUndo],
        progress: MapProgress,
        state: RunState,
        source: UUID,
    ) -> bool:
        """Say what is to be said, begin what may begin; whether anything has."""
        running = _running(rows)
        self._tell(running, PAUSE if state.is_paused else RESUME)
        room = 0 if state.is_paused else max(progress.opening.slots - len(running), 0)
        due = [row for row in rows if row.fate is Fate.FRESH][:room]
        if not due:
            return False
        starts = [(uuid7(), row.idx) for row in due]
        if not self._ask(lambda c: item_undos.start(c, self.claim, source, starts)):
            raise LeaseLost
        self.shop.ring((RUN_POOL,))
        return True

    def _tell(self, running: Sequence[RunToUndo], word: str) -> None:
        told = [row.run_id for row in running if row.run_id is not None and row.needs(word)]
        if told:
            self._ask(lambda c: item_runs.tell(c, self.claim, told, word))
            self.shop.ring((RUN_POOL,))

    def _come_home(self, rows: Sequence[RunToUndo], *, is_cut: bool) -> None:
        claim = self.claim
        missed = tuple(chain.from_iterable(self._missed(row) for row in rows))
        event = ChunkCompleted(
            path=claim.path,
            attempt=claim.attempt,
            chunk=claim.chunk,
            done=0,
            failed=0,
            undoes=True,
            missed=missed[:NAMED],
            misses=len(missed),
            is_cut=is_cut and bool(missed),
        )
        self._ask(lambda c: item_runs.home(c, claim, event))
        self.shop.ring((RUN_POOL,))

    def _missed(self, row: RunToUndo) -> Iterator[str]:
        """What of an item is not undone, by path."""
        item = f"{self.claim.path}[{row.idx}]"
        if row.fate is not Fate.UNDONE:
            names = row.not_undone
            yield from [f"{item}/{name}" for name in names] or [item]
        for name in row.left:
            yield f"{item}/{name}" if name else item

    def _ask(self, statement: Callable[[Connection], T]) -> T:
        """Each may be repeated: whoever holds the chunk says the same again."""
        return read_surely(self.shop.connections, self.shop.lease, statement)


def _running(rows: Sequence[RunToUndo]) -> list[RunToUndo]:
    return [row for row in rows if row.fate is Fate.OPEN]


def _undoable(body: Plan) -> Undoable:
    """Its nodes, at any depth."""
    steps: list[str] = []
    maps: list[str] = []
    sure: list[str] = []
    for step in body.steps:
        within = _undoable(step.body) if step.body is not None else None
        if step.compensation is not None:
            steps.append(step.node.id)
            if not step.needs_intent:
                sure.append(step.node.id)
        if within is not None and within.steps:
            maps += (step.node.id, *within.maps)
            steps += within.steps
            sure += within.sure
            if {*within.steps, *within.maps} <= {*within.sure}:
                sure.append(step.node.id)
    return Undoable(steps=steps, maps=maps, sure=sure)
