"""Steps that share a key run at most so many at once: who may start now, and who looks again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from apps.executions.engine.calls import call_of
from apps.executions.engine.decide import Commands
from apps.executions.engine.fold import RunState
from apps.executions.engine.ports import StepCall, StepFailed
from apps.executions.engine.slice_ports import Busy, Claim, KeyGates
from apps.executions.engine.step import Step
from apps.workflows.graph.document import Concurrency

FORCED: Final = 1_000_000


class Owner(Protocol):
    """The slice whose steps these are."""

    claim: Claim
    state: RunState

    def refuse(self, index: int, failure: StepFailed, now: dt.datetime) -> None:
        """The step cannot even begin."""


class Keyring:
    """The places that the steps of one slice hold."""

    def __init__(self, gates: KeyGates, owner: Owner) -> None:
        self._gates = gates
        self._owner = owner
        self._state = owner.state
        self._held: set[int] = set()

    def holds_back(self, commands: Commands, now: dt.datetime) -> bool:
        """Take places for what is about to start; True when something of it cannot, or failed."""
        changed = False
        for index in (*commands.starts, *commands.dispatches):
            step = self._state.steps[index]
            bound = bound_of(step, self._state.plan.keyed)
            if bound is None or index in self._held:
                continue
            if index in self._state.cut:
                # Cut off in the middle: it has its place still, or takes one beyond the limit.
                bound = replace(bound, limit=FORCED)
            shared = step.node.concurrency is None
            entry = self._gates.enter(self._call(step, now), bound, shared=shared)
            if entry is None:
                self._held.add(index)
                continue
            changed = True
            if isinstance(entry, Busy):
                self._state.defer(index, until=now + dt.timedelta(seconds=entry.seconds))
            else:
                self._owner.refuse(index, entry, now)
        return changed

    def left(self, step: Step) -> None:
        """The attempt is over."""
        if bound_of(step, self._state.plan.keyed) is not None:
            self._held.discard(step.index)
            self._gates.leave(self._state.frame.prefix + step.path)

    def _call(self, step: Step, now: dt.datetime) -> StepCall:
        attempt = self._state.next_attempt(step.index)
        return call_of(self._owner.claim, self._state, step, attempt=attempt, started_at=now)


def keyring_of(owner: Owner, gates: KeyGates | None) -> Keyring | None:
    """None for the runs of most workflows: they have no keys."""
    return Keyring(gates, owner) if gates is not None and owner.state.plan.keyed else None


def bound_of(step: Step, keyed: Mapping[str, Concurrency]) -> Concurrency | None:
    """The node's own bound; else the workflow's, for steps that touch the world."""
    own = step.node.concurrency
    if own is not None or step.is_pure:
        return own
    return keyed.get("")
