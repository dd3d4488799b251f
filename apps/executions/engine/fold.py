"""What a history amounts to: the state of a run as its events are applied one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from apps.executions.engine.failure import Failure
from apps.executions.engine.frames import RUN_FRAME, Frame, Outputs, item_frame
from apps.executions.engine.history import (
    AttemptFailed,
    CancelReason,
    Event,
    RunCanceling,
    RunEnded,
    RunQueued,
    RunStarted,
    SkipReason,
    StepCompleted,
    StepDispatched,
    StepEvent,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from apps.executions.engine.iteration_events import StepIterated
from apps.executions.engine.joins import spared_by, taken_by
from apps.executions.engine.mapping import MAP_EVENTS, MapEvent, StepOpened, await_again
from apps.executions.engine.paths import node_of
from apps.executions.engine.pausing import RunPaused, RunResumed
from apps.executions.engine.plan import Plan, Step
from apps.executions.engine.record import Totals, close_record
from apps.executions.engine.rescue import RESCUE_EVENTS, OnCall, Rescue
from apps.executions.engine.seeds import ItemGiven, StepGiven, StepReused
from apps.executions.engine.state import (
    IllegalTransition,
    RunStatus,
    StepStatus,
    moved_run,
    moved_step,
)
from apps.executions.engine.wait_events import SignalReceived, StepWaiting

_HEARD: Final = (SignalReceived, RunPaused, RunResumed)
_HOLDING: Final = (StepDispatched, StepStarted, StepWaiting)
_PAID: Final = (StepCompleted, AttemptFailed, StepFailed)
"""Whose attempt has cost something."""


class RunState(OnCall):
    """A run in memory: its steps, which of them may run, and why it is ending if it is.

    `apply` is the only way it changes by history; `launch` notes what this process has in flight,
    and is forgotten with it. What is `dispatched` runs elsewhere, whoever owns the run. An event
    costs time in proportion to the connections it decides.
    """

    def __init__(self, plan: Plan, frame: Frame = RUN_FRAME) -> None:
        super().__init__(plan, frame)
        self.head = 0
        self.settled = 0
        self.retries = 0
        self.signals: dict[str, SignalReceived] = {}
        self.heard: set[str] = set()
        self.given: dict[str, StepGiven] = {}
        self.failing: Failure | None = None
        self.canceling: CancelReason | None = None
        self.is_partial = False
        self.is_alone = False
        self.has_started = False
        self.error: Failure | None = None
        self.totals = Totals()
        self.rescue = Rescue(plan)
        for step in plan.steps:
            if not step.awaits:
                self._classify(step)

    @property
    def is_stopping(self) -> bool:
        """No step starts any more."""
        if self.canceling is not None:
            undoing = self.rescue.undoing
            return undoing is None or undoing.cause is not None
        return self.failing is not None

    @property
    def is_waiting(self) -> bool:
        """Nothing is left to do but wait."""
        if not self.waiting or self.status is not RunStatus.RUNNING or self.is_stopping:
            return False
        busy = self.ready or self.cut or self.in_flight or self.dispatched or self.unreached
        return not (busy or self.retrying or self.mapping)

    def apply(self, event: Event) -> None:
        """One event further. Raises IllegalTransition for a history that cannot be."""
        self.head += 1
        if isinstance(event, StepCompleted):  # As nearly all are.
            self._apply_step(event)
            return
        if isinstance(event, RunQueued):
            return
        if isinstance(event, RunStarted):
            self.status = moved_run(self.status, to=RunStatus.RUNNING)
            self.has_started = True
        elif isinstance(event, RunCanceling):
            self.status = moved_run(self.status, to=RunStatus.CANCELING)
            self.canceling = event.reason
        elif isinstance(event, RunEnded):
            self._end(event)
        elif isinstance(event, _HEARD):
            self._hear(event)
        elif isinstance(event, StepGiven):
            self._give(event)
        elif isinstance(event, RESCUE_EVENTS):
            self.apply_rescue(event)
        elif isinstance(event, ItemGiven):
            raise IllegalTransition("a run is an item from the start")
        else:
            self._apply_step(event)

    def _give(self, event: StepGiven) -> None:
        self.given[event.path] = event
        if event.alone:
            self._isolate(self._entered(event))
        elif self.is_alone and event.outputs is not None:
            # Nothing follows from it; the one step that runs may read it.
            for step in self.steps:
                if step.node.id == event.path:
                    record = self.records[step.index]
                    record.status, record.outputs = StepStatus.SUCCEEDED, event.outputs

    def _entered(self, event: StepGiven) -> Step:
        """The step that runs alone; what it is in is opened as far as it has to be."""
        begin = ""
        for wall in event.path.split("/")[:-1]:
            node_id, _, number = wall.rstrip("]").partition("[")
            container, index = self.step(begin + node_id), int(number)
            self.opened(container, index=index, values={"item": event.item, "index": index})
            self.iterating[container.index].left += 1  # Nobody asks the container what follows.
            begin += f"{wall}/"
        return self.step(event.path)

    def _isolate(self, step: Step) -> None:
        """No other step will run, before or behind."""
        self.is_alone = True
        self.undecided = [len(self.links) + 1] * len(self.records)
        self.unreached.clear()
        self.ready.clear()
        self.records[step.index].status = StepStatus.READY
        self.ready.append(step.index)

    def _apply_step(self, event: StepEvent) -> None:
        step = self.step(event.path)
        index = step.index
        record = self.records[index]
        if record.status is StepStatus.RETRY_WAIT:
            self.end_retry(index)
        record.apply(event)
        if isinstance(event, _HOLDING):
            self._hold(index, event)
            return
        if isinstance(event, MAP_EVENTS):
            self._map(step, event)
            return
        if isinstance(event, StepSkipped):
            self._skip(index, event.reason)
        else:
            self.release(index)
        if isinstance(event, _PAID):
            self.totals.add(event.usage)
            if isinstance(event, StepCompleted) and event.signal is not None:
                del self.signals[event.signal]
        if isinstance(event, AttemptFailed):
            self.retrying[index] = event.retry_at
            self.retries += 1
            return
        if isinstance(event, StepIterated):
            self.totals.add(event.usage, attempts=event.run_id is None)
            self._open(step, event)
            return
        is_decided = self._is_decided(step, event)
        self._settle(step, is_decided=is_decided)

    def _map(self, step: Step, event: MapEvent) -> None:
        """A map has opened, or is a chunk further."""
        if isinstance(event, StepOpened):
            self.release(step.index)
            self.mapping[step.index] = self.records[step.index].map_progress()
        elif step.body is not None and step.body.undoes:
            self.note_items(step.index, event)
        self.totals.add(event.usage, attempts=event.attempts)

    def _is_decided(self, step: Step, event: StepEvent) -> bool:
        """Whether it is known what leaves by which connection: not when another step stands in."""
        if isinstance(event, StepFailed):
            return self.handle(step, event)
        if step.compensation is not None and self.records[step.index].has_succeeded:
            self.rescue.log.append(step.index)
        if step.body is not None and step.body.undoes and isinstance(event, StepReused):
            self.take_over(step)
        return True

    def _skip(self, index: int, reason: SkipReason) -> None:
        if reason is SkipReason.NOT_CALLED:
            del self.rescue.standby[index]
        else:
            self.unreached.remove((index, reason))

    def _hear(self, event: SignalReceived | RunPaused | RunResumed) -> None:
        if isinstance(event, SignalReceived):
            self.signals[event.id] = event
            self.heard.add(event.id)
        else:
            is_paused = isinstance(event, RunPaused)
            undoing = self.rescue.undoing
            to = RunStatus.PAUSED if is_paused else RunStatus.RUNNING
            if undoing is not None and undoing.has_begun:
                to = RunStatus.PAUSED if is_paused else RunStatus.COMPENSATING
                self.await_undone(is_paused=is_paused)
            self.status = moved_run(self.status, to=to)
            await_again(self.mapping, is_paused=is_paused)

    def _hold(self, index: int, event: StepDispatched | StepStarted | StepWaiting) -> None:
        """The step has moved and has not settled."""
        if isinstance(event, StepStarted):
            if index not in self.in_flight and index not in self.dispatched:
                self.release(index)
                self.cut[index] = None
            return
        self.release(index)
        if isinstance(event, StepDispatched):
            self.dispatched[index] = event.attempt
        else:
            self.waiting[index] = event.wait

    def fail(self, index: int, failure: Failure) -> None:
        """A failure that nobody receives ends the run, or the iteration the step belongs to."""
        iteration = self.iteration_of(index)
        if index in self.spare:
            return  # A join had enough without it.
        if iteration is None or self.is_alone:
            self.failing = self.failing or failure
        elif not iteration.is_dead:
            iteration.is_broken = True
            self.broken.append((iteration, failure))

    def _open(self, step: Step, event: StepIterated) -> None:
        self.settled += 1
        for one in self.opened(step, index=event.index, values=event.values):
            if not one.awaits:
                self._classify(one)
        iteration = self.iterating[step.index]
        iteration.is_broken = step.index in self.spare
        if not iteration.left:
            self.ask_again(iteration)

    def _settle(self, step: Step, *, is_decided: bool) -> None:
        self.settled += 1
        if self.inside and not step.undoes:
            iteration = self.iteration_of(step.index)
            if iteration is not None:
                if iteration.is_dead:
                    return
                iteration.left -= 1
                if not iteration.left:
                    self.ask_again(iteration)
                    return
        if self.spare:
            self.spare.pop(step.index, None)
        if is_decided:
            self._decide(step)

    def _decide(self, step: Step) -> None:
        """What leaves by which connection is known."""
        record = self.records[step.index]
        for link in step.outgoing:
            target = self.steps[link.target]
            if target.needed is not None and not self.undecided[link.target]:
                continue  # It had enough: what comes later does not count.
            self.taken[link.index] = record.is_taken(link)
            self.undecided[link.target] -= 1
            if target.needed is not None:
                self._count(target, target.needed)
            elif not self.undecided[link.target]:
                self._classify(target)

    def _count(self, join: Step, needed: int) -> None:
        if taken_by(self, join) >= needed:
            self.undecided[join.index] = 0
            self._classify(join)
            for index in spared_by(self, join):
                self.spare[index] = None
                if index in self.iterating:
                    self.iterating[index].is_broken = True
        elif not self.undecided[join.index]:
            self.unreached.append((join.index, SkipReason.NOT_REACHED))

    def _classify(self, step: Step) -> None:
        """Decision 20, when every incoming connection is decided."""
        record = self.records[step.index]
        if step.standby or record.status is not StepStatus.BLOCKED:
            return
        if step.disabled:
            self.unreached.append((step.index, SkipReason.DISABLED))
            return
        fed = {link.target_port for link in step.incoming if self.taken[link.index]}
        if (step.incoming and not fed) or not step.required <= fed:
            self.unreached.append((step.index, SkipReason.NOT_REACHED))
            return
        record.status = moved_step(record.status, to=StepStatus.READY)
        self.ready.append(step.index)

    def _end(self, event: RunEnded) -> None:
        self.status = moved_run(self.status, to=event.status)
        self.error = event.error
        self.ready.clear()
        self.retrying.clear()
        self.cut.clear()
        self.dispatched.clear()
        self.waiting.clear()
        self.signals.clear()
        self.iterating.clear()
        self.iterated.clear()
        self.broken.clear()
        self.spare.clear()
        self.mapping.clear()
        self.unreached.clear()
        for record in self.records:
            close_record(record)


@dataclass(frozen=True, slots=True)
class Around:
    """Of an item's run: what `nodes.<id>` is outside its map, and what was said of its steps."""

    outer: Mapping[str, Outputs] = field(default_factory=dict)
    given: Mapping[str, StepGiven] = field(default_factory=dict)


Above = Callable[[ItemGiven], Around]


def nothing_above(_given: ItemGiven) -> Around:
    """For whoever reads a history and runs nothing."""
    return Around()


def fold(plan: Plan, events: Iterable[Event], *, above: Above = nothing_above) -> RunState:
    """The state after these events, from the first; `plan` is the version's."""
    return moved(RunState(plan), events, above=above)


def moved(state: RunState, events: Iterable[Event], *, above: Above = nothing_above) -> RunState:
    """The state after these events too: another one, where they say that the run is an item."""
    for event in events:
        if isinstance(event, ItemGiven):
            head, body, around = state.head, state.plan.bodies[node_of(event.path)], above(event)
            state = RunState(body, item_frame(event, around.outer))
            state.given.update(around.given)
            state.head = head + 1
        else:
            state.apply(event)
    return state
