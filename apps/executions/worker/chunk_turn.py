"""One leased chunk of a map: its items run here, their results are recorded by the dozen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import UUID

from apps.executions.engine.calls import given_below, said_of_item
from apps.executions.engine.concluding import WORKER_LOST
from apps.executions.engine.decide import LOST_MESSAGE
from apps.executions.engine.failure import Failure
from apps.executions.engine.fold import RunState
from apps.executions.engine.mapping import ChunkCompleted, MapProgress
from apps.executions.engine.plan import RUN_POOL, Step
from apps.executions.engine.ports import StopReason
from apps.executions.engine.slice import BUDGET, CRASH_LIMIT
from apps.executions.engine.slice_ports import ChunkClaim, LeaseLost
from apps.executions.store import item_undos, maps
from apps.executions.store.connections import Shared
from apps.executions.store.resilient import read_surely
from apps.executions.worker.keys import KeyPlaces
from apps.executions.worker.leased import LeasedTurn
from apps.executions.worker.maps.item import Commit, ItemRunner
from apps.executions.worker.maps.keys import ChunkKeys
from apps.executions.worker.maps.ledger import Ledger
from apps.executions.worker.maps.lines import ItemsGone
from apps.executions.worker.maps.pools import ItemSteps, Pools
from apps.executions.worker.maps.spending import Spending
from apps.executions.worker.maps.undo import ELSEWHERE, Store, UndoRunner, UndoWork
from apps.executions.worker.maps.watch import Watch
from apps.executions.worker.maps.work import Ended, Work
from apps.executions.worker.shop import Shop
from apps.executions.worker.tending import Tending
from apps.executions.worker.tending_undo import UndoTending
from apps.workflows.graph.mapping import Policy

logger = logging.getLogger(__name__)

ELSEWHERE_MESSAGE: Final = "Another run has begun to undo the item, or its retention is over."


class ChunkTurn(LeasedTurn[ChunkClaim, Pools]):
    """The turn of a chunk: to its end, or until it gives way."""

    WHAT = "chunk"

    def __init__(self, claim: ChunkClaim, shop: Shop) -> None:
        super().__init__(claim, shop, Pools(lambda: shop.step_pool(ItemSteps(shop.runner))))
        self._watch: Watch | None = None
        self._is_told = claim.has_inbox

    # --- told by the loop

    def notify(self) -> None:
        """Somebody wants the chunk back, or its run ends."""
        self._is_told = True
        if self._watch is not None:
            self._watch.look()

    def _work(self) -> None:
        shop = self.shop
        line = read_surely(shop.connections, shop.lease, lambda _: Shared(shop.connections))
        try:
            self._hold(line)
        finally:
            line.release()

    def _hold(self, line: Shared) -> None:
        claim, shop = self.claim, self.shop
        taken = read_surely(line, shop.lease, lambda connection: maps.take(connection, claim))
        if taken is None:
            raise LeaseLost
        state = self._state(claim.head)
        step = state.step(claim.path)
        progress = state.records[step.index].mapping
        if progress is None or progress.attempt != claim.attempt:
            raise LeaseLost
        undo = progress.undo
        undoes = undo is not None and claim.chunk in undo.open
        if progress.opening.parks and undoes:
            UndoTending(claim=claim, shop=shop, read=self._state).run()
            return
        if progress.opening.parks:
            Tending(claim=claim, shop=shop, read=self._state, died=taken.died).run()
            return
        self._watch = watch = Watch(
            claim=claim,
            lease=shop.lease,
            line=line,
            drains=shop.is_draining,
            read=self._state,
            # Its items' steps are told at once, their slices may stand in one.
            on_stop=lambda: self.pool.stop(StopReason.CANCELED),
            undoes=undoes,
            is_due=self._is_told,
        )
        ledger = self._ledger(line, step)
        source = UUID(progress.source) if progress.source else None
        store = self._store(line, source)
        commit = store.commit if undoes else ledger.commit
        runner = self._runner(line, state, step, watch, commit, undoes=undoes)
        made = Work if not undoes else partial(UndoWork, store=store)
        work = made(
            claim=claim,
            watch=watch,
            ledger=ledger,
            runner=runner,
            fails_fast=not undoes and progress.opening.policy is Policy.FAIL_FAST,
            gives_way=self._gives_way(),
            spending=Spending(taken.spent),
        )
        self._fill(work, progress, died=taken.died)
        ended = work.run()
        if ended.is_put_down or ended is Ended.RESTED:
            work.keep()
        ledger.flush()
        if ended.is_put_down:
            self._put_down(line, work)
            return
        self._finish(work.event(stopped=ended is not Ended.DONE))

    def _ledger(self, line: Shared, step: Step) -> Ledger:
        claim, lease = self.claim, self.shop.lease
        undoes = step.body is not None and step.body.undoes
        return Ledger(
            write=lambda records, *, writes=None, soon=False: read_surely(
                line,
                lease,
                lambda c: maps.record(c, claim, records, writes=writes, soon=soon, undoes=undoes),
            ),
            at_once=claim.crashes > 0,
        )

    def _store(self, line: Shared, source: UUID | None) -> Store:
        claim, lease = self.claim, self.shop.lease
        undo = partial(maps.undo) if source is None else partial(item_undos.undo, source=source)
        return Store(
            lambda idx, *, history, is_done, writes: read_surely(
                line,
                lease,
                lambda c: undo(c, claim, idx=idx, history=history, is_done=is_done, writes=writes),
            )
        )

    def _runner(
        self,
        line: Shared,
        state: RunState,
        step: Step,
        watch: Watch,
        commit: Commit,
        *,
        undoes: bool,
    ) -> ItemRunner:
        claim, shop, body = self.claim, self.shop, step.body
        if body is None:
            raise LeaseLost
        make = UndoRunner if undoes else ItemRunner
        return make(
            claim=claim,
            body=body,
            outer=state.upstream_of(step),
            said=partial(said_of_item, state, claim.path),
            given=partial(given_below, state, claim.path),
            scope=state.frame.scope,
            commit=commit,
            control=watch,
            pools=self.pool,
            throttle=shop.throttles.of(claim, now=shop.lease.now()),
            keys=self._keys(line) if body.keyed else None,
        )

    def _keys(self, line: Shared) -> ChunkKeys:
        shop = self.shop
        return ChunkKeys(KeyPlaces(self.claim, line, shop.lease, read=shop.read_key))

    def _state(self, head: int) -> RunState:
        """The run at least so far, for reading."""
        claim = replace(self.claim, head=head)
        return self.shop.readings.of(claim, self.shop.plans.of(claim))

    def _fill(self, work: Work, progress: MapProgress, *, died: int) -> None:
        """Give every item to the work that is not through."""
        claim = self.claim
        span = range(*progress.opening.span(claim.chunk))
        found = (
            self._to_undo(work, span, progress.source)
            if isinstance(work, UndoWork)
            else self._to_do(span)
        )
        if found and died >= CRASH_LIMIT:
            work.fail(found.pop(0)[0], Failure(code=WORKER_LOST, message=LOST_MESSAGE))
        try:
            values = self.shop.items.read(
                progress.opening.items,
                tenant_id=claim.tenant_id,
                objects=self.shop.open_objects(claim.tenant_id, claim.run_id),
                span=span,
            )
        except ItemsGone as error:
            for idx, _ in found:
                work.fail(idx, Failure(code="MAP_ITEMS_GONE", message=str(error)))
            return
        for idx, begun in found:
            work.add(idx, values[idx - span.start], history=begun)

    def _to_do(self, span: range) -> list[tuple[int, Any]]:
        """The items without an outcome in this attempt, with what they have begun."""
        claim = self.claim
        known = {
            row.idx: row
            for row in read_surely(
                self.shop.connections,
                self.shop.lease,
                lambda c: maps.items(c, claim, claim.path, low=span.start, high=span.stop),
            )
        }
        return [
            (idx, row.output if row is not None and row.state == "begun" else None)
            for idx in span
            if (row := known.get(idx)) is None
            or row.state == "begun"
            or (row.state == "failed" and row.attempt < claim.attempt)
        ]

    def _to_undo(self, work: UndoWork, span: range, source: str | None) -> list[tuple[int, Any]]:
        """The items that did something, the last first, with what they did."""
        shop, claim = self.shop, self.claim
        run_id = claim.run_id if source is None else UUID(source)
        found = read_surely(
            shop.connections,
            shop.lease,
            lambda c: item_undos.to_undo(c, claim, run_id, span),
        )
        for item in found:
            if item.is_taken:
                work.fail(item.idx, Failure(code=ELSEWHERE, message=ELSEWHERE_MESSAGE))
            elif item.earlier:
                work.look_back(item.idx, item.earlier, last=item.history)
        return [(item.idx, item.history) for item in found if item.history and not item.is_taken]

    def _gives_way(self) -> Callable[[], bool]:
        until = self.shop.lease.now() + BUDGET
        return lambda: self.shop.is_crowded() and self.shop.lease.now() >= until

    def _finish(self, event: ChunkCompleted) -> None:
        read_surely(
            self.shop.connections, self.shop.lease, lambda c: maps.done(c, self.claim, event)
        )
        self.shop.ring((RUN_POOL,))

    def _put_down(self, line: Shared, work: Work) -> None:
        """For whoever comes, behind what is ready now or when something can go on."""
        self.pool.stop(StopReason.LEASE_LOST)
        spent = work.spending.text()
        rested = read_surely(
            line,
            self.shop.lease,
            lambda c: maps.rest(c, self.claim, spent=spent, until=work.wake_at),
        )
        if not rested:
            logger.info("the chunk was put down by an earlier try, or has another worker now")
