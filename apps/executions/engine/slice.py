"""One worker's turn with one run: decide, execute, append, until nothing is left to do now."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Final

from apps.executions.engine import ports
from apps.executions.engine.ahead import is_followed
from apps.executions.engine.buffer import Buffer
from apps.executions.engine.calls import call_of, deadline_of
from apps.executions.engine.concluding import STEP_TIMEOUT, conclude
from apps.executions.engine.decide import CancelRequest, Commands, Facts, decide
from apps.executions.engine.flight import Flight
from apps.executions.engine.fold import RunState
from apps.executions.engine.graph import bounded
from apps.executions.engine.history import (
    CancelReason,
    RunCanceling,
    StepDispatched,
    StepStarted,
)
from apps.executions.engine.keys import keyring_of
from apps.executions.engine.map_desk import MAP_FRACTION, awaited, failures, hand_out
from apps.executions.engine.mapping import ChunkResult, MapWork, are_open
from apps.executions.engine.pausing import PauseRequest
from apps.executions.engine.plan import Step
from apps.executions.engine.retry_budget import Retries
from apps.executions.engine.slice_ports import Around, Ask, AskKind, Claim, LeaseLost, Left, Outcome
from apps.executions.engine.state import StepStatus
from apps.executions.engine.storable import Unstorable
from apps.executions.engine.task import Task, TaskResult, TaskStarted
from apps.executions.engine.wait_events import StepAnswer
from apps.executions.engine.waits import Settled, has_conditions

BUDGET: Final = dt.timedelta(milliseconds=500)
"""How long a run may hold its slot while another lane waits."""
ANNOUNCE_AFTER: Final = dt.timedelta(milliseconds=500)
"""A step that runs longer is announced to those who watch."""
SHORT_WAIT: Final = dt.timedelta(seconds=1)
"""A retry due within this is waited for; a later one parks the run."""
CRASH_LIMIT: Final = 3


class Slice:
    """Owns one run while its fence holds. Not thread safe: one thread, from start to end."""

    def __init__(self, claim: Claim, state: RunState, around: Around) -> None:
        self.claim = claim
        self.state = state
        self.journal, self.pool, self.control = around.journal, around.pool, around.control
        self.began_at = self.control.now()
        self.flights: dict[int, Flight] = {}
        self.cancel: CancelRequest | None = None
        self.insists = False
        self.pause: PauseRequest | None = None
        self.has_stopped = False
        self.halted: set[int] = set()
        self.worker_lost = claim.crashes >= CRASH_LIMIT
        self.buffer = Buffer(state, self.journal)
        self.may_start = True
        self.keyring = keyring_of(self, around.keys)
        self.retries = Retries(state, deadline_at=claim.deadline_at, throttle=around.throttle)

    def run(self) -> Outcome:
        """Until the run has ended, waits, or must give way. Raises LeaseLost."""
        if self.claim.has_inbox:
            self._read_inbox()
        while True:
            if self.control.is_lost():
                self.pool.stop(ports.StopReason.LEASE_LOST)
                raise LeaseLost
            if self.control.has_mail():
                self._read_inbox()
            now = self.control.now()
            commands = decide(self.state, self._facts(now))
            if self._obey(commands, now) and not self.state.status.is_terminal:
                continue
            if self.keyring is not None and self.keyring.holds_back(commands, now):
                continue
            if left := self._leaving(commands, now):
                return self._leave(left)
            self._hand_out(commands, now)
            self._start(commands.starts, now)
            if self.flights or not (commands.dispatches or commands.maps):
                self._receive(commands.wake_at, now)
                self._send_ahead()

    def _send_ahead(self) -> None:
        """While it is decided what comes next, what was done is on its way to the disk."""
        if self.buffer.is_strict and self.keyring is None:
            claim = self.claim
            if is_followed(self.state, slots=claim.slots, pool=claim.pool):
                self.buffer.begin()

    def _obey(self, commands: Commands, now: dt.datetime) -> bool:
        """Stop what shall not go on, record what has been decided; whether anything has."""
        if commands.stop_running:
            self._stop(now)
        if commands.halts:
            self._halt(commands.halts, now)
        for event in commands.events:
            self.buffer.record(event, now=now)
        for one in commands.settled:
            self._settle(one, now)
        return bool(commands.events or commands.settled)

    # --- what is known

    def _read_inbox(self) -> None:
        self.journal.land()
        inbox = self.journal.inbox()
        self.buffer.consumed = inbox.ids
        if inbox.cancel is not None and self.cancel is None:
            self.insists = self.state.canceling is not None
        self.cancel = inbox.cancel or self.cancel
        self.pause = inbox.pause or self.pause
        now = self.control.now()
        for word in inbox.tasks:
            self._hear(word, now)
        for signal in inbox.signals:
            if signal.id not in self.state.heard:
                self.buffer.record(signal, now=now)
        for answer in inbox.answers:
            self._answer(answer, now)

    def _hear(self, word: TaskStarted | TaskResult | ChunkResult, now: dt.datetime) -> None:
        """What a dispatched step's worker says; of an attempt that is over, nothing counts."""
        if isinstance(word, ChunkResult):
            if (event := awaited(self.state, word)) is not None:
                self.buffer.record(event, now=now)
            return
        step = self.state.step(word.path)
        if self.state.dispatched.get(step.index) != word.attempt:
            return
        flight = self._flight(step, word.attempt, word.started_at, interrupted=False)
        match word:
            case TaskResult():
                self._conclude(flight, word.outcome, now=now, fraction=word.fraction)
            case TaskStarted() if self.state.records[step.index].status is StepStatus.READY:
                self._announce(flight, now=now)

    def _answer(self, answer: StepAnswer, now: dt.datetime) -> None:
        """What a waiting step comes to; of a wait that is over, nothing counts."""
        index = self.state.step(answer.path).index
        wait = self.state.waiting.get(index)
        is_meant = wait is not None and answer.kind in (None, wait.kind)
        if is_meant and self.state.records[index].attempt == answer.attempt:
            self._settle(Settled(index=index, outcome=answer.outcome), now)

    def _settle(self, settled: Settled, now: dt.datetime) -> None:
        step, record = self.state.steps[settled.index], self.state.records[settled.index]
        wait, outcome = self.state.waiting[settled.index], settled.outcome
        flight = self._flight(step, record.attempt, record.started_at or now, interrupted=False)
        usage = record.usage or outcome.usage
        given = replace(outcome, usage=usage)
        result: ports.StepOutcome = given
        if has_conditions(step, outcome):
            result = replace(self.pool.settle(self._call(flight, given=given)), usage=usage)
        self._conclude(flight, result, now=now, fraction=0.5)
        is_over = settled.index not in self.state.waiting
        if settled.is_overdue and wait.kind.is_asked and is_over:
            self.buffer.asks.append(Ask(kind=AskKind.OVERDUE, seq=self.state.head))

    def _facts(self, now: dt.datetime) -> Facts:
        lost, self.worker_lost = self.worker_lost, False
        pause, self.pause = self.pause, None
        spent = now - self.began_at >= BUDGET and self.control.is_crowded()
        self.may_start = not (spent or self.control.is_draining())
        return Facts(
            now=now,
            deadline_at=self.claim.deadline_at,
            slots=self.claim.slots,
            pool=self.claim.pool,
            is_held=self.claim.is_held,
            cancel=self.cancel,
            insists=self.insists,
            pause=pause,
            worker_lost=lost,
            may_start=self.may_start,
        )

    # --- starting

    def _hand_out(self, commands: Commands, now: dt.datetime) -> None:
        """Hand steps to workers of other pools: event and task become durable together."""
        if commands.maps is not None:
            self._map(commands.maps, now)
        for index in commands.dispatches:
            step = self.state.steps[index]
            pool, attempt = step.pool or self.claim.pool, self.state.next_attempt(index)
            self.buffer.record(StepDispatched(path=step.path, attempt=attempt, pool=pool), now=now)
            self.buffer.tasks.append(Task(path=step.path, attempt=attempt, pool=pool))
            self.buffer.is_strict = True

    def _map(self, work: MapWork, now: dt.datetime) -> None:
        """Hand slices of items to other workers; conclude maps that failed."""
        for event in hand_out(work, self.state, self.buffer, pool=self.claim.pool):
            self.buffer.record(event, now=now)
        for step, progress in failures(work, self.state):
            begun = self.state.records[step.index].started_at or now
            flight = self._flight(step, progress.attempt, begun, interrupted=False)
            self._conclude(flight, progress.verdict(), now=now, fraction=MAP_FRACTION)

    def _start(self, starts: tuple[int, ...], now: dt.datetime) -> None:
        launched = []
        touches_world = False
        for index in starts:
            step = self.state.steps[index]
            interrupted = index in self.state.cut
            attempt = self.state.launch(index)
            flight = self._flight(step, attempt, now, interrupted=interrupted)
            launched.append(flight)
            touches_world = touches_world or not step.is_pure
            if step.needs_intent and not interrupted:
                self._announce(flight, now=now)
                self.buffer.is_strict = True
        self.buffer.barrier(now, touches_world=touches_world, ahead=bool(launched))
        durable = self.journal.land
        if not launched:
            durable()
        for flight in launched:
            step, self.flights[flight.step.index] = flight.step, flight
            # Its call is made while what it builds upon is on its way to the disk.
            self.pool.submit(step.index, self._call(flight), light=step.is_light, durable=durable)

    def refuse(self, index: int, failure: ports.StepFailed, now: dt.datetime) -> None:
        """A step that cannot even begin."""
        attempt = self.state.launch(index)
        flight = self._flight(self.state.steps[index], attempt, now, interrupted=False)
        self._conclude(flight, failure, now=now, fraction=0.5)

    def _flight(
        self, step: Step, attempt: int, started_at: dt.datetime, *, interrupted: bool
    ) -> Flight:
        deadline_at = deadline_of(self.claim, step, started_at=started_at)
        return Flight(step, attempt, started_at, deadline_at, interrupted=interrupted)

    def _call(
        self, flight: Flight, *, given: ports.StepDone | ports.StepFailed | None = None
    ) -> ports.StepCall:
        return call_of(
            self.claim,
            self.state,
            flight.step,
            attempt=flight.attempt,
            started_at=flight.started_at,
            interrupted=flight.interrupted,
            given=given,
        )

    # --- receiving

    def _receive(self, wake_at: dt.datetime | None, now: dt.datetime) -> None:
        arrivals = self.pool.arrivals(seconds=self._patience(wake_at, now))
        now = self.control.now()
        for arrival in arrivals:
            flight = self.flights.pop(arrival.index)
            self._conclude(flight, arrival.outcome, now=now, fraction=arrival.fraction)
        for flight in tuple(self.flights.values()):
            if now >= flight.abandon_at:
                self._abandon(flight, now)
            elif not flight.announced and now >= flight.started_at + ANNOUNCE_AFTER:
                self._announce(flight, now=now)
                self.buffer.due_at = now

    def _patience(self, wake_at: dt.datetime | None, now: dt.datetime) -> float:
        instants = [wake_at] if wake_at else []
        for flight in self.flights.values():
            # Nothing is abandoned before it has been announced.
            is_known = flight.announced or flight.stop_at is not None
            instants.append(flight.abandon_at if is_known else flight.started_at + ANNOUNCE_AFTER)
        if self.buffer.rows:
            instants.append(self.buffer.due_at)
        return max((min(instants) - now).total_seconds(), 0.0)

    def _conclude(
        self, flight: Flight, outcome: ports.StepOutcome, *, now: dt.datetime, fraction: float
    ) -> None:
        step = flight.step
        if self.keyring is not None:
            self.keyring.left(step)
        if self._ran_out(flight, outcome):
            # The attempt's limit was the run's: it is the run whose time is over.
            if not self.state.is_stopping:
                self.buffer.record(RunCanceling(reason=CancelReason.DEADLINE), now=now)
                if not self.state.plan.undoes_on_cancel:
                    self._stop(now)
            outcome = ports.StepStopped(reason=ports.StopReason.CANCELED, usage=outcome.usage)
        if isinstance(outcome, ports.StepRepeats):
            outcome = bounded(self.state, step, outcome)
        event = conclude(
            step,
            outcome,
            attempt=flight.attempt,
            started_at=flight.started_at,
            now=now,
            retries=self.retries,
            fraction=fraction,
        )
        if event is None:
            self.state.land(step.index)
            return
        try:
            self.buffer.record(event, now=now)
        except Unstorable as error:
            refused = ports.StepFailed(code=error.code, message=str(error), usage=outcome.usage)
            self._conclude(flight, refused, now=now, fraction=fraction)
            return
        if isinstance(outcome, ports.StepDone):
            self.buffer.writes.extend(outcome.writes)
        self.buffer.is_strict = self.buffer.is_strict or not step.is_pure

    def _ran_out(self, flight: Flight, outcome: ports.StepOutcome) -> bool:
        is_timeout = isinstance(outcome, ports.StepFailed) and outcome.code == STEP_TIMEOUT
        return is_timeout and flight.deadline_at == self.claim.deadline_at

    def _announce(self, flight: Flight, *, now: dt.datetime) -> None:
        flight.announced = True
        event = StepStarted(
            path=flight.step.path, attempt=flight.attempt, started_at=flight.started_at
        )
        self.buffer.record(event, now=now)

    # --- stopping

    def _stop(self, now: dt.datetime) -> None:
        if not self.has_stopped:
            self.has_stopped = True
            self.pool.stop(ports.StopReason.CANCELED)
            for flight in self.flights.values():
                flight.stop_at = flight.stop_at or now
            if self.state.dispatched or are_open(self.state.mapping):
                self.buffer.recall = self.buffer.is_strict = True

    def _halt(self, needless: frozenset[int], now: dt.datetime) -> None:
        """Ask steps to stop whose outcome nobody needs: each once, and then what made them so.

        What other processes run comes back only when it is durable that nobody needs it.
        """
        for index in needless - self.halted:
            if index in self.flights:
                self.flights[index].stop_at = now
                self.pool.halt(index)
            elif index in self.state.dispatched:
                self.buffer.halts.append(self.state.steps[index].path)
        self.halted |= needless
        if self.buffer.halts:
            self.buffer.is_strict = True
            self.buffer.barrier(now, touches_world=False)

    def _abandon(self, flight: Flight, now: dt.datetime) -> None:
        step = flight.step
        self.pool.abandon(step.index)
        del self.flights[step.index]
        seconds = (flight.deadline_at - flight.started_at).total_seconds()
        outcome: ports.StepOutcome = ports.StepFailed(
            code=STEP_TIMEOUT,
            message=f"The step did not end within {seconds:g} s and could not be stopped.",
            retryable=True,
        )
        if flight.stop_at is not None:
            outcome = ports.StepStopped(reason=ports.StopReason.CANCELED)
        self._conclude(flight, outcome, now=now, fraction=1.0)

    # --- appending and leaving

    def _leaving(self, commands: Commands, now: dt.datetime) -> Left | None:
        if self.state.status.is_terminal:
            return Left.FINISHED
        if self.flights or commands.starts or commands.dispatches or commands.maps:
            return None
        state = self.state
        is_held = self.claim.is_held and not state.is_stopping
        waits = sum(at > now for at in state.retrying.values())
        runnable = state.ready or state.cut or waits < len(state.retrying)
        if runnable and not (state.is_paused or is_held):
            # If they may start, they wait for a dispatched step to make room for them.
            is_full = self.may_start and bool(state.dispatched)
            return Left.PARKED if is_full else Left.YIELDED
        # The timer of a deadline that is this near may have fired already: it is waited for.
        soonest = commands.wake_at
        return Left.PARKED if soonest is None or soonest > now + SHORT_WAIT else None

    def _leave(self, left: Left) -> Outcome:
        now = self.control.now()
        busy = now - self.began_at
        self.buffer.leave(left, now=now)
        return Outcome(left=left, state=self.state, busy_ms=round(busy.total_seconds() * 1000))
