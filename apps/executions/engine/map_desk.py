"""What the owner of a run does for its maps: chunks out, chunks in, results to be gathered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from apps.executions.engine.buffer import Buffer
from apps.executions.engine.fold import RunState
from apps.executions.engine.history import StepDispatched
from apps.executions.engine.mapping import (
    Chunk,
    ChunkCompleted,
    ChunkDispatched,
    ChunkResult,
    MapProgress,
    MapWork,
)
from apps.executions.engine.plan import QUARANTINE_POOL, RUN_POOL, Step
from apps.executions.engine.task import Task

MAP_FRACTION: Final = 0.5
"""Of the backoff before a failed map is tried again: one map knows no crowd to avoid."""


def hand_out(
    work: MapWork, state: RunState, buffer: Buffer, *, pool: str
) -> Iterator[ChunkDispatched | StepDispatched]:
    """The events to record; what becomes durable with them is in the buffer before.

    `pool` is where the run is owned; what is handed out of quarantine did nothing wrong.
    """
    pool = RUN_POOL if pool == QUARANTINE_POOL else pool
    buffer.is_strict = True
    slices = ((index, number, False) for index, number in work.chunks)
    undos = ((index, number, True) for index, number in work.undos)
    for index, number, undoes in (*slices, *undos):
        step, progress = state.steps[index], state.records[index].map_progress()
        low, high = progress.opening.span(number)
        # One whose items are runs of their own only looks after them.
        parks = progress.opening.parks
        where = pool if parks else chunk_pool(step) or pool
        buffer.chunks.append(
            Chunk(
                path=step.path,
                attempt=progress.attempt,
                chunk=number,
                low=low,
                high=high,
                pool=where,
                slots=1 if parks else progress.opening.slots,
            )
        )
        yield ChunkDispatched(
            path=step.path, attempt=progress.attempt, chunk=number, pool=where, undoes=undoes
        )
    for index in work.recalls:
        progress = state.records[index].map_progress()
        if progress.undo is not None:
            progress.undo.is_recalled, progress.is_rested = not progress.is_rested, False
        else:
            progress.is_recalled, progress.is_rested = not progress.is_rested, False
        buffer.recalls.append(state.steps[index].path)
    for index in work.reduces:
        step, progress = state.steps[index], state.mapping[index]
        where = step.pool or pool
        buffer.tasks.append(Task(path=step.path, attempt=progress.attempt, pool=where))
        yield StepDispatched(path=step.path, attempt=progress.attempt, pool=where)


def failures(work: MapWork, state: RunState) -> Iterator[tuple[Step, MapProgress]]:
    """Maps that have failed, and nothing of them runs any more."""
    return ((state.steps[index], state.mapping[index]) for index in work.failures)


def awaited(state: RunState, word: ChunkResult) -> ChunkCompleted | None:
    """A chunk's result, if it is of the attempt that goes on, and not known yet."""
    event = word.event
    index = state.step(event.path).index
    progress = state.records[index].mapping
    if progress is None or progress.attempt != event.attempt:
        return None
    if progress.undo is not None:
        # What nobody had begun says no more than that it was called back.
        return replace(event, undoes=True) if event.chunk in progress.undo.open else None
    return event if index in state.mapping and event.chunk in progress.open else None


def chunk_pool(step: Step) -> str | None:
    """Where the slices of a map run: where its node says, else where its body has to."""
    if step.node.resources.pool is not None:
        return step.node.resources.pool
    if step.body is None:
        return None
    pools = (chunk_pool(inner) or inner.pool for inner in step.body.steps)
    return next((pool for pool in pools if pool is not None), None)
