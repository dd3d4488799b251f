"""Every crash point with everything that can happen there, and the run that leads to it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any

from tests.chaos import items
from tests.chaos.items import Say, effects_of, mapped, said
from tests.chaos.nursery import SHORT, TRUSTING
from tests.chaos.strikes import Action, Blow
from tests.factories.graphs import raw, to

GATE: Say = {"gate": True}
SUCCEEDED, FAILED = frozenset({"SUCCEEDED"}), frozenset({"FAILED"})


def line(*nodes: dict[str, Any], **configuration: Any) -> dict[str, Any]:
    """One after the other."""
    names = [node["id"] for node in nodes]
    links = [to(one, two) for one, two in pairwise(names)]
    return raw(nodes, links, **configuration)


def _effects(pool: str) -> dict[str, Any]:
    """Each kind once. A rescuer waits in `second`, before it has appended anything."""
    return line(
        said("first"),
        said("second", "keyed", GATE),
        said("middle", "transactional"),
        said("third", "reconcilable"),
        said("fourth", "unsafe"),
        said("last"),
    )


def _doubt(pool: str) -> dict[str, Any]:
    return line(said("first"), said("second", "unsafe"), said("last"))


def _tasks(pool: str) -> dict[str, Any]:
    elsewhere = {"resources": {"pool": pool}}
    return line(
        said("first"),
        said("second", "reconcilable", GATE, **elsewhere),
        said("third", "unsafe", **elsewhere),
        said("last"),
    )


def _pure(pool: str) -> dict[str, Any]:
    return line(said("first"), said("second"), said("third", say=GATE), said("last"))


def _slow(pool: str) -> dict[str, Any]:
    return line(said("first", say={"seconds": 4}), said("second", "keyed"), said("last"))


def _tardy(pool: str) -> dict[str, Any]:
    return line(said("first", say={"seconds": 0.6}), said("second"), said("third", "keyed"))


def _parked(pool: str) -> dict[str, Any]:
    again = {"maxAttempts": 2, "backoffSeconds": 1.5}
    return line(said("first", "keyed", {"failures": 1}, retry=again), said("second", "keyed", GATE))


def _mapped(pool: str) -> dict[str, Any]:
    # One chunk at a time: whoever is at the gate holds the one that a zombie comes back to.
    return mapped("keyed", GATE, concurrency=1)


def _items(pool: str) -> dict[str, Any]:
    return items.waiting("keyed", GATE, items=4, chunk=2)


def _lone(pool: str) -> dict[str, Any]:
    """Whoever is at the gate holds the very run of the item that a zombie comes back to."""
    return items.waiting("keyed", GATE, items=1)


def _undone(pool: str) -> dict[str, Any]:
    # One chunk at a time, as above; the first step that undoes is the last item's.
    return items.undone("keyed", GATE, items=6, chunk=3, concurrency=1)


def _unruns(pool: str) -> dict[str, Any]:
    # One after the other: each chunk is undone by two runs.
    return items.undone("keyed", GATE, pause=0.1, items=4, chunk=2, concurrency=1)


def _unrun(pool: str) -> dict[str, Any]:
    return items.undone("keyed", GATE, pause=0.1, items=1)


def _large(pool: str) -> dict[str, Any]:
    return line({"id": "first", "type": "chaos.large"}, said("second", "keyed", GATE))


class Story(Enum):
    """The document of a cell's runs, and how many runs there are."""

    EFFECTS = (_effects, 1)
    DOUBT = (_doubt, 1)
    TASKS = (_tasks, 1)
    PURE = (_pure, 3)
    SLOW = (_slow, 1)
    TARDY = (_tardy, 2)
    PARKED = (_parked, 1)
    LARGE = (_large, 1)
    MAPPED = (_mapped, 1)
    ITEMS = (_items, 1)
    LONE = (_lone, 1)
    UNDONE = (_undone, 1)
    UNRUNS = (_unruns, 1)
    UNRUN = (_unrun, 1)

    @property
    def is_undone(self) -> bool:
        """Its runs fail, and what their items did is taken back."""
        return self in (Story.UNDONE, Story.UNRUNS, Story.UNRUN)

    def document(self, task_pool: str) -> dict[str, Any]:
        """With the pool of its tasks."""
        draw: Callable[[str], dict[str, Any]] = self.value[0]
        return draw(task_pool)

    @property
    def runs(self) -> int:
        """How many at once."""
        return int(self.value[1])

    def owed(self, state: str) -> set[str]:
        """The steps that must have delivered when a run has ended like that."""
        document = self.document("x")
        if self.is_undone:
            return set(items.undone_of(document))
        return effects_of(document) if state == "SUCCEEDED" else set()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One fault at one place. `fenced`: what resumes must find that the run is another's."""

    blows: tuple[Blow, ...]
    story: Story
    ends: frozenset[str] = SUCCEEDED
    fenced: bool = False
    forgotten: bool = False
    """The row of the dead worker is deleted, as if nobody had ever known it."""

    @property
    def name(self) -> str:
        """For the table."""
        blows = ", ".join(f"{blow.action} at {blow.point}" for blow in self.blows)
        return f"{self.story.name.lower()}: {blows}{' (no row)' if self.forgotten else ''}"

    @property
    def is_zombie(self) -> bool:
        """The process comes back."""
        return self.blows[-1].action is Action.STOP

    @property
    def is_of_relay(self) -> bool:
        """Its victim alone relays."""
        return self.blows[-1].point.startswith("relay.")

    @property
    def is_told(self) -> bool:
        """The victim is told of the run before that is written; nobody rings for it."""
        return self.blows[-1].point == "expect.told"

    @property
    def is_contested(self) -> bool:
        """Any process may come first to what leads here: more runs give the victim its turn."""
        return self.blows[-1].point.startswith(("relay.", "timers."))

    @property
    def is_alone(self) -> bool:
        """It stops inside a transaction, and the outbox of all waits for that."""
        return self.is_zombie and self.blows[-1].point == "relay.announced"

    @property
    def settings(self) -> Mapping[str, float]:
        """Zombies trust their lease for ever: the fence alone must hold."""
        return TRUSTING if self.is_zombie else SHORT


