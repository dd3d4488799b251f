"""One leased run from claim to leave: its plan, its state, its slice, and what is left behind."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from structlog.contextvars import bound_contextvars

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.codec import encode
from apps.executions.engine.failure import Failure
from apps.executions.engine.fold import RunState, fold
from apps.executions.engine.history import (
    CancelReason,
    Event,
    RunCanceling,
    RunEnded,
    RunQueued,
    RunStarted,
)
from apps.executions.engine.plan import Plan, PlanRefused
from apps.executions.engine.ports import StepCall, StepRunner, StopReason
from apps.executions.engine.slice import Slice
from apps.executions.engine.slice_ports import (
    Around,
    Ask,
    AskKind,
    Batch,
    Change,
    Claim,
    LeaseLost,
    Left,
)
from apps.executions.engine.state import RunStatus
from apps.executions.engine.wait_events import StepWaiting
from apps.executions.store import statements
from apps.executions.store.connections import Connections
from apps.executions.store.journal import RunJournal
from apps.executions.store.writer import Writer
from apps.executions.worker.keys import KeyReader, TurnKeys
from apps.executions.worker.lease import Lease
from apps.executions.worker.logs import LogBook
from apps.executions.worker.maps.lines import ItemSource
from apps.executions.worker.maps.objects import OpenObjects
from apps.executions.worker.plans import Plans
from apps.executions.worker.pool import Pace, SlicePool
from apps.executions.worker.readings import Readings
from apps.executions.worker.settings import Tell
from apps.executions.worker.throttles import Throttles

logger = logging.getLogger(__name__)

WARM_KEPT: Final = 64


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What all turns of a process share."""

    connections: Connections
    writer: Writer
    lease: Lease
    plans: Plans
    runner: StepRunner
    steps: Executor
    pace: Pace
    logs: LogBook
    tell: Tell
    is_draining: Callable[[], bool]
    is_crowded: Callable[[], bool]
    on_abandoned: Callable[[StepCall], None]
    worker_id: UUID
    readings: Readings
    items: ItemSource = field(default_factory=ItemSource)
    throttles: Throttles = field(default_factory=Throttles)
    open_objects: OpenObjects
    ring: Callable[[Collection[str]], None]
    read_key: KeyReader
    """There is something to claim in these pools: tell the processes that serve them."""
    asked: Callable[[], None]
    """A wait has something to ask of the rest of the product."""

    def step_pool(self, runner: StepRunner | None = None) -> SlicePool:
        """What runs the steps of one turn."""
        return SlicePool(
            runner=runner or self.runner,
            executor=self.steps,
            pace=self.pace,
            open_log=self.logs.open,
            on_abandoned=self.on_abandoned,
        )


