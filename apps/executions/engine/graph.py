"""The steps a run is made of, where each stands, and which values reach it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from apps.executions.engine.frames import Frame, Outputs, Upstream, collected, copied
from apps.executions.engine.iterations import Iteration
from apps.executions.engine.plan import CONTAINER, Link, Plan, Step
from apps.executions.engine.ports import Inside, StepFailed, StepRepeats
from apps.executions.engine.record import StepRecord
from apps.executions.engine.state import IllegalTransition, StepStatus
from apps.workflows.graph.declaration import Json

STEP_LIMIT: Final = "STEP_LIMIT"
UNROLLED_LIMIT: Final = 10_000
"""Most steps that all iterations of a run may open together."""
RESULT: Final = "result"
"""The inner port of a map that takes what the body made of an item."""
EVERY: Final = -1
"""The bit set that has every position."""
T = TypeVar("T")


class StepGraph:
    """The plan's steps, then those of opened iterations; who waits for whom, what was taken.

    `steps` and `links` are the plan's own, shared by all its runs, until a container opens and
    copies of its body join them. A `frame` is around a body that is run on its own; its prefix is
    not part of the paths in here.
    """

    def __init__(self, plan: Plan, frame: Frame) -> None:
        self.plan = plan
        self.frame = frame
        self.steps: Sequence[Step] = plan.steps
        self.links: Sequence[Link] = plan.links
        self.positions: dict[str, int] = plan.positions
        self.records = [StepRecord(StepStatus.BLOCKED) for _ in plan.steps]
        self.inside: list[Iteration | None] = []
        """By position beyond the plan's: the iteration that opened the step, if one did."""
        self.iterating: dict[int, Iteration] = {}
        """By container: its open body."""
        self.iterated: dict[int, Iteration] = {}
        """By container that is to be asked again: the iteration that has ended."""
        self.undecided = [step.awaits for step in plan.steps]
        self.taken = bytearray(len(plan.links))
        for link in plan.entries:
            self.taken[link.index] = link.source_port in frame.values

    def step(self, path: str) -> Step:
        """The step at a path. Raises KeyError."""
        return self.steps[self.positions[path]]

    def iteration_of(self, index: int) -> Iteration | None:
        """The opened body a step belongs to; None for what the plan itself has."""
        beyond = index - len(self.plan.steps)
        return self.inside[beyond] if beyond >= 0 else None

    def frame_of(self, step: Step) -> Frame:
        """What surrounds a step."""
        iteration = self.iteration_of(step.index)
        return self.frame if iteration is None else iteration.frame

    def is_dead(self, index: int) -> bool:
        """A failure has ended the iteration the step belongs to: it does not start any more."""
        iteration = self.iteration_of(index)
        return iteration is not None and iteration.is_dead

    @property
    def unrolled(self) -> int:
        """How many steps iterations have opened so far."""
        return len(self.inside)

    def inputs_of(self, step: Step) -> dict[str, Json]:
        """Values by input port of a step that may run; `multiple` ports as lists.

        Copies: a node that changes its input in place changes nobody else's.
        """
        inputs: dict[str, Any] = {}
        for link in step.incoming:
            if not self.taken[link.index]:
                continue
            if link.source == CONTAINER:
                value = copied(self.frame_of(step).values[link.source_port])
            else:
                value = copied(self.records[link.source].value(link.source_port))
            if link.target_port in step.multiple:
                inputs.setdefault(link.target_port, []).append(value)
            else:
                inputs.setdefault(link.target_port, value)
        return inputs

    def upstream_of(self, step: Step) -> Upstream:
        """What `nodes.<id>.<port>` may read in a step: outputs of the steps it depends on."""
        return self._upstream(self.iteration_of(step.index), step.ancestors)

    def inside_of(self, step: Step) -> Inside | None:
        """What a container may know of the iteration that has just ended, if one has."""
        iteration = self.iterated.get(step.index)
        if iteration is None:
            return None
        return Inside(
            index=iteration.frame.index,
            item=iteration.frame.item,
            inputs=collected(iteration.body, self.records, base=iteration.base),
            upstream=self._upstream(iteration, EVERY),
        )

    def _upstream(self, iteration: Iteration | None, ancestors: int) -> Upstream:
        plan, frame, base = self.plan, self.frame, 0
        if iteration is not None:
            plan, frame, base = iteration.body, iteration.frame, iteration.base
        return Upstream(plan, self.records, ancestors=ancestors, outer=frame.outer, base=base)

    def collected(self) -> dict[str, Json]:
        """Of a body run on its own that has ended: values by the container's inner input port."""
        return collected(self.plan, self.records)

    def outcome(self) -> Any:
        """What a body run on its own comes to: what arrived at `result`, else its last outputs."""
        return self.collected().get(RESULT) if self.plan.exits else dict(self._last())

    def result(self) -> Mapping[str, Any]:
        """Outputs of the succeeded steps that nothing follows, by node; of an item, its outcome."""
        return {RESULT: self.outcome()} if self.frame.is_run else self._last()

    def _last(self) -> dict[str, Mapping[str, Json]]:
        ends = (
            (step.path, record.outcome)
            for step, record in zip(self.plan.steps, self.records, strict=False)
            if not step.outgoing
        )
        return {
            path: record.outputs for path, record in ends if record.has_succeeded and record.outputs
        }

    def opened(self, step: Step, *, index: int, values: Outputs) -> list[Step]:
        """Copies of a container's body join the steps of the run; returns them."""
        if step.body is None:
            raise IllegalTransition(f"{step.path} has no body to open")
        self.iterated.pop(step.index, None)
        frame = Frame(
            prefix=f"{step.path}[{index}]/",
            index=index,
            item=values.get("item"),
            values=values,
            outer=self.upstream_of(step),
        )
        iteration = Iteration(
            step.body,
            frame,
            container=step.index,
            base=len(self.steps),
            parent=self.iteration_of(step.index),
        )
        self.iterating[step.index] = iteration
        steps, links = iteration.copies(first_link=len(self.links))
        if not self.inside:
            self.positions = dict(self.positions)
        self.steps = grown(self.steps, steps)
        self.links = grown(self.links, links)
        self.positions.update((one.path, one.index) for one in steps)
        self.records += [StepRecord(StepStatus.BLOCKED) for _ in steps]
        self.inside += [iteration] * len(steps)
        self.undecided += [one.awaits for one in steps]
        self.taken += bytes(
            link.source == CONTAINER and link.source_port in values for link in links
        )
        return steps


def grown(known: Sequence[T], more: list[T]) -> list[T]:
    """The list with more in it; of a plan's own tuple, which all runs share, a copy."""
    grown = known if isinstance(known, list) else list(known)
    grown += more
    return grown


def bounded(graph: StepGraph, step: Step, outcome: StepRepeats) -> StepRepeats | StepFailed:
    """The outcome with its number, or a failure where the body would be one too many."""
    more = len(step.body.steps) if step.body else 0
    if graph.unrolled + more <= UNROLLED_LIMIT:
        return replace(outcome, index=graph.records[step.index].iterations)
    message = (
        f"The iterations of a run open at most {UNROLLED_LIMIT:,} steps. Repeat less, or put the "
        "work into a control.map or a sub-workflow."
    )
    return StepFailed(code=STEP_LIMIT, message=message, usage=outcome.usage)
