"""Joins that need only some of their branches: what nobody needs any more, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from apps.executions.engine.graph import StepGraph
from apps.executions.engine.history import StepCanceled
from apps.executions.engine.iterations import Iteration
from apps.executions.engine.plan import CONTAINER, Step
from apps.executions.engine.state import StepStatus
from apps.executions.engine.whereabouts import Whereabouts

_HELD = frozenset(
    {StepStatus.READY, StepStatus.RETRY_WAIT, StepStatus.WAITING, StepStatus.IN_DOUBT}
)


def taken_by(graph: StepGraph, join: Step) -> int:
    """How many values have arrived."""
    return sum(graph.taken[link.index] for link in join.incoming)


def spared_by(graph: StepGraph, join: Step) -> list[int]:
    """Steps that have not settled and lead only to steps that wait for them no longer."""
    candidates: set[int] = set()
    pending = [join]
    while pending:
        for link in pending.pop().incoming:
            source = link.source
            if source == CONTAINER or source in candidates:
                continue
            if not graph.records[source].status.is_settled:
                candidates.add(source)
                pending.append(graph.steps[source])
    spared: set[int] = set()
    # Positions are topological: who follows a step has been looked at before it.
    for index in sorted(candidates, reverse=True):
        step = graph.steps[index]
        targets = (link.target for link in step.outgoing)
        if not step.exits and all(not graph.undecided[one] or one in spared for one in targets):
            spared.add(index)
    return sorted(spared)


def needless(state: Whereabouts) -> Iterator[int]:
    """Steps that run, here or elsewhere, for a join that has enough or a body that has failed."""
    for index in chain(state.in_flight, state.dispatched, state.mapping):
        if index in state.spare or state.is_dead(index):
            yield index


def runs_within(state: Whereabouts, iteration: Iteration) -> bool:
    """Whether any step of an opened body, or of one within it, still runs."""
    opened = (index for index, progress in state.mapping.items() if progress.open)
    running = map(state.iteration_of, chain(state.in_flight, state.dispatched, opened))
    return any(one is not None and one.is_within(iteration) for one in running)


def spared(state: Whereabouts) -> Iterator[StepCanceled]:
    """Whom a join needs no longer: what has not begun, waits, or may run again at no harm."""
    for index in state.spare:
        if _has_come_to_rest(state, index):
            path, attempt = state.steps[index].path, state.records[index].attempt
            yield StepCanceled(path=path, attempt=attempt)


def _has_come_to_rest(state: Whereabouts, index: int) -> bool:
    if index in state.in_flight or index in state.dispatched:
        return False
    if index in state.cut:
        return state.steps[index].is_pure
    if index in state.mapping:
        return not state.mapping[index].open
    if index in state.iterating:
        return not runs_within(state, state.iterating[index])
    return state.records[index].status in _HELD
