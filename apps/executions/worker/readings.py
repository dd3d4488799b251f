"""What tasks read of runs that others own: states folded from history, kept and moved on."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from uuid import UUID

from apps.executions.engine.calls import given_below
from apps.executions.engine.fold import Above, Around, RunState, moved
from apps.executions.engine.history import Event
from apps.executions.engine.plan import Plan
from apps.executions.engine.seeds import ItemGiven
from apps.executions.engine.slice_ports import Claim

STATES_KEPT: Final = 16
Tail = Callable[[Claim, int], list[Event]]
"""A run's events behind a sequence."""


class Readings:
    """One state per run, for reading only: the second task of a run reads what is new to it."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._lock = threading.Lock()
        self._states: OrderedDict[UUID, _Reading] = OrderedDict()

    def of(self, claim: Claim, plan: Plan) -> RunState:
        """The run at the claim's head or a little later."""
        with self._lock:
            reading = self._states.get(claim.run_id)
            if reading is None:
                reading = self._states[claim.run_id] = _Reading(plan)
            self._states.move_to_end(claim.run_id)
            while len(self._states) > STATES_KEPT:
                self._states.popitem(last=False)
        with reading.lock:
            if reading.state.head < claim.head:
                tail = self._tail(claim, reading.state.head)
                reading.state = moved(reading.state, tail, above=self.above(claim, plan))
            return reading.state

    def above(self, claim: Claim, plan: Plan) -> Above:
        """What the run above says to one that is an item; `plan` is that of their version."""

        def around(given: ItemGiven) -> Around:
            there = replace(claim, run_id=UUID(given.run_id), head=given.head)
            state = self.of(there, plan)
            outer = state.upstream_of(state.step(given.path))
            return Around(outer, given_below(state, given.path, given.index))

        return around


class _Reading:
    __slots__ = ("lock", "state")

    def __init__(self, plan: Plan) -> None:
        self.lock = threading.Lock()
        self.state = RunState(plan)
