"""Which steps a new run takes over from an earlier one of its lineage, and which run again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from apps.executions.engine.calls import given_to
from apps.executions.engine.fold import RunState
from apps.executions.engine.history import Handling
from apps.executions.engine.plan import CONTAINER, Link, Plan, Step
from apps.executions.engine.record import StepRecord
from apps.executions.engine.seeds import MapKept, StepGiven
from apps.executions.engine.state import StepStatus
from apps.workflows.graph.declaration import NodeType


@dataclass(frozen=True, kw_only=True, slots=True)
class Inheritance:
    """Paths of the new version's steps; what is kept stands on nothing but what is kept."""

    kept: tuple[str, ...]
    redone: tuple[str, ...]
    """Of the top level: they run again, as a whole or from somewhere in the middle on."""
    opened: Mapping[str, int] = field(default_factory=dict)
    """Containers that go on in the middle: so many of their iterations are opened as they were."""
    maps: tuple[str, ...] = ()
    """Maps that run again over the items they had: what is done of them may stay done."""


def inherit(old: RunState, new: Plan, *, redo: Collection[str] = ()) -> Inheritance:
    """Keep what has an outcome, behaves the same in the new version, and is not to be redone.

    `old` is the earlier run at its end, or as it was at a checkpoint. `redo` are paths of it. A
    container that was in the middle, or in which a step is to be redone, goes on there.
    """
    heir = _Heir(old, frozenset(redo))
    heir.level(old.plan, new)
    return Inheritance(
        kept=tuple(heir.kept),
        redone=tuple(heir.redone),
        opened=heir.opened,
        maps=tuple(heir.maps),
    )


class _Heir:
    """What is found on the levels of a version, from the outside in."""

    def __init__(self, old: RunState, redo: Collection[str]) -> None:
        self.old = old
        self.redo = redo
        self.kept: list[str] = []
        self.redone: list[str] = []
        self.opened: dict[str, int] = {}
        self.maps: list[str] = []

    def level(self, before: Plan, plan: Plan, prefix: str = "") -> bool:
        """Whether all that runs there is kept; `before` is the level in the old version."""
        here = {CONTAINER}
        is_whole = True
        for step in plan.steps:
            path = prefix + step.path
            record = self._record(path)
            stands = record is not None and all(link.source in here for link in step.incoming)
            if stands and record is not None and step.path in before.positions:
                if self._is_kept(before, plan, step, path):
                    here.add(step.index)
                    self.kept.append(path)
                    continue
                if path not in self.redo:
                    self._go_on(before, plan, step, path)
            is_whole = is_whole and step.standby
            if not prefix:
                self.redone.append(path)
        return is_whole

    def _is_kept(self, before: Plan, plan: Plan, step: Step, path: str) -> bool:
        record = self._record(path)
        if record is None or not _has_outcome(record) or path in self.redo:
            return False
        return self._entered(path) is None and _is_same(before, plan, step)

    def _go_on(self, before: Plan, plan: Plan, step: Step, path: str) -> None:
        """A container that is not kept may have done a part of its work already."""
        record, was = self._record(path), before.step(step.path)
        if record is None or step.body is None or was.body is None:
            return
        progress = record.mapping
        if progress is not None:
            # What is undone, or is another run's to begin with, is not done.
            if not progress.source and not progress.undo and _is_same(before, plan, step):
                self.maps.append(path)
        elif before is plan or _outside(before, was) == _outside(plan, step):
            last = self._entered(path)
            most = record.iterations if last is None else min(record.iterations, last + 1)
            for index in range(most):
                self.opened[path] = index + 1
                if not self.level(was.body, step.body, f"{path}[{index}]/"):
                    return

    def _record(self, path: str) -> StepRecord | None:
        position = self.old.positions.get(path)
        return None if position is None else self.old.records[position]

    def _entered(self, path: str) -> int | None:
        """The iteration in which a step is to be redone."""
        begin = f"{path}["
        numbers = (
            one[len(begin) :].partition("]")[0] for one in self.redo if one.startswith(begin)
        )
        return min(map(int, numbers), default=None)


def step_at(plan: Plan, path: str) -> Step | None:
    """The step of a version that a path leads to, whichever iteration or item it is in."""
    *walls, last = path.split("/")
    for wall in walls:
        node_id, _, number = wall.partition("[")
        is_number = number[-1:] == "]" and number[:-1].isascii() and number[:-1].isdecimal()
        position = plan.positions.get(node_id) if is_number else None
        body = None if position is None else plan.steps[position].body
        if body is None:
            return None
        plan = body
    position = plan.positions.get(last)
    return None if position is None else plan.steps[position]


def path_to(plan: Plan, node_id: str, *, index: int = 0) -> str | None:
    """The path of a node's step; inside containers in that iteration, of others in the first."""
    if node_id in plan.positions:
        return node_id
    for step in plan.steps:
        found = None if step.body is None else path_to(step.body, node_id, index=index)
        if found is not None:
            return f"{step.path}[{0 if '/' in found else index}]/{found}"
    return None


def kept_maps(old: RunState, found: Inheritance, *, run_id: str) -> Iterator[StepGiven]:
    """What is to be known of maps whose outcome is kept, where what they did can be undone."""
    for path in found.kept:
        position = old.positions[path]
        body, progress = old.steps[position].body, old.records[position].mapping
        if body is not None and body.undoes and progress is not None:
            kept = MapKept(
                run_id=progress.source or run_id, opening=progress.opening, chunks=progress.next
            )
            generation = given_to(old, path).generation
            yield StepGiven(path=path, generation=generation, kept=kept)


def _is_same(before: Plan, plan: Plan, step: Step) -> bool:
    return before is plan or _behavior(before, before.step(step.path)) == _behavior(plan, step)


def _has_outcome(record: StepRecord) -> bool:
    """A success, a skip, or a failure that somebody received; any other failure is tried again."""
    if record.status is StepStatus.FAILED:
        return record.handling is Handling.ROUTE
    return record.has_succeeded or record.status is StepStatus.SKIPPED


def _behavior(plan: Plan, step: Step) -> tuple[object, ...]:
    """What the outcome depends on beside its inputs, and what it decides for those behind it."""
    body = step.body
    return _outside(plan, step), body and [_behavior(body, one) for one in body.steps]


def _outside(plan: Plan, step: Step) -> tuple[object, ...]:
    """The same without the steps inside."""
    node, body = step.node, step.body
    return (
        (node.type, node.type_version, node.configuration, node.disabled),
        _ends(plan, step.incoming),
        {(one.id, one.source_port, one.condition) for one in step.connections if one.condition},
        body and (_ends(body, body.entries), _ends(body, body.exits)),
    )


def _ends(plan: Plan, links: Iterable[Link]) -> list[tuple[object, ...]]:
    """Where connections lead from and to, whatever they are called."""
    return [
        (
            None if link.source == CONTAINER else plan.steps[link.source].path,
            link.source_port,
            None if link.target == CONTAINER else plan.steps[link.target].path,
            link.target_port,
            link.conditional,
        )
        for link in links
    ]


def effects_of(plan: Plan) -> dict[str, tuple[str, NodeType]]:
    """By node with an effect: the step of the top level it belongs to, and its type."""
    return {
        one.node.id: (step.path, one.node_type)
        for step in plan.steps
        for one in _with_body(step)
        if not one.is_pure
    }


def _with_body(step: Step) -> Iterator[Step]:
    yield step
    for inner in step.body.steps if step.body else ():
        yield from _with_body(inner)
