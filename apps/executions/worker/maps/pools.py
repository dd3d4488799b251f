"""The step pools of the items that a chunk works on, as one."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepFailed,
    StepOpens,
    StepOutcome,
    StepRunner,
    StepWaits,
    StopReason,
    StopSignal,
)
from apps.executions.worker.pool import SlicePool

UNDECLARED: Final = (
    "The node waits, or opens a map, and its declaration does not say so: annotate what its handler"
    " returns."
)


class Pools:
    """The step pools of the items that run now, as one."""

    def __init__(self, make: Callable[[], SlicePool]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._pools: list[SlicePool] = []
        self._reason: StopReason | None = None

    def open(self) -> SlicePool:
        """One more."""
        pool = self._make()
        with self._lock:
            self._pools.append(pool)
            if self._reason is not None:
                pool.stop(self._reason)
        return pool

    def close(self, pool: SlicePool) -> None:
        """Its item has had its turn."""
        with self._lock:
            self._pools.remove(pool)

    def overdue(self, *, before: dt.datetime) -> StepCall | None:
        """A step that should have ended before that instant."""
        found = (pool.overdue(before=before) for pool in self._all())
        return next((call for call in found if call is not None), None)

    def nudge(self) -> None:
        """Let everybody look."""
        for pool in self._all():
            pool.nudge()

    def stop(self, reason: StopReason) -> None:
        """Now and from now on."""
        with self._lock:
            self._reason = reason
        for pool in self._all():
            pool.stop(reason)

    def _all(self) -> list[SlicePool]:
        with self._lock:
            return list(self._pools)


class ItemSteps:
    """The process's runner, for steps inside an item: what would outlive the chunk is refused."""

    def __init__(self, runner: StepRunner) -> None:
        self._runner = runner

    def ready(
        self, call: StepCall, *, stop: StopSignal, logs: LogSink
    ) -> Callable[[], StepOutcome]:
        """The body that gives the outcome, or a failure that says what an item cannot do."""
        return partial(_bounded, self._runner.ready(call, stop=stop, logs=logs))

    def close(self) -> None:
        """The runner is the process's."""


def _bounded(body: Callable[[], StepOutcome]) -> StepOutcome:
    outcome = body()
    if isinstance(outcome, StepOpens | StepWaits):
        # The item would be a run of its own if anybody had known.
        return StepFailed(code="WAIT_UNDECLARED", message=UNDECLARED, usage=outcome.usage)
    return outcome
