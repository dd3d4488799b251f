"""The levels a fork leads through: a run, an item of its map, an item of a map in that."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from apps.executions import lineages
from apps.executions.engine.calls import given_below, given_to, said_of_item
from apps.executions.engine.codec import decode
from apps.executions.engine.fold import RunState
from apps.executions.engine.frames import Frame
from apps.executions.engine.lineage import Inheritance, effects_of, inherit, kept_maps, step_at
from apps.executions.engine.paths import is_kept, node_of
from apps.executions.engine.plan import Plan
from apps.executions.engine.seeds import NOTHING_GIVEN, Follows, StepGiven, top_of
from apps.executions.engine.state import StepStatus
from apps.executions.errors import PastEffect, RunRefused
from apps.executions.item_effects import Spared
from apps.executions.models import MapItem, ParentKind, Run
from apps.workflows.graph.declaration import NodeType

MOST_FOLLOWED: Final = 32 * 1024
"""Bytes of what is said of an item that goes on; one with a longer story begins anew."""


@dataclass(kw_only=True)
class Level:
    """Where steps run again: `runs` of the lineage have stood there, one of them goes on.

    `state` is None where nobody knows what that one has done.
    """

    prefix: str
    runs: Any
    run_id: uuid.UUID | None
    state: RunState | None
    plan: Plan
    inherited: Inheritance
    spared: Spared
    above: Level | None = None
    item: tuple[str, int] | None = None
    """Its map on the level above, and its number."""
    history: Any = None
    """Of an item that ran in memory."""

    @property
    def kept(self) -> frozenset[str]:
        """Paths on this level."""
        return frozenset(self.inherited.kept)

    @cached_property
    def types(self) -> dict[str, tuple[str, NodeType]]:
        """Nodes with an effect that would run again."""
        return {
            node_id: (step, node_type)
            for node_id, (step, node_type) in effects_of(self.plan).items()
            if step in self.inherited.redone
        }

    @cached_property
    def below(self) -> tuple[lineages.Below, ...]:
        """Runs that what runs again has waited for."""
        redone = set(self.inherited.redone)
        return lineages.children(self.runs, redone, kept=self.kept, spared=self.spared)

    @property
    def acts(self) -> bool:
        """Whether anything that runs again may touch the world."""
        return bool(self.types or self.below)

    def effects(self) -> tuple[PastEffect, ...]:
        """What has happened here, and would happen again; paths as the run says them."""
        if not self.acts:
            return ()
        types, kept = self.types, self.kept
        found = [
            *lineages.past_effects(
                self.runs, types, bodies=self.plan.bodies, kept=kept, spared=self.spared
            )
        ]
        if self.above is not None and self.item is not None:
            found += lineages.effects_in_item(self.above.runs, types, kept=kept, item=self.item)
        listed = {effect.path for effect in found}
        found += lineages.effects_below(one for one in self.below if one.top not in listed)
        return tuple(replace(one, path=self.prefix + one.path) for one in lineages.merged(found))

    def given(self, fresh: Collection[str], generation: int) -> dict[str, StepGiven]:
        """What the new run is told: of the item, of steps that run again, of maps that are kept."""
        redone = [self.prefix + path for path in self.inherited.redone]
        is_fresh = bool(set(redone) & set(fresh))
        said: list[StepGiven] = []
        if self.item is not None:
            number = generation if is_fresh else self.generation_of("")
            said.append(StepGiven(path=self.prefix[:-1], generation=number, follows=self.follows()))
        for path in self.inherited.redone:
            there = self.prefix + path
            number = generation if there in fresh else self.generation_of(path)
            if number > 1 or (is_fresh and self.item is not None):
                said.append(StepGiven(path=there, generation=number))
        if self.state is not None and self.run_id is not None:
            kept = kept_maps(self.state, self.inherited, run_id=str(self.run_id))
            said += (replace(one, path=self.prefix + one.path) for one in kept)
        return {one.path: one for one in said}

    def generation_of(self, path: str) -> int:
        """That of a step in the run that goes on."""
        if self.state is not None:
            return given_to(self.state, path).generation
        if self.above is None or self.above.state is None or self.item is None:
            return 1
        told = given_below(self.above.state, *self.item).get(path)
        return (told or said_of_item(self.above.state, *self.item)).generation

    def follows(self) -> Follows | None:
        """What an item goes on from; None where it begins anew."""
        found = self.inherited
        if self.history is not None:
            said = Follows(history=list(_taken(self.history, found)))
        elif self.run_id is not None and self.state is not None:
            item = self.spared.item
            said = Follows(
                run_id=str(self.run_id),
                kept=found.kept,
                opened=found.opened,
                maps=found.maps,
                but={} if item is None else dict([item]),
                failed=tuple(self.spared.failed),
            )
        else:
            return None
        return said


def whole(source: Run, state: RunState, plan: Plan, *, goes_on: bool) -> Level:
    """That of a run that is tried again; `goes_on`: its maps with the items they had."""
    inherited = inherit(state, plan)
    return Level(
        prefix="",
        runs=lineages.members(source.lineage_id),
        run_id=source.pk,
        state=state,
        plan=plan,
        inherited=inherited,
        spared=Spared(run_id=source.pk, maps=inherited.maps if goes_on else ()),
    )


def carried(
    found: list[Level], given: Mapping[str, StepGiven], *, is_retry: bool
) -> Iterator[StepGiven]:
    """What was said before of what had no outcome yet, and is tried as it was."""
    top, state = found[0], found[0].state
    for path, said in {} if state is None else state.given.items():
        is_told = said.alone or path in given or is_kept(path, top.kept)
        if is_told or (len(found) > 1 and f"{path}/".startswith(found[1].prefix)):
            continue
        if any(path.startswith(f"{one}[") for one in top.spared.maps):
            yield said
        elif is_retry and said.inputs is not None and step_at(top.plan, path):
            around = given.get(top_of(path), NOTHING_GIVEN)
            yield StepGiven(path=path, generation=around.generation, inputs=said.inputs)


def generation_at(level: Level, given: Mapping[str, StepGiven], fork: str) -> int:
    """Of the step that is forked, where nothing was said of it for itself."""
    inside = top_of(fork[len(level.prefix) :])
    said = given.get(level.prefix + inside)
    return level.generation_of(inside) if said is None else said.generation


def levels(source: Run, state: RunState, plan: Plan, *, old: Plan, fork: str) -> list[Level]:
    """From the run down to the item in which the step is. Raises RunRefused (STEP_NOT_REACHED)."""
    inherited = inherit(state, plan, redo=(fork,))
    level = Level(
        prefix="",
        runs=lineages.members(source.lineage_id),
        run_id=source.pk,
        state=state,
        plan=plan,
        inherited=inherited,
        spared=Spared(run_id=source.pk, maps=inherited.maps),
    )
    found = [level]
    rest = fork
    while (wall := _wall(level, rest)) is not None and level.state is not None:
        number, _, rest = rest[len(wall) + 1 :].partition("]/")
        index = _index(level.state, wall, number)
        level.spared = Spared(
            run_id=level.run_id,
            maps=level.inherited.maps,
            failed=[one for one in level.inherited.maps if _has_succeeded(level.state, one)],
            item=(wall, index),
        )
        level = _item(level, wall, index, rest, old=old)
        found.append(level)
    if level.state is not None:
        require_reached(level.state, rest)
    return found


def require_reached(state: RunState, path: str) -> None:
    """Raises RunRefused unless the run came to that step."""
    position = state.positions.get(path)
    if position is not None and state.records[position].status is not StepStatus.SKIPPED:
        return
    if position is None and ("/" not in path or _wall_of(state, path) is not None):
        return  # It is new, or in an item of a map that runs again as a whole.
    message = "The run never came to this step; fork from one before it."
    if position is None and any(
        path.startswith(f"{step.path}[") and state.records[step.index].has_succeeded
        for step in state.steps
        if step.body is not None and not state.records[step.index].iterations
    ):
        message = "The run took this over from an earlier one of its lineage: fork that run."
    raise RunRefused("STEP_NOT_REACHED", message, path=("fromPath",))


def _wall(level: Level, rest: str) -> str | None:
    return next((one for one in level.inherited.maps if rest.startswith(f"{one}[")), None)


def _wall_of(state: RunState, path: str) -> str | None:
    maps = (step.path for step in state.steps if state.records[step.index].mapping is not None)
    return next((one for one in maps if path.startswith(f"{one}[")), None)


def _index(state: RunState, wall: str, number: str) -> int:
    total = state.records[state.step(wall).index].map_progress().opening.total
    if not number.isascii() or not number.isdecimal() or len(number) > 9 or int(number) >= total:
        message = f"The map has no such item; they count from 0 to {total - 1:,}."
        raise RunRefused("STEP_NOT_REACHED", message, path=("fromPath",))
    return int(number)


def _has_succeeded(state: RunState, path: str) -> bool:
    return state.records[state.step(path).index].has_succeeded


def _item(above: Level, wall: str, index: int, rest: str, *, old: Plan) -> Level:
    """The level of an item; `rest` is the step's path there."""
    body = above.plan.bodies[node_of(wall)]
    place = f"{wall}[{index}]"
    runs = Run.objects.filter(
        parent_id__in=above.runs.values("pk"), parent_kind=ParentKind.ITEM, parent_path=place
    )
    row = MapItem.objects.filter(run_id=above.run_id, path=wall, idx=index).first()
    state: RunState | None = None
    history = run_id = None
    if row is not None and row.child is not None:
        run = Run.objects.filter(pk=row.child).first()
        if run is not None:
            run_id, state = run.pk, lineages.state_at(run, old, seq=run.head)
    elif row is not None:
        history = row.history or (row.output if row.state == "begun" else None)
        state = None if history is None else _remembered(history, old.bodies[node_of(wall)])
    if state is not None and above.state is not None:
        said_of = said_of_item(above.state, wall, index)
        state.frame = replace(state.frame, generation=said_of.generation)
        state.given.update(given_below(above.state, wall, index))
    inherited = _all_again(body) if state is None else inherit(state, body, redo=(rest,))
    level = Level(
        prefix=f"{above.prefix}{place}/",
        runs=runs,
        run_id=run_id,
        state=state,
        plan=body,
        inherited=inherited,
        spared=Spared(run_id=run_id, maps=inherited.maps),
        above=above,
        item=(wall, index),
        history=history,
    )
    said = level.follows()
    if said is not None and len(json.dumps(said.to_json())) > MOST_FOLLOWED:
        level.state = level.history = None
        level.inherited = _all_again(body)
        level.spared = Spared()
    return level


def _all_again(body: Plan) -> Inheritance:
    return Inheritance(kept=(), redone=tuple(step.path for step in body.steps))


def _remembered(history: Any, body: Plan) -> RunState:
    state = RunState(body, Frame())
    for kind, path, attempt, said in history:
        content = json.loads(said) if said else None
        state.apply(decode(kind, path=path, attempt=attempt, body=content))
    return state


def _taken(history: Any, found: Inheritance) -> Iterator[list[Any]]:
    """The rows of an item that goes on, as SQL copies those of a run."""
    kept: Collection[str] = frozenset(found.kept)
    for kind, path, attempt, text in history:
        said = json.loads(text) if text else {}
        if kind == "run.queued":
            yield [kind, path, attempt, text]
        elif kind == "step.iterated" and said["index"] < found.opened.get(path, 0):
            said.pop("usage", None)
            yield [kind, path, attempt, json.dumps({"run": "", **said})]
        elif path in kept and kind in ("step.skipped", "step.reused"):
            yield [kind, path, attempt, text]
        elif path in kept and kind in ("step.completed", "step.failed"):
            yield ["step.reused", path, attempt, json.dumps({**said, "run": ""})]