_K, _S, _R, _L, _T, _H = (
    Action.KILL, Action.STOP, Action.RAISE, Action.LOST, Action.TERM, Action.HANG,
)  # fmt: skip
# (story, point, the pass that is struck, actions)
_PLACES: tuple[tuple[Story, str, int, tuple[Action, ...]], ...] = (
    (Story.EFFECTS, "expect.told", 1, (_K, _S, _R, _T)),
    (Story.EFFECTS, "claim.begun", 2, (_K, _S, _R, _L, _T, _H)),
    (Story.EFFECTS, "claim.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.EFFECTS, "turn.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.EFFECTS, "turn.folded", 1, (_K, _S, _R, _L, _T)),
    (Story.EFFECTS, "step.begun", 2, (_K, _S, _T)),
    (Story.EFFECTS, "effect.sent", 1, (_K, _S, _T)),
    (Story.EFFECTS, "step.returned", 2, (_K, _S, _T)),
    (Story.EFFECTS, "append.begun", 2, (_K, _S, _R, _L, _T)),
    (Story.EFFECTS, "append.sent", 1, (_K, _S, _R, _L, _T)),
    (Story.EFFECTS, "append.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.EFFECTS, "append.known", 2, (_K, _S, _R, _L, _T)),
    (Story.EFFECTS, "beat.begun", 2, (_K, _S, _R, _L)),
    (Story.EFFECTS, "beat.committed", 1, (_K, _S, _R, _L)),
    (Story.EFFECTS, "relay.read", 1, (_K, _S, _R, _L, _T)),
    (Story.EFFECTS, "relay.announced", 1, (_K, _S, _R, _L, _T)),
    (Story.EFFECTS, "relay.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.EFFECTS, "reap.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.PURE, "batch.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.PURE, "batch.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.TASKS, "append.committed", 1, (_K, _L)),
    (Story.TASKS, "intent.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.TASKS, "intent.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.TASKS, "step.begun", 2, (_K, _S, _T)),
    (Story.TASKS, "result.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.TASKS, "result.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.PARKED, "turn.left", 1, (_K, _S, _R, _L, _T)),
    (Story.PARKED, "timers.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.TARDY, "turn.left", 1, (_K, _S, _R, _T)),
    (Story.LARGE, "value.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.LARGE, "value.stored", 1, (_K, _S, _R, _L, _T)),
    (Story.SLOW, "beat.begun", 2, (_H,)),
    (Story.MAPPED, "chunk.taken", 1, (_K, _S, _R, _L, _T)),
    (Story.MAPPED, "step.begun", 4, (_K, _T)),
    (Story.MAPPED, "effect.sent", 3, (_K, _S, _T)),
    (Story.MAPPED, "items.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.MAPPED, "items.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.MAPPED, "chunk.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.MAPPED, "chunk.committed", 2, (_K, _S, _R, _L, _T)),
    (Story.MAPPED, "reduce.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.MAPPED, "reduce.ended", 1, (_K, _S, _R, _L, _T)),
    (Story.ITEMS, "runs.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.ITEMS, "runs.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.ITEMS, "park.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.ITEMS, "park.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.ITEMS, "home.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.ITEMS, "home.committed", 1, (_K, _S, _R, _L, _T)),
    (Story.ITEMS, "effect.sent", 2, (_K, _T)),
    (Story.LONE, "effect.sent", 1, (_S,)),
    (Story.UNDONE, "undo.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.UNDONE, "undo.committed", 2, (_K, _S, _R, _L, _T)),
    # Six effects come before the first that undoes one.
    (Story.UNDONE, "effect.sent", 7, (_K, _S, _T)),
    (Story.UNRUNS, "unruns.begun", 1, (_K, _S, _R, _L, _T)),
    (Story.UNRUNS, "unruns.committed", 2, (_K, _S, _R, _L, _T)),
    (Story.UNRUNS, "effect.sent", 5, (_K, _T)),
    (Story.UNRUN, "effect.sent", 2, (_S,)),
)
_FENCED = frozenset(
    {
        *("turn.folded", "step.begun", "effect.sent", "step.returned"),
        *("append.begun", "batch.begun", "items.begun", "undo.begun"),
    }
)
"""Stopped here with work to write: coming back, it is refused."""


def _special() -> list[Cell]:
    """Two blows, or an end that is not success."""
    drain = Blow(point="step.begun", action=_T)
    return [
        *(
            Cell(blows=(drain, Blow(point=point, action=action)), story=Story.SLOW)
            for point in ("drain.begun", "drain.released")
            for action in (_K, _S, _R, _L)
        ),
        *(
            Cell(
                blows=(
                    Blow(point="turn.folded", action=_R),
                    Blow(point="turn.dropped", action=action),
                ),
                story=Story.EFFECTS,
            )
            for action in (_K, _S, _R, _L, _T)
        ),
        *(
            Cell(blows=(Blow(point=point, action=_R, nth=nth),), story=Story.EFFECTS, ends=FAILED)
            for point, nth in (("step.begun", 2), ("effect.sent", 1), ("step.returned", 2))
        ),
        *(
            Cell(blows=(Blow(point=point, action=_K, nth=nth),), story=Story.DOUBT, ends=FAILED)
            for point, nth in (
                ("append.committed", 1),
                ("step.begun", 2),
                ("effect.sent", 1),
                ("step.returned", 2),
                ("append.begun", 2),
            )
        ),
        Cell(
            blows=(Blow(point="step.begun", action=_K, nth=2),), story=Story.EFFECTS, forgotten=True
        ),
    ]


def _breaks(point: str, action: Action) -> bool:
    """An exception that is nobody's outage is the step's."""
    return action is _R and point.startswith("value.")


def every_cell() -> list[Cell]:
    """In a fixed order."""
    plain = [
        Cell(
            blows=(Blow(point=point, action=action, nth=nth),),
            story=story,
            fenced=action is _S and point in _FENCED and story is not Story.TASKS,
            ends=FAILED if story.is_undone or _breaks(point, action) else SUCCEEDED,
        )
        for story, point, nth, actions in _PLACES
        for action in actions
    ]
    return plain + _special()


def sample(seed: str, *, size: int) -> Sequence[Cell]:
    """Some of them, with at least one zombie that must be fenced and one forgotten worker."""
    chance = random.Random(seed)
    cells = every_cell()
    zombies = [cell for cell in cells if cell.fenced]
    others = [cell for cell in cells if not cell.fenced and not cell.forgotten]
    forgotten = [cell for cell in cells if cell.forgotten]
    few = max(1, size // 4)
    chosen = chance.sample(zombies, few) + forgotten
    return chosen + chance.sample(others, size - len(chosen))
