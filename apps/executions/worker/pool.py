"""The steps of one slice on threads: quick ones on the slice's own, the others on the process's."""

from __future__ import annotations

import datetime as dt
import logging
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import copy_context
from typing import Final

from structlog.contextvars import bind_contextvars, reset_contextvars

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepFailed,
    StepOutcome,
    StepRunner,
    StopReason,
)
from apps.executions.engine.slice_ports import Arrival

logger = logging.getLogger(__name__)

QUICK_SECONDS: Final = 0.005
TURN_SECONDS: Final = 0.015
SMOOTHING: Final = 0.2
Durable = Callable[[], None]
"""Returns when all that a step builds upon is durable."""
SETTLES: Final = -1
"""No step has this position: what only evaluates conditions is never stopped by itself."""


def at_once() -> None:
    """Nothing is waited for."""


class Pace:
    """How long steps of each type take in this process; an unknown type counts as slow."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, int], float] = {}

    def is_quick(self, key: tuple[str, int]) -> bool:
        """Whether a thread hop would cost more than the step is likely to."""
        return self._seconds.get(key, 1.0) < QUICK_SECONDS

    def learn(self, key: tuple[str, int], *, seconds: float) -> None:
        """One more step of the type; a slow one counts at once, quick ones by and by."""
        before = self._seconds.get(key, seconds)
        self._seconds[key] = max(before + SMOOTHING * (seconds - before), seconds * 0.5)


class Stops:
    """Who of a slice shall stop: all its steps, or single ones."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.reason: StopReason | None = None
        self.halted: set[int] = set()

    def set(self, reason: StopReason) -> None:
        """Ask every step of the slice to stop."""
        with self.changed:
            self.reason = reason
            self.changed.notify_all()

    def halt(self, index: int) -> None:
        """Ask one step to stop."""
        with self.changed:
            self.halted.add(index)
            self.changed.notify_all()


class Stop:
    """The stop signal of one step."""

    __slots__ = ("_index", "_stops")

    def __init__(self, stops: Stops, index: int) -> None:
        self._stops = stops
        self._index = index

    def stopped(self) -> StopReason | None:
        """None while the step should go on."""
        if self._index in self._stops.halted:
            return StopReason.CANCELED
        return self._stops.reason

    def wait(self, *, seconds: float) -> StopReason | None:
        """Sleep at most that long."""
        with self._stops.changed:
            self._stops.changed.wait_for(self.stopped, timeout=seconds)
        return self.stopped()


class SlicePool:
    """The engine's StepPool for one slice. `open_log` gives an attempt its sink."""

    def __init__(
        self,
        *,
        runner: StepRunner,
        executor: Executor,
        pace: Pace,
        open_log: Callable[[StepCall], LogSink],
        on_abandoned: Callable[[StepCall], None],
    ) -> None:
        self._runner = runner
        self._executor = executor
        self._pace = pace
        self._open_log = open_log
        self._on_abandoned = on_abandoned
        self._stops = Stops()
        self._quick: deque[tuple[int, StepCall, Durable]] = deque()
        self._back: queue.SimpleQueue[Arrival | None] = queue.SimpleQueue()
        self._flying: dict[int, StepCall] = {}
        self._here: StepCall | None = None

    def submit(
        self, index: int, call: StepCall, *, light: bool, durable: Durable = at_once
    ) -> None:
        """Start an attempt on a thread, or keep a quick one for `arrivals`."""
        if light and self._pace.is_quick(call.node_type.key):
            self._flying[index] = call
            self._quick.append((index, call, durable))
        else:
            durable()
            self._flying[index] = call
            # What the slice's thread tells the log about its run holds for its steps.
            self._executor.submit(copy_context().run, self._fly, index, call)

    def arrivals(self, *, seconds: float) -> tuple[Arrival, ...]:
        """Run what is quick, else wait for the first to come back; then all that have."""
        landed: list[Arrival] = []
        until = time.monotonic() + TURN_SECONDS
        while self._quick:
            landed.append(self._arrival(*self._quick.popleft()))
            self._here = None
            if time.monotonic() >= until:
                break
        if not landed:
            landed += self._next(seconds)
        while not self._back.empty():
            landed += self._next(0.0)
        return tuple(arrival for arrival in landed if self._is_ours(arrival))

    def settle(self, call: StepCall) -> StepOutcome:
        """Evaluate conditions on an outcome from elsewhere; nothing of the node runs."""
        outcome, _ = self._run(SETTLES, call)
        return outcome

    def stop(self, reason: StopReason) -> None:
        """Ask every running step to stop."""
        self._stops.set(reason)
        self.nudge()

    def halt(self, index: int) -> None:
        """Ask one running step to stop."""
        self._stops.halt(index)

    def abandon(self, index: int) -> None:
        """Its outcome will not be delivered; the process is told, for its thread is stuck."""
        self._on_abandoned(self._flying.pop(index))

    def overdue(self, *, before: dt.datetime) -> StepCall | None:
        """The step on the slice's own thread, if it should have ended before that instant.

        The slice cannot see this itself: it is inside the step.
        """
        call = self._here
        return call if call is not None and call.deadline_at < before else None

    def nudge(self) -> None:
        """Let `arrivals` return early."""
        self._back.put(None)

    def _next(self, seconds: float) -> Iterator[Arrival]:
        with suppress(queue.Empty):
            if arrival := self._back.get(timeout=seconds):
                yield arrival

    def _is_ours(self, arrival: Arrival) -> bool:
        call = self._flying.get(arrival.index)
        if call is None or call.attempt != arrival.attempt:
            return False
        del self._flying[arrival.index]
        return True

    def _fly(self, index: int, call: StepCall) -> None:
        self._back.put(self._arrival(index, call))

    def _arrival(self, index: int, call: StepCall, durable: Durable | None = None) -> Arrival:
        began = time.monotonic()
        outcome, waited = self._run(index, call, durable)
        self._pace.learn(call.node_type.key, seconds=time.monotonic() - began - waited)
        chance = random.random()  # noqa: S311 - jitter
        return Arrival(index=index, attempt=call.attempt, outcome=outcome, fraction=chance)

    def _run(
        self, index: int, call: StepCall, durable: Durable | None = None
    ) -> tuple[StepOutcome, float]:
        """The outcome, and how long the body has waited for what it builds upon.

        `durable`: it runs on the slice's own thread.
        """
        bound = bind_contextvars(step=call.path)
        waited, is_waiting = 0.0, False
        try:
            stop = Stop(self._stops, index)
            body = self._runner.ready(call, stop=stop, logs=self._open_log(call))
            if durable is not None:
                since, is_waiting = time.monotonic(), True
                durable()
                waited, is_waiting = time.monotonic() - since, False
                self._here = call
            crashpoint("step.begun")
            outcome = body()
            crashpoint("step.returned")
        except Exception:
            if is_waiting:
                raise  # The run's journal broke, not the step.
            # The runner promises not to raise; if it does, the run must still end.
            logger.exception("the runner broke on step %s of run %s", call.path, call.run_id)
            outcome = StepFailed(
                code="NODE_CRASHED", message="The step's runner broke; see the log."
            )
        finally:
            reset_contextvars(**bound)
        return outcome, waited
