"""Histories as a release writes them: `python -m tests.engine.histories` prints those of this one.

What one release has written the next must fold into the same: tests/engine/written has them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, astuple, is_dataclass
from enum import Enum
from typing import Any, Final

from apps.executions.engine.codec import Row
from apps.executions.engine.fold import RunState, fold
from apps.executions.engine.mapping import MapProgress
from apps.executions.engine.pausing import PauseRequest
from apps.executions.engine.plan import Plan
from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOpens,
    StepOutcome,
    StepRepeats,
    StepWaits,
)
from apps.executions.engine.record import StepRecord, Totals
from apps.executions.engine.seeds import StepGiven
from apps.executions.engine.slice_ports import Inbox
from apps.workflows.graph.declaration import Wait, WaitKind
from apps.workflows.graph.mapping import MapOpening, Policy
from tests.engine.cases import plan_of
from tests.engine.chains import again
from tests.engine.doubles import read
from tests.engine.simulator import World
from tests.factories.graphs import a, to

CUTS: Final = (None, 3, 7)
_AGAIN: Final[dict[str, Any]] = {"retry": {"maxAttempts": 3, "backoffSeconds": 30}}
_ELSEWHERE: Final[dict[str, Any]] = {"resources": {"pool": "cpu"}}
_LOOP: Final = (
    [a("a"), a("l", "box"), a("x", "keyed", parentId="l"), a("y", parentId="l"), a("z")],
    [to("a", "l"), to("l.item", "x"), to("x", "y"), to("y", "l.next"), to("l", "z")],
)
_MAP: Final = [to("a", "rows"), to("rows.item", "one"), to("one", "rows.result"),
               to("rows.results", "z")]  # fmt: skip
_ITEM: Final = [a("one", "keyed", parentId="rows", compensation="back"),
                a("back", "keyed", parentId="rows")]  # fmt: skip
DRAWN: Final[Mapping[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]] = {
    "diamond": (
        [a("a"), a("b", "keyed"), a("c", "keyed", **_ELSEWHERE), a("z")],
        [to("a", "b"), to("a", "c"), to("b", "z.all"), to("c", "z.all")],
    ),
    "retried": ([a("a"), a("bad1", "keyed", **_AGAIN), a("z")], [to("a", "bad1"), to("bad1", "z")]),
    "failed": ([a("a"), a("bad9"), a("z")], [to("a", "bad9"), to("bad9", "z")]),
    "routed": (
        [a("a"), a("bad9", onError="route"), a("y"), a("z")],
        [to("a", "bad9"), to("bad9", "y"), to("bad9.error", "z")],
    ),
    "replaced": (
        [a("a"), a("bad9", onError=[{"do": "fallback", "with": {"node": "s"}}]), a("s"), a("z")],
        [to("a", "bad9"), to("bad9", "z")],
    ),
    "undone": (
        [
            a("a", "keyed", compensation="u"),
            a("bad9", onError=[{"do": "compensate", "with": {"then": "z"}}]),
            a("u", "keyed"),
            a("z"),
        ],
        [to("a", "bad9")],
    ),
    "waited": ([a("a"), a("nap"), a("ask"), a("z")], [to("a", "nap"), to("nap", "ask"),
               to("ask", "z")]),
    "looped": _LOOP,
    "joined": (
        [
            *(a(name, "keyed") for name in "ab"),
            {"id": "j", "type": "control.join", "configuration": {"needed": 1}},
            a("z"),
        ],
        [to("a", "j.branches"), to("b", "j.branches"), to("j", "z")],
    ),
    "mapped": ([a("a"), a("rows", "each"), *_ITEM, a("z")], _MAP),
    "items undone": (
        [
            a("a", "keyed", compensation="u"),
            a("rows", "each"),
            *_ITEM,
            a("z"),
            a("bad9", onError=[{"do": "compensate"}]),
            a("u", "keyed"),
        ],
        [*_MAP, to("z", "bad9")],
    ),
}  # fmt: skip


KNOWN: Final = (
    *("head", "settled", "retries", "status", "failing", "canceling", "is_partial"),
    *("has_started", "error", "totals", "ready", "waiting", "retrying", "signals"),
)


def answer(call: StepCall) -> StepOutcome:
    """As the step's name says."""
    if call.given is not None:
        return call.given
    name, node = call.path.rpartition("/")[2], call.node.id
    if node.startswith("bad") and call.attempt <= int(node[3:]):
        return StepFailed(code="NO", message="not yet", retryable=True)
    if node == "l" and (index := call.inside.index + 1 if call.inside else 0) < 2:
        return StepRepeats(values={"item": index, "index": index})
    if node == "rows":
        sized = MapOpening(total=5, items=list(range(5)), chunk_size=2, concurrency=4,
                           policy=Policy.COLLECT)  # fmt: skip
        return StepOpens(opening=sized)
    if node == "nap":
        return StepWaits(wait=Wait(kind=WaitKind.TIMER, seconds=60, due={"value": name}))
    if node == "ask":
        return StepWaits(wait=Wait(kind=WaitKind.APPROVAL))
    return StepDone(outputs={"value": [name, len(call.inputs)]})


