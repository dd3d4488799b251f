"""One leased run from claim to leave: its plan, its state, its slice, and what is left behind."""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

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
from apps.executions.engine.mapping import StepOpened
from apps.executions.engine.plan import Plan, PlanRefused
from apps.executions.engine.slice import Slice
from apps.executions.engine.slice_ports import (
    Around,
    Ask,
    AskKind,
    Batch,
    Change,
    Claim,
    Left,
)
from apps.executions.engine.state import RunStatus
from apps.executions.engine.wait_events import StepWaiting
from apps.executions.store.journal import RunJournal
from apps.executions.worker.keys import KeyPlaces, TurnKeys
from apps.executions.worker.leased import LeasedTurn
from apps.executions.worker.pool import SlicePool
from apps.executions.worker.shop import Shop

WARM_KEPT: Final = 64


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


class Turn(LeasedTurn[Claim, SlicePool]):
    """The turn of a run: one slice, whose last append may be in the writer's hands."""

    WHAT = "run"

    def __init__(self, claim: Claim, shop: Shop, warm: Warm) -> None:
        super().__init__(claim, shop, shop.step_pool())
        self.warm = warm
        self._mail = threading.Event()
        self._journal = self._open_journal()
        self._has_news = False
        """An item has ended: whoever looks after it may be woken."""

    # --- the engine's Control

    def now(self) -> dt.datetime:
        """The database's clock."""
        return self.shop.lease.now()

    def is_lost(self) -> bool:
        """The lease cannot be trusted any more."""
        return self.is_fenced or self.shop.lease.is_lost()

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

    def _settle(self, done: Callable[[], None]) -> None:
        self._journal.when_settled(lambda held: self._end(done, held=held))

    def _end(self, done: Callable[[], None], *, held: bool) -> None:
        if not held:
            self._drop(broken=False)
        elif self._has_news:
            self.shop.news()
        done()

    def _work(self) -> None:
        journal = self._journal
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
        self._has_news = state.frame.is_run and outcome.left is Left.FINISHED
        crashpoint("turn.left")

    def _keys(self, plan: Plan) -> TurnKeys | None:
        if not plan.keyed:
            return None
        shop = self.shop
        return TurnKeys(KeyPlaces(self.claim, shop.connections, shop.lease, read=shop.read_key))

    def _state(self, plan: Plan, journal: RunJournal) -> RunState:
        """A long history is read from the start once in a process, not at every claim."""
        if self.claim.head == 1:
            return fold(plan, [RunQueued(trigger="")])
        state = self.warm.take(self.claim)
        if state is None:
            above = self.shop.readings.above(self.claim, plan)
            return fold(plan, journal.history(), above=above)
        if state.head < self.claim.head:
            for event in journal.history(after=state.head):
                state.apply(event)
        return state

    def _open_journal(self) -> RunJournal:
        run_id = self.claim.run_id
        return RunJournal(
            self.claim,
            convoy=self.shop.convoy,
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
        asked = any(
            one.wait.kind.is_asked if isinstance(one, StepWaiting) else one.opening.parks
            for one in history
            if isinstance(one, StepWaiting | StepOpened)
        )
        over = Ask(kind=AskKind.OVER, seq=self.claim.head + len(events))
        change = Change(
            status=status,
            left=Left.FINISHED,
            error=failure.to_json(),
            asks=(over,) if asked else (),
        )
        rows = tuple(encode(event) for event in events)
        journal.append(Batch(head=self.claim.head, rows=rows, settled=0, change=change))


def _end_of(history: Sequence[Event]) -> RunStatus:
    """What a run that cannot go on comes to: one that was being stopped has been."""
    reasons = [event.reason for event in history if isinstance(event, RunCanceling)]
    if not reasons:
        return RunStatus.FAILED
    return RunStatus.CANCELED if reasons[0] is CancelReason.REQUESTED else RunStatus.TIMED_OUT
