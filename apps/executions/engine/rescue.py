"""Steps on call: who stands in for a step that failed, what can be undone, how far undoing is."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import replace
from typing import Final, TypeAlias, assert_never

from apps.executions.engine.failure import Failure
from apps.executions.engine.frames import copied
from apps.executions.engine.graph import grown
from apps.executions.engine.history import (
    Handling,
    StepFailed,
)
from apps.executions.engine.mapping import ChunkCompleted, ChunkDispatched, MapProgress
from apps.executions.engine.plan import Plan, Role, Step
from apps.executions.engine.record import StepRecord
from apps.executions.engine.rescue_events import (
    RunCompensated,
    RunCompensating,
    StepCalled,
    StepCompensated,
)
from apps.executions.engine.seeds import StepGiven
from apps.executions.engine.state import RunStatus, StepStatus, moved_run, moved_step
from apps.executions.engine.whereabouts import Whereabouts
from apps.workflows.graph.declaration import Json

RESCUE_EVENTS: Final = (RunCompensating, RunCompensated, StepCalled, StepCompensated)
RescueEvent: TypeAlias = RunCompensating | RunCompensated | StepCalled | StepCompensated


class Undoing:
    """A run that undoes what it did: why, what goes on afterwards, what could not be undone."""

    __slots__ = (
        "active",
        "cause",
        "has_begun",
        "is_cut",
        "left",
        "lost",
        "misses",
        "running",
        "then",
    )

    def __init__(self, *, cause: Failure | None = None, then: str | None = None) -> None:
        self.cause = cause
        """The failure that asked for it; None where canceling the run did."""
        self.then = then
        self.has_begun = False
        """What ran beside it has ended: from here on steps are undone."""
        self.active: int | None = None
        """The step that is being undone, and (`running`) the one that does it."""
        self.running = -1
        self.left: list[int] = []
        """Steps whose compensation failed."""
        self.lost: list[str] = []
        """Of the steps in items of maps whose compensation failed, the first by path."""
        self.misses = 0
        """How many there are."""
        self.is_cut = False
        """One failed in a way that forbids to go on."""

    def missed(self, *, is_cut: bool) -> None:
        """The compensation of the active step has failed for good."""
        if self.active is not None:
            self.left.append(self.active)
        self.active = None
        self.is_cut = self.is_cut or is_cut


class Rescue:
    """What a run's state knows of steps on call; next to nothing in a run without them."""

    __slots__ = ("log", "standby", "undoing")

    def __init__(self, plan: Plan) -> None:
        self.standby: dict[int, None] = dict.fromkeys(plan.standby)
        """Those nobody has called yet."""
        self.log: list[int] = []
        """Completed steps that can be undone, in the order of their completion.

        `~index`: the items of the map at that position, from the first that was handed out.
        """
        self.undoing: Undoing | None = None

    def remaining(self) -> list[int]:
        """What is not undone: what failed to be, what is being undone, what nobody came to."""
        if self.undoing is None:
            return []
        active = [] if self.undoing.active is None else [self.undoing.active]
        return [*self.undoing.left, *active, *reversed(self.log)]


def copy_of(template: Step, *, index: int, path: str, caller: Step, role: Role, base: int) -> Step:
    """The step that runs because `caller` calls it; `base` is where the caller's level begins."""
    stands_in = role is Role.FALLBACK
    undone = 0 if stands_in else 1 << (_place(caller) - base)
    return replace(
        template,
        index=index,
        path=path,
        incoming=(),
        awaits=0,
        required=frozenset(),
        outgoing=caller.outgoing if stands_in else (),
        exits=caller.exits if stands_in else (),
        connections=caller.connections if stands_in else (),
        ancestors=caller.ancestors | undone,
        standby=False,
        role=role,
        level=caller.begin,
        caller=caller.index,
        place=_place(caller) if stands_in else -1,
        undoes=caller.undoes if stands_in else True,
    )


def _is_out(progress: MapProgress | None) -> bool:
    """Runs of its items are being undone."""
    undo = progress.undo if progress is not None and progress.opening.parks else None
    return undo is not None and bool(undo.open)


def _place(caller: Step) -> int:
    """The step of the drawing that a caller is, or stands in for."""
    return caller.index if caller.role is None else caller.place