def world(name: str, **fields: Any) -> World:
    """A run of one of them that nobody has begun."""
    answers: Any = {WaitKind.APPROVAL: StepDone(outputs={"value": 1})}
    return World(plan(name), script=answer, judge=answer, answers=answers, **fields)


def plan(name: str) -> Plan:
    """Of what was drawn; a fork has that of its source."""
    nodes, links = DRAWN[name.partition(",")[0]]
    return plan_of(nodes, links)


def written() -> Iterator[tuple[str, World]]:
    """Every run, once in peace and twice with a death, a pause, and a fork from its last step."""
    for name in DRAWN:
        for cut in CUTS:
            it = world(name, seed=cut or 0, cut_at=cut)
            it.finish()
            yield f"{name}, cut at {cut}", it
        paused = world(name, mail=[Inbox(pause=PauseRequest(is_wanted=True))])
        paused.slice()
        yield f"{name}, paused", paused
        if "undone" in name:
            continue  # What was undone is not taken over.
        told = [StepGiven(path="z", generation=2)]
        redone = again(it, redo=["z"], given=told, judge=answer, answers=it.answers)
        redone.finish()
        yield f"{name}, again", redone


def told(state: RunState) -> dict[str, Any]:
    """All that a state says, by name: a later release may say more."""
    known = {
        name: plainly(value) for name in KNOWN if (value := getattr(state, name, None)) is not None
    }
    steps = {
        step.path: {name: plainly(getattr(record, name)) for name in type(record).__slots__}
        for step, record in zip(state.steps, state.records, strict=True)
    }
    return {**known, "steps": steps}


def plainly(value: Any) -> Any:
    """In JSON's words."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (StepRecord, Totals, MapProgress)):
        held = getattr(type(value), "__slots__", None) or vars(value)
        return plainly({name: getattr(value, name) for name in sorted(held)})
    if is_dataclass(value) and not isinstance(value, type):
        # What a later release adds says nothing about what was written before it.
        return plainly({name: one for name, one in asdict(value).items() if one})
    if isinstance(value, Mapping):
        return {str(key): plainly(one) for key, one in sorted(value.items(), key=str)}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, dt.datetime):
        return str(value)
    return [plainly(one) for one in value]


def restricted(said: Mapping[str, Any], run: Collection[str], step: Collection[str]) -> Any:
    """Only what another release would say."""
    steps = {
        path: {name: one for name, one in record.items() if name in step}
        for path, record in said["steps"].items()
    }
    return {**{name: one for name, one in said.items() if name in run}, "steps": steps}


def beginnings(name: str, rows: list[Row]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What some beginnings of a history and the whole amount to."""
    for head in sorted({1, len(rows) // 3, len(rows) // 2, len(rows) - 1, len(rows)} - {0}):
        yield head, told(fold(plan(name), [read(row) for row in rows[:head]]))


def row_of(type: str, path: str | None, attempt: int | None, body: str | None) -> Row:
    """As it was written."""
    return Row(type=type, path=path, attempt=attempt, body=body)


def digest(said: Any) -> str:
    """Short, of something long."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def main() -> None:
    """One history a line."""
    for name, it in written():
        states = dict(beginnings(name, it.rows))
        whole = states[len(it.rows)]
        steps = whole["steps"]
        line = {
            "name": name,
            "rows": [astuple(row) for row in it.rows],
            "run": sorted(set(KNOWN) - {"steps"}),
            "step": sorted(next(iter(steps.values()))),
            "states": {head: digest(said) for head, said in states.items()},
            "ends": [whole["status"], *(f"{path} {one['status']}" for path, one in steps.items())],
        }
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
