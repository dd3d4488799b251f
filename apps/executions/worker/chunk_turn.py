"""One leased chunk of a map: its items run here, their results are recorded by the dozen."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable

from structlog.contextvars import bound_contextvars

from apps.executions.engine.concluding import WORKER_LOST
from apps.executions.engine.decide import LOST_MESSAGE
from apps.executions.engine.failure import Failure
from apps.executions.engine.mapping import ChunkCompleted, MapProgress
from apps.executions.engine.plan import RUN_POOL
from apps.executions.engine.ports import StopReason
from apps.executions.engine.slice import BUDGET, CRASH_LIMIT
from apps.executions.engine.slice_ports import ChunkClaim, LeaseLost
from apps.executions.store import maps
from apps.executions.store.connections import Connection
from apps.executions.store.resilient import read_surely
from apps.executions.worker.maps.item import ItemRunner
from apps.executions.worker.maps.ledger import Ledger
from apps.executions.worker.maps.lines import ItemsGone
from apps.executions.worker.maps.pools import ItemSteps, Pools
from apps.executions.worker.maps.work import Ended, Work
from apps.executions.worker.turn import Shop, give_up
from apps.workflows.graph.mapping import Policy

logger = logging.getLogger(__name__)


class ChunkTurn:
    """One claim's turn. `run` is called once, on a thread of its own."""

    def __init__(self, claim: ChunkClaim, shop: Shop) -> None:
        self.claim = claim
        self.shop = shop
        self.claimed_at = time.monotonic()
        self.busy_ms = 0.0
        self.pool = Pools(lambda: shop.step_pool(ItemSteps(shop.runner)))
        self._recalled = threading.Event()
        if claim.has_inbox:
            self._recalled.set()

    # --- the engine's Control, for the slices of items

    def now(self) -> dt.datetime:
        """The database's clock."""
        return self.shop.lease.now()

    def is_lost(self) -> bool:
        """The lease cannot be trusted any more."""
        return self.shop.lease.is_lost()

    def is_draining(self) -> bool:
        """The process stops."""
        return self.shop.is_draining()

    def is_crowded(self) -> bool:
        """An item is never left in the middle; chunks give way between items."""
        return False

    def has_mail(self) -> bool:
        """The map stops."""
        return self._recalled.is_set()

    # --- told by the loop

    def notify(self) -> None:
        """The map stops: its items' steps are told at once, their slices may stand in one."""
        self._recalled.set()
        self.pool.stop(StopReason.CANCELED)

    def stop(self, reason: StopReason) -> None:
        """End running steps."""
        self.pool.stop(reason)

    def run(self, done: Callable[[ChunkTurn], None]) -> None:
        """To the chunk's end, or until it gives way; `done` is called once, whatever happens."""
        claim = self.claim
        began = time.monotonic()
        with bound_contextvars(
            run=str(claim.run_id), tenant=str(claim.tenant_id), worker=str(self.shop.worker_id)
        ):
            try:
                self._run()
            except LeaseLost:
                logger.info("the chunk has another worker now, or its lease is in doubt")
                self._drop(broken=False)
            except Exception:
                logger.exception("the chunk broke off")
                self._drop(broken=True)
        self.busy_ms = (time.monotonic() - began) * 1000 * claim.slots
        done(self)

    def _run(self) -> None:
        claim = self.claim
        if not self._surely(lambda connection: maps.take(connection, claim)):
            raise LeaseLost
        state = self.shop.readings.of(claim, self.shop.plans.of(claim))
        step = state.step(claim.path)
        progress = state.records[step.index].mapping
        if progress is None or progress.attempt != claim.attempt or step.body is None:
            raise LeaseLost
        ledger = Ledger(
            write=lambda records, *, writes=None, soon=False: self._surely(
                lambda c: maps.record(c, claim, records, writes=writes, soon=soon)
            ),
            at_once=claim.crashes > 0,
        )
        work = Work(
            claim=claim,
            control=self,
            ledger=ledger,
            runner=ItemRunner(
                claim=claim,
                body=step.body,
                outer=state.upstream_of(step),
                commit=ledger.commit,
                control=self,
                pools=self.pool,
                throttle=self.shop.throttles.of(claim, now=self.now()),
            ),
            fails_fast=progress.opening.policy is Policy.FAIL_FAST,
            gives_way=self._gives_way(),
        )
        low, high = progress.opening.span(claim.chunk)
        self._fill(work, progress, low, high)
        ended = Ended.STOPPED if self._recalled.is_set() else work.run()
        ledger.flush()
        if ended is Ended.GAVE_WAY:
            self._drop(broken=False)
            return
        event = work.event(stopped=ended is Ended.STOPPED)
        self._finish(event)

    def _fill(self, work: Work, progress: MapProgress, low: int, high: int) -> None:
        """Give every item to the work that is not recorded yet."""
        claim = self.claim
        known = {
            row.idx: row
            for row in read_surely(
                self.shop.connections,
                self.shop.lease,
                lambda c: maps.items(c, claim, claim.path, low=low, high=high),
            )
        }
        open_ = [
            idx
            for idx in range(low, high)
            if (row := known.get(idx)) is None
            or row.state == "begun"
            or (row.state == "failed" and row.attempt < claim.attempt)
        ]
        if open_ and claim.crashes >= CRASH_LIMIT and open_[0] not in known:
            work.fail(open_.pop(0), Failure(code=WORKER_LOST, message=LOST_MESSAGE))
        try:
            values = self.shop.items.read(
                progress.opening.items,
                tenant_id=claim.tenant_id,
                objects=self.shop.open_objects(claim.tenant_id, claim.run_id),
                span=range(low, high),
            )
        except ItemsGone as error:
            for idx in open_:
                work.fail(idx, Failure(code="MAP_ITEMS_GONE", message=str(error)))
            return
        for idx in open_:
            row = known.get(idx)
            begun = row.output if row is not None and row.state == "begun" else None
            work.add(idx, values[idx - low], history=begun)

    def _gives_way(self) -> Callable[[], bool]:
        until = self.shop.lease.now() + BUDGET
        return lambda: self.shop.is_crowded() and self.shop.lease.now() >= until

    def _finish(self, event: ChunkCompleted) -> None:
        self._surely(lambda connection: maps.done(connection, self.claim, event))
        self.shop.ring((RUN_POOL,))

    def _surely(self, statement: Callable[[Connection], bool]) -> bool:
        """All may be repeated: a lost reply does no harm. Raises LeaseLost."""
        return read_surely(self.shop.connections, self.shop.lease, statement)

    def _drop(self, *, broken: bool) -> None:
        self.pool.stop(StopReason.LEASE_LOST)
        give_up(self.shop, self.claim, broken=broken)