class Warm:
    """States of runs that left and may come back; what others have appended since is caught up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: OrderedDict[UUID, RunState] = OrderedDict()

    def keep(self, run_id: UUID, state: RunState) -> None:
        """Remember where a run was left."""
        with self._lock:
            self._states[run_id] = state
            while len(self._states) > WARM_KEPT:
                self._states.popitem(last=False)

    def take(self, claim: Claim) -> RunState | None:
        """The state as it was left here, if it was not long ago."""
        with self._lock:
            state = self._states.pop(claim.run_id, None)
        return state if state is not None and state.head <= claim.head else None


class Turn:
    """One claim's turn. `run` is called once, on a thread of its own."""

    def __init__(self, claim: Claim, shop: Shop, warm: Warm) -> None:
        self.claim = claim
        self.shop = shop
        self.warm = warm
        self.claimed_at = time.monotonic()
        self.busy_ms = 0.0
        self.pool = shop.step_pool()
        self._mail = threading.Event()

    # --- the engine's Control

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
        """Another lane waits."""
        return self.shop.is_crowded()

    def has_mail(self) -> bool:
        """Something came into the inbox; asking resets it."""
        if self._mail.is_set():
            self._mail.clear()
            return True
        return False

    # --- told by the loop

    def notify(self) -> None:
        """Something is in the inbox."""
        self._mail.set()
        self.pool.nudge()

    def stop(self, reason: StopReason) -> None:
        """End running steps."""
        self.pool.stop(reason)

    def run(self, done: Callable[[Turn], None]) -> None:
        """To the end of the slice; `done` is called once, when its last append is durable."""
        with bound_contextvars(
            run=str(self.claim.run_id),
            tenant=str(self.claim.tenant_id),
            worker=str(self.shop.worker_id),
        ):
            self._run(done)

    def _run(self, done: Callable[[Turn], None]) -> None:
        began = time.monotonic()
        journal = self._journal()
        try:
            self._slice(journal)
        except LeaseLost:
            logger.info("the run has another owner now, or its lease is in doubt")
            self._drop(broken=False)
        except Exception:
            logger.exception("the slice broke off")
            self._drop(broken=True)
        self.busy_ms = (time.monotonic() - began) * 1000 * self.claim.slots
        journal.when_settled(lambda held: self._end(done, held=held))

    def _end(self, done: Callable[[Turn], None], *, held: bool) -> None:
        if not held:
            self._drop(broken=False)
        done(self)

    def _slice(self, journal: RunJournal) -> None:
        try:
            crashpoint("turn.begun")
            plan = self.shop.plans.of(self.claim)
        except PlanRefused as error:
            self._refuse(journal, error)
            return
        state = self._state(plan, journal)
        throttle = self.shop.throttles.of(self.claim, now=self.now())
        around = Around(
            journal=journal,
            pool=self.pool,
            control=self,
            keys=self._keys(plan),
            throttle=throttle,
        )
        crashpoint("turn.folded")
        attempts = state.totals.attempts
        outcome = Slice(self.claim, state, around).run()
        throttle.earn(outcome.state.totals.attempts - attempts)
        if outcome.left is not Left.FINISHED:
            self.warm.keep(self.claim.run_id, outcome.state)
        crashpoint("turn.left")

    def _keys(self, plan: Plan) -> TurnKeys | None:
        if not plan.keyed:
            return None
        shop = self.shop
        return TurnKeys(self.claim, shop.connections, shop.lease, read=shop.read_key)

    def _state(self, plan: Plan, journal: RunJournal) -> RunState:
        """A long history is read from the start once in a process, not at every claim."""
        if self.claim.head == 1:
            return fold(plan, [RunQueued(trigger="")])
        state = self.warm.take(self.claim)
        if state is None:
            return fold(plan, journal.history())
        if state.head < self.claim.head:
            for event in journal.history(after=state.head):
                state.apply(event)
        return state

    def _journal(self) -> RunJournal:
        run_id = self.claim.run_id
        return RunJournal(
            self.claim,
            connections=self.shop.connections,
            writer=self.shop.writer,
            patience=self.shop.lease,
            tell=lambda head, is_over: self.shop.tell(run_id, head, is_over=is_over),
            ring=self.shop.ring,
            asked=self.shop.asked,
        )

    def _refuse(self, journal: RunJournal, error: PlanRefused) -> None:
        """A version that this installation cannot run (any more) ends its run with the reason."""
        failure = Failure(code=error.code, message=str(error), path=error.node_id)
        history = journal.history()
        is_new = not any(isinstance(event, RunStarted) for event in history)
        started: tuple[Event, ...] = (RunStarted(),) if is_new else ()
        status = _end_of(history)
        events = (*started, RunEnded(status=status, error=failure))
        asked = any(isinstance(one, StepWaiting) and one.wait.kind.is_asked for one in history)
        over = Ask(kind=AskKind.OVER, seq=self.claim.head + len(events))
        change = Change(
            status=status,
            left=Left.FINISHED,
            error=failure.to_json(),
            asks=(over,) if asked else (),
        )
        rows = tuple(encode(event) for event in events)
        journal.append(Batch(head=self.claim.head, rows=rows, settled=0, change=change))

    def _drop(self, *, broken: bool) -> None:
        self.pool.stop(StopReason.LEASE_LOST)
        give_up(self.shop, self.claim, broken=broken)


def _end_of(history: Sequence[Event]) -> RunStatus:
    """What a run that cannot go on comes to: one that was being stopped has been."""
    reasons = [event.reason for event in history if isinstance(event, RunCanceling)]
    if not reasons:
        return RunStatus.FAILED
    return RunStatus.CANCELED if reasons[0] is CancelReason.REQUESTED else RunStatus.TIMED_OUT


def give_up(shop: Shop, claim: Claim, *, broken: bool, behind: bool = False) -> None:
    """Drop an item that is still ours: it is ready for whoever comes, `behind` what is now."""
    try:
        crashpoint("turn.dropped")
        statements.give_up(
            shop.connections.get(),
            item_id=claim.item_id,
            token=claim.token,
            broken=broken,
            behind=behind,
        )
    except Exception as error:
        # The loop finds an item without a turn, or the reaper one without a lease.
        logger.warning("what was claimed was not given back: %s", error)
        shop.connections.drop()