class OnCall(Whereabouts, ABC):
    """The part of a run's state that is about steps on call."""

    failing: Failure | None
    given: dict[str, StepGiven]
    is_partial: bool
    rescue: Rescue

    @property
    @abstractmethod
    def is_stopping(self) -> bool:
        """No step starts any more."""

    @abstractmethod
    def fail(self, index: int, failure: Failure) -> None:
        """A failure that nobody receives."""

    @property
    def is_asking(self) -> bool:
        """Somebody works on what this run wants: told when it ends."""
        return super().is_asking or any(
            entry < 0 and _is_out(self.records[~entry].mapping) for entry in self.rescue.log
        )

    def inputs_of(self, step: Step) -> dict[str, Json]:
        """Values by input port of a step that may run; `multiple` ports as lists."""
        return super().inputs_of(step) if step.role is None else self._inputs_of_copy(step)

    def _inputs_of_copy(self, step: Step) -> dict[str, Json]:
        """What it is given: its caller's inputs; what undoes a step has its outputs besides."""
        caller = self.steps[step.caller]
        given = self.inputs_of(caller)
        if step.role is Role.COMPENSATION:
            outputs = self.records[caller.index].outputs
            given |= {port: copied(value) for port, value in outputs.items()}
        return {
            port: [value] if port in step.multiple and not isinstance(value, list) else value
            for port, value in given.items()
            if port in step.ports
        }

    def call(self, node_id: str, *, caller: Step, role: Role) -> int:
        """A copy of a node on call may run from here on; returns its position."""
        template = self.step(caller.beside(node_id))
        index, path = len(self.steps), self.path_of_copy(caller, node_id)
        iteration = self.iteration_of(caller.index)
        base = 0 if iteration is None else iteration.base
        copy = copy_of(template, index=index, path=path, caller=caller, role=role, base=base)
        self.rescue.standby.pop(template.index, None)
        if not self.inside:
            self.positions = dict(self.positions)
        self.steps = grown(self.steps, [copy])
        self.positions[path] = index
        self.records.append(StepRecord(StepStatus.BLOCKED))
        self.undecided.append(0)
        self.inside.append(iteration)
        if iteration is not None and not copy.undoes:
            iteration.left += 1
        self.make_ready(index)
        return index

    def path_of_copy(self, caller: Step, node_id: str) -> str:
        """Where the next copy of a node on call stands: below its caller."""
        path, number = f"{caller.path}/{node_id}", 1
        while path in self.positions:
            number += 1
            path = f"{caller.path}/{node_id}~{number}"
        return path

    def make_ready(self, index: int) -> None:
        """The step may run."""
        record = self.records[index]
        record.status = moved_step(record.status, to=StepStatus.READY)
        self.ready.append(index)

    def drop_waiting(self, kept: Collection[int]) -> None:
        """What has not settled never will, but for what is kept: the run is being undone."""
        spared = {*self.rescue.standby, *kept}
        for queue in (self.ready, self.unreached, self.retrying, self.waiting, self.broken):
            queue.clear()
        for held in (self.cut, self.dispatched, self.iterating, self.iterated, self.mapping):
            held.clear()
        dropped = [
            step
            for step in self.steps
            if step.index not in spared and not self.records[step.index].status.is_settled
        ]
        for step in dropped:
            self.records[step.index].status = StepStatus.CANCELED
            for link in step.outgoing:
                self.undecided[link.target] -= 1

    def retry_before(
        self, step: Step, *, now: dt.datetime, deadline_at: dt.datetime | None
    ) -> dt.datetime | None:
        """By when another attempt must come, if it comes: now, where nothing starts any more."""
        undoing = self.rescue.undoing
        is_spare = self.is_dead(step.index) or step.index in self.spare
        is_over = self.is_stopping or undoing is not None or is_spare
        if self.is_stopping or (is_over and not step.undoes):
            return now
        return deadline_at if undoing is None else None

    def handle(self, step: Step, event: StepFailed) -> bool:
        """What a final failure does to its run. False: another step stands in."""
        undoing, handling = self.rescue.undoing, event.handling
        if handling is Handling.FALLBACK:
            # What runs beside a run that is being undone only comes to its end.
            stands_in = undoing is None or step.undoes
            if stands_in:
                index = self.call(str(event.target), caller=step, role=Role.FALLBACK)
                self.records[step.index].stand_in = self.records[index]
                if undoing is not None and undoing.running == step.index:
                    undoing.running = index
            return not stands_in
        if step.undoes and undoing is not None:
            undoing.missed(is_cut=handling is not Handling.CONTINUE)
        elif handling is Handling.CONTINUE:
            self.is_partial = True
        elif undoing is not None:
            # One failure asked to undo; one that ends the run takes the way on from it.
            undoing.then = None if handling is Handling.FAIL else undoing.then
        elif handling is Handling.FAIL:
            self.fail(step.index, event.failure)
        elif handling is Handling.COMPENSATE and self.failing is None:
            self.rescue.undoing = Undoing(cause=event.failure, then=event.target)
        return True

    def note_items(self, index: int, event: ChunkDispatched | ChunkCompleted) -> None:
        """What items do may have to be undone; and how far that has come."""
        log, undoing = self.rescue.log, self.rescue.undoing
        if not event.undoes:
            if ~index not in log:
                log.append(~index)
            return
        undo = self.records[index].map_progress().undo
        if undoing is None or undo is None or isinstance(event, ChunkDispatched):
            return
        undoing.lost += event.missed
        undoing.misses += event.misses
        undoing.is_cut = undoing.is_cut or event.is_cut
        if undo.is_over:
            log.remove(~index)
            if self.records[index].has_succeeded and not undo.misses:
                undoing.active = undoing.running = index

    def take_over(self, step: Step) -> None:
        """What a container did in another run may have to be undone in this one."""
        given = self.given.get(step.path)
        if given is not None and (kept := given.kept) is not None:
            record = self.records[step.index]
            progress = record.mapping = MapProgress(kept.opening, attempt=record.attempt)
            progress.source, progress.next = kept.run_id, kept.chunks
        self.rescue.log.append(~step.index)

    def await_undone(self, *, is_paused: bool) -> None:
        """The run moves or rests from now on, and so does what undoes items."""
        for entry in self.rescue.log:
            progress = self.records[~entry].mapping if entry < 0 else None
            if progress is not None and progress.undo is not None:
                progress.undo.is_recalled = False
                progress.is_rested = _is_out(progress) and not is_paused

    def apply_rescue(self, event: RescueEvent) -> None:
        """One event of undoing."""
        match event:
            case RunCompensating():
                self._begin(event)
            case RunCompensated():
                self.rescue.undoing = None
                self.status = moved_run(self.status, to=RunStatus.RUNNING)
                step = self.step(event.then)
                del self.rescue.standby[step.index]
                self.make_ready(step.index)
            case StepCalled():
                step = self.step(event.by)
                undoing = self.rescue.undoing or Undoing()
                self.rescue.log.remove(step.index)
                undoing.active = step.index
                undoing.running = self.call(
                    str(step.compensation), caller=step, role=Role.COMPENSATION
                )
            case StepCompensated():
                self.records[self.step(event.path).index].apply(event)
                (self.rescue.undoing or Undoing()).active = None
            case _:  # pragma: no cover - mypy proves that nothing is left
                assert_never(event)

    def _begin(self, event: RunCompensating) -> None:
        rescue = self.rescue
        self.status = moved_run(self.status, to=RunStatus.COMPENSATING)
        undoing = rescue.undoing = rescue.undoing or Undoing()
        undoing.has_begun = True
        if event.path is None:
            # Whatever an item came to, its map's run has asked for this.
            undoing.cause, self.failing = None, None
        for entry in [entry for entry in rescue.log if entry < 0]:
            if self.records[~entry].mapping is None:
                # It was taken over, and nobody has said where from.
                rescue.log.remove(entry)
                undoing.left.append(entry)
        kept = self._behind(undoing.then) if undoing.then else frozenset()
        self.drop_waiting(kept)

    def _behind(self, path: str) -> frozenset[int]:
        """The steps that follow an alternative path's first."""
        pending = [self.step(path).index]
        found: set[int] = set()
        while pending:
            for link in self.steps[pending.pop()].outgoing:
                if link.target not in found:
                    found.add(link.target)
                    pending.append(link.target)
        return frozenset(found)
