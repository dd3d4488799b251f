"""Which steps a new run takes over from an earlier one of its lineage, and which run again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

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


def inherit(old: RunState, new: Plan, *, redo: Collection[str] = ()) -> Inheritance:
    """Keep what has an outcome, behaves the same in the new version, and is not to be redone.

    `old` is the earlier run at its end, or as it was at a checkpoint.
    """
    kept: dict[int, str] = {}
    redone: list[str] = []
    for step in new.steps:
        stands = all(link.source in kept for link in step.incoming)
        if stands and step.path not in redo and _is_kept(old, new, step):
            kept[step.index] = step.path
        else:
            redone.append(step.path)
    return Inheritance(kept=tuple(kept.values()), redone=tuple(redone))


def resumed_maps(old: RunState, new: Plan, found: Inheritance) -> Iterator[str]:
    """Maps that run again over the items they had: what is done of them stays done."""
    kept = set(found.kept)
    for path in found.redone:
        step, position = new.step(path), old.plan.positions.get(path)
        progress = None if position is None else old.records[position].mapping
        if position is None or progress is None or progress.source or progress.undo:
            continue  # What is undone, or is another run's to begin with, is not done.
        before = old.plan.steps[position]
        is_same = old.plan is new or _behavior(old.plan, before) == _behavior(new, step)
        if is_same and all(new.steps[link.source].path in kept for link in step.incoming):
            yield path


def kept_maps(old: RunState, found: Inheritance, *, run_id: str) -> Iterator[StepGiven]:
    """What is to be known of maps whose outcome is kept, where what they did can be undone."""
    for path in found.kept:
        position = old.plan.positions[path]
        body, progress = old.plan.steps[position].body, old.records[position].mapping
        if body is not None and body.undoes and progress is not None:
            kept = MapKept(
                run_id=progress.source or run_id, opening=progress.opening, chunks=progress.next
            )
            generation = given_to(old, path).generation
            yield StepGiven(path=path, generation=generation, kept=kept)


def _is_kept(old: RunState, new: Plan, step: Step) -> bool:
    position = old.plan.positions.get(step.path)
    if position is None or not _has_outcome(old.records[position]):
        return False
    return old.plan is new or _behavior(old.plan, old.plan.steps[position]) == _behavior(new, step)


def _has_outcome(record: StepRecord) -> bool:
    """A success, a skip, or a failure that somebody received; any other failure is tried again."""
    if record.status is StepStatus.FAILED:
        return record.handling is Handling.ROUTE
    return record.has_succeeded or record.status is StepStatus.SKIPPED


def _behavior(plan: Plan, step: Step) -> tuple[object, ...]:
    """What the outcome depends on beside its inputs, and what it decides for those behind it."""
    node, body = step.node, step.body
    return (
        (node.type, node.type_version, node.configuration, node.disabled),
        _ends(plan, step.incoming),
        {(one.id, one.source_port, one.condition) for one in step.connections if one.condition},
        body and [_behavior(body, one) for one in body.steps],
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
