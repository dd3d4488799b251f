"""A chunk whose items are runs of their own: it starts them, passes words on, and comes home last.

Each turn looks at all of it and does what is to be done now; then the chunk sleeps until an item's
run has ended or its map wants something else. Nothing is remembered between two turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from apps.executions.engine.calls import said_of_item
from apps.executions.engine.codec import encode
from apps.executions.engine.concluding import WORKER_LOST
from apps.executions.engine.decide import LOST_MESSAGE
from apps.executions.engine.failure import Failure
from apps.executions.engine.fold import RunState
from apps.executions.engine.mapping import ChunkCompleted, MapProgress
from apps.executions.engine.pausing import PAUSE, RESUME
from apps.executions.engine.plan import RUN_POOL
from apps.executions.engine.seeds import ItemGiven
from apps.executions.engine.slice import CRASH_LIMIT
from apps.executions.engine.slice_ports import ChunkClaim, LeaseLost
from apps.executions.engine.storable import INLINE_LIMIT, Unstorable, dumps
from apps.executions.store import item_runs, maps
from apps.executions.store.connections import Connection
from apps.executions.store.item_runs import (
    CANCEL,
    CANCELED,
    FULL,
    STARTED,
    TOO_DEEP,
    ItemRun,
    ItemRuns,
    ItemStart,
)
from apps.executions.store.resilient import read_surely
from apps.executions.worker.maps.item import failed_record
from apps.executions.worker.maps.lines import ItemsGone
from apps.executions.worker.maps.watch import is_over
from apps.executions.worker.shop import Shop
from apps.kit.ids import uuid7
from apps.workflows.graph.mapping import Policy

DEPTH_LIMIT: Final = 16
"""Runs below each other, sub-workflows and items together."""
DEEP_MESSAGE: Final = (
    f"{DEPTH_LIMIT} runs are above this item already: put fewer maps and sub-workflows into each"
    " other."
)
AT_ONCE: Final = 64
"""Items that begin in one statement."""
T = TypeVar("T")


@dataclass(kw_only=True)
class Tending:
    """One turn of a chunk that looks after its items' runs."""

    claim: ChunkClaim
    shop: Shop
    read: Callable[[int], RunState]
    """The map's run as it was at that head, or later."""
    died: int
    """Workers that died with what is next."""

    def run(self) -> None:
        """Do what is to be done now, then sleep or come home. Raises LeaseLost."""
        seen = self._ask(lambda c: item_runs.seen(c, self.claim))
        if seen is None:
            raise LeaseLost
        look = self._ask(lambda c: maps.look(c, self.claim))
        state = self.read(look.head)
        progress = state.records[state.step(self.claim.path).index].mapping
        if progress is None:
            raise LeaseLost
        if self._is_done(state, progress, is_ending=look.is_ending):
            return
        self._ask(lambda c: item_runs.park(c, self.claim, seen=seen))

    def _is_done(self, state: RunState, progress: MapProgress, *, is_ending: bool) -> bool:
        """Whether it has come home; its items know what they have to."""
        while True:
            found, todo = self._items(progress)
            running = [row for row in found.rows if row.is_open]
            failed = [row for row in found.rows if self._has_failed(row)]
            fails_fast = progress.opening.policy is Policy.FAIL_FAST
            is_undone = state.rescue.undoing is not None
            is_stopped = is_ending or is_undone or is_over(state, self.claim)
            if is_stopped or (failed and fails_fast):
                self._tell(running, CANCEL)
                todo_now: Sequence[int] = ()
            elif state.is_paused:
                self._tell(running, PAUSE)
                todo_now = ()
            else:
                self._tell(running, RESUME)
                # At least one: whoever finds no place for it is woken when there is one.
                todo_now = todo[: min(max(found.room, 1), AT_ONCE)]
                if not todo and found.room > 0:
                    self._pass_on(progress)
            if todo_now:
                if self._start(todo_now, state, progress, more=todo != todo_now) == FULL:
                    return False
                continue
            is_resting = state.is_paused and todo
            if running or (is_resting and not is_ending):
                return False
            self._come_home(stopped=bool(todo), failed=failed)
            return True

    def _items(self, progress: MapProgress) -> tuple[ItemRuns, list[int]]:
        """What is known of its items, and those that have no outcome and no run."""
        low, high = progress.opening.span(self.claim.chunk)
        places = progress.opening.concurrency
        found = self._ask(
            lambda c: item_runs.runs(c, self.claim, low=low, high=high, places=places)
        )
        over = {row.idx for row in found.rows if row.is_open or self._has_failed(row)}
        over.update(found.done)
        return found, [idx for idx in range(low, high) if idx not in over]

    def _pass_on(self, progress: MapProgress) -> None:
        places = progress.opening.concurrency
        if self._ask(lambda c: item_runs.pass_on(c, self.claim, places=places)):
            self.shop.news()

    def _has_failed(self, row: ItemRun) -> bool:
        return row.state == "failed" and row.attempt >= self.claim.attempt

    def _tell(self, running: Sequence[ItemRun], word: str) -> None:
        told = [row.run_id for row in running if row.run_id is not None and row.needs(word)]
        if told:
            self._ask(lambda c: item_runs.tell(c, self.claim, told, word))
            self.shop.ring((RUN_POOL,))

    def _start(
        self, todo: Sequence[int], state: RunState, progress: MapProgress, *, more: bool
    ) -> str:
        """FULL when some found no place; one that cannot begin has failed."""
        if self.died >= CRASH_LIMIT:
            self._fail(todo[:1], Failure(code=WORKER_LOST, message=LOST_MESSAGE))
            self.died = 0  # They died of that one, as far as anybody knows.
            return ""
        starts = []
        for idx in todo:
            try:
                seed = self._seed(idx, state, progress)
            except ItemsGone as error:
                self._fail((idx,), Failure(code="MAP_ITEMS_GONE", message=str(error)))
            except Unstorable as error:
                self._fail((idx,), Failure(code="ITEM_TOO_LARGE", message=f"The item: {error}"))
            else:
                starts.append(ItemStart(run_id=uuid7(), idx=idx, seed=seed))
        if not starts:
            return ""
        places = progress.opening.concurrency
        said = self._ask(
            lambda c: item_runs.start(
                c, self.claim, starts, depth=DEPTH_LIMIT, places=places, more=more
            )
        )
        if said == TOO_DEEP:
            self._fail(todo, Failure(code="ITEM_TOO_DEEP", message=DEEP_MESSAGE))
        elif said not in (STARTED, FULL):
            raise LeaseLost
        self.shop.ring((RUN_POOL,))
        return said

    def _seed(self, idx: int, state: RunState, progress: MapProgress) -> str:
        """Raises ItemsGone, Unstorable."""
        claim = self.claim
        (value,) = self.shop.items.read(
            progress.opening.items,
            tenant_id=claim.tenant_id,
            objects=self.shop.open_objects(claim.tenant_id, claim.run_id),
            span=range(idx, idx + 1),
        )
        dumps(value, limit=INLINE_LIMIT)
        said = said_of_item(state, claim.path, idx)
        given = ItemGiven(
            path=claim.path,
            attempt=claim.attempt,
            run_id=str(claim.run_id),
            head=state.head,
            index=idx,
            item=value,
            generation=said.generation,
            scope=f"{state.frame.scope}{claim.path}[{idx}]/",
            follows=said.follows,
        )
        return encode(given).body or ""

    def _fail(self, todo: Sequence[int], failure: Failure) -> None:
        records = [failed_record(idx, {"index": idx, **failure.to_json()}) for idx in todo]
        if not self._ask(lambda c: maps.record(c, self.claim, records, writes=None, soon=False)):
            raise LeaseLost

    def _come_home(self, *, stopped: bool, failed: Sequence[ItemRun]) -> None:
        claim = self.claim
        failure: Any = None
        if failed:
            # Not one that was canceled because of it.
            low = min(failed, key=lambda row: (row.code == CANCELED, row.idx)).idx
            rows = self._ask(lambda c: maps.items(c, claim, claim.path, low=low, high=low + 1))
            failure = rows[0].error
        event = ChunkCompleted(
            path=claim.path,
            attempt=claim.attempt,
            chunk=claim.chunk,
            done=0,
            failed=0,
            stopped=stopped,
            failure=failure,
        )
        self._ask(lambda c: item_runs.home(c, claim, event))
        self.shop.ring((RUN_POOL,))

    def _ask(self, statement: Callable[[Connection], T]) -> T:
        """Each may be repeated: whoever holds the chunk says the same again."""
        return read_surely(self.shop.connections, self.shop.lease, statement)
