"""The live stream of one run: what is loaded in one look, and how looks follow each other.

A look happens in one synchronous function with scope and query inside; it returns frozen snapshots.
Nothing is lost between replay and follow, because the watcher joins the run's group first and every
look asks for what comes after the last seq it has, whatever the hints say.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from apps.executions import history, models
from apps.executions.engine.state import RunStatus
from apps.executions.graphql.types import workflows_of
from apps.executions.history import EventView, StepView
from apps.kit.errors import NotFound, Unauthenticated
from apps.kit.graphql.batch import batched
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.doors import still_holds
from apps.tenancy.scope import Scope

EVENTS_AT_ONCE = 100
LINES_AT_ONCE = 200
# Channel layers may lose a hint; this is how late its event can then be.
LOOK_EVERY_SECONDS = 2.0
# Log lines are written up to a second after the step that wrote them.
LINGER_SECONDS = 1.5


@dataclass(frozen=True, kw_only=True)
class RunChange:
    """The run after one event of its history."""

    seq: int
    run: models.Run


@dataclass(frozen=True, kw_only=True)
class StepChange:
    """A step after one event of its history."""

    seq: int
    step: StepView


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look found; `more` says that another one would find something at once."""

    changes: tuple[RunChange | StepChange, ...]
    lines: tuple[models.LogLine, ...]
    metrics: tuple[models.LogLine, ...]
    has_more: bool
    is_over: bool


@dataclass
class Watch:
    """How far one watcher of one run is."""

    actor: Actor
    run_id: uuid.UUID
    after_seq: int
    after_line: int = field(default=0)

    def look(self) -> Look:
        """Load what has come since the last look. Raises NotFound, Unauthenticated."""
        if not still_holds(self.actor):
            raise Unauthenticated("The membership or the key behind this connection is over.")
        with scope.enter(Scope.of(self.actor)), scope.transaction():
            run = models.Run.objects.filter(pk=self.run_id).first()
            if run is None:
                raise NotFound.of("execution", path=("executionId",))
            batched(run, "workflow", workflows_of, run.workflow_id)
            changes = self._changes(run)
            lines = self._lines()
        has_more = len(changes) == EVENTS_AT_ONCE or len(lines) == LINES_AT_ONCE
        return Look(
            changes=tuple(changes),
            lines=tuple(line for line in lines if line.kind == "log"),
            metrics=tuple(line for line in lines if line.kind == "metric"),
            has_more=has_more,
            is_over=run.status.is_terminal and self.after_seq >= run.head,
        )

    def from_now(self) -> None:
        """Skip the lines already written: a watcher that comes back has them."""
        with scope.enter(Scope.of(self.actor)), scope.transaction():
            last = models.LogLine.objects.filter(run_id=self.run_id).order_by("-id").first()
            self.after_line = 0 if last is None else last.id

    def _changes(self, run: models.Run) -> list[RunChange | StepChange]:
        changes: list[RunChange | StepChange] = []
        for event in history.events_after(run.pk, self.after_seq, limit=EVENTS_AT_ONCE):
            if event.seq != self.after_seq + 1:
                # History is gapless by construction; a reader that sees a gap waits for it to fill.
                break
            changes.append(_change(run, event))
            self.after_seq = event.seq
        return changes

    def _lines(self) -> list[models.LogLine]:
        rows = models.LogLine.objects.filter(run_id=self.run_id, id__gt=self.after_line)
        lines = list(rows.order_by("id")[:LINES_AT_ONCE])
        if lines:
            self.after_line = lines[-1].id
        return lines


def _change(run: models.Run, event: EventView) -> RunChange | StepChange:
    if event.path is not None:
        # Every event of a step names all that it changed: one is enough for a snapshot.
        (step,) = history.step_views([event])
        return StepChange(seq=event.seq, step=step)
    name = event.type.removeprefix("run.").upper()
    status = RunStatus.RUNNING if name == "STARTED" else RunStatus(name)
    return RunChange(seq=event.seq, run=_as_of(run, status))


def _as_of(run: models.Run, status: RunStatus) -> models.Run:
    """The row as it was after the event, though it may have moved on since."""
    snapshot = copy.copy(run)
    snapshot.state = status.value
    if not status.is_terminal:
        snapshot.finished_at = snapshot.result = snapshot.error = None
    if status is RunStatus.QUEUED:
        snapshot.started_at = None
    return snapshot


class Hints:
    """The bell of one run: waits for a hint, but never longer than a look may be late."""

    def __init__(self, messages: AsyncIterator[dict[str, Any]]) -> None:
        self._messages = messages
        self._next: asyncio.Task[dict[str, Any]] | None = None

    async def wait(self, seconds: float) -> None:
        """Until the next hint, at most `seconds`."""
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._messages))
        done, _ = await asyncio.wait({self._next}, timeout=seconds)
        if done:
            self._next = None

    async def close(self) -> None:
        """Stop listening."""
        if self._next is not None:
            self._next.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await self._next
