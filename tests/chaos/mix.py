"""The runs of a storm: shapes of every kind, how each may end, which effects it must have had."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.chaos import items
from tests.chaos.cells import line
from tests.chaos.items import effects_of, mapped, said
from tests.factories.graphs import raw, to

SUCCEEDED: Final = frozenset({"SUCCEEDED"})
DOUBTFUL: Final = frozenset({"SUCCEEDED", "FAILED"})
"""Whoever dies with an unsafe effect leaves a doubt, and the run says so."""
FAILED: Final = frozenset({"FAILED"})
CANCELED: Final = frozenset({"SUCCEEDED", "CANCELED"})
SIGNAL: Final = "go"
ELSEWHERE: Final[dict[str, Any]] = {"resources": {"pool": "cpu"}}
UNDONE: Final = ("items undone", "runs undone")
KINDS: Final = ("keyed", "transactional", "reconcilable")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One kind of run. `poke`: what somebody does to it after its start."""

    name: str
    document: dict[str, Any]
    ends: frozenset[str] = SUCCEEDED
    poke: str = ""
    called: frozenset[str] | None = None
    """What must have happened where steps call others: by the paths of the copies."""
    kept: tuple[str, ...] = ()
    """Of a fork: the steps it does not repeat."""

    def owed(self, state: str) -> set[str]:
        """The steps that must have delivered when the run has ended like that."""
        if self.called is not None:
            return set(self.called) if state in self.ends else set()
        return effects_of(self.document) - set(self.kept) if state == "SUCCEEDED" else set()

    def forked(self, completed: Collection[str]) -> Shape:
        """The run that goes on from one of these: of its first half it keeps what is completed."""
        names = [node["id"] for node in self.document["nodes"]]
        kept = tuple(name for name in names[: len(names) // 2] if name in completed)
        return replace(self, name="fork", poke="", kept=kept)


def _chain(chance: random.Random) -> dict[str, Any]:
    kinds = ("pure", "pure", *KINDS)
    nodes = [said(f"n{i}", chance.choice(kinds)) for i in range(chance.randint(2, 10))]
    return line(*nodes)


def _diamond(chance: random.Random) -> dict[str, Any]:
    nodes = [
        said("a"),
        said("b", chance.choice(KINDS)),
        said("c", say={"seconds": 0.05}),
        said("d", "keyed"),
        said("e"),
    ]
    links = [to("a", "b"), to("a", "c"), to("b", "d.all"), to("c", "d.all"), to("d", "e")]
    return raw(nodes, links)


def _branches(chance: random.Random) -> dict[str, Any]:
    width = chance.randint(3, 8)
    middle = [said(f"b{i}", "keyed", {"seconds": chance.random() / 10}) for i in range(width)]
    names = [node["id"] for node in middle]
    links = [to("a", name) for name in names] + [to(name, "z.all") for name in names]
    return raw([said("a"), *middle, said("z", "transactional")], links)


def _retries(chance: random.Random) -> dict[str, Any]:
    again = {"maxAttempts": 4, "backoffSeconds": chance.choice([0.1, 0.3, 1.5])}
    stubborn = said("b", "keyed", {"failures": chance.randint(1, 2)}, retry=again)
    return line(said("a"), stubborn, said("c", "keyed"))


def _routed(chance: random.Random) -> dict[str, Any]:
    bad = said("b", say={"failures": 99}, onError="route")
    links = [to("a", "b"), to("b.error", "c"), to("b", "d")]
    return raw([said("a", "keyed"), bad, said("c", "keyed"), said("d")], links)


def _tasks(chance: random.Random) -> dict[str, Any]:
    far = [said(f"t{i}", chance.choice(KINDS), **ELSEWHERE) for i in range(chance.randint(1, 4))]
    names = [node["id"] for node in far]
    links = [to("a", name) for name in names] + [to(name, "z.all") for name in names]
    return raw([said("a"), *far, said("z", "keyed")], links)


def _unsafe(chance: random.Random) -> dict[str, Any]:
    where = chance.choice([{}, ELSEWHERE])
    return line(said("a", "keyed"), said("b", "unsafe", **where), said("c"))


def _large(chance: random.Random) -> dict[str, Any]:
    kilobytes = chance.choice([31, 33, 512])
    node = {"id": "a", "type": "chaos.large", "configuration": {"kilobytes": kilobytes}}
    return line(node, said("b", "keyed"), said("c"))


def _huge(chance: random.Random) -> dict[str, Any]:
    node = {"id": "a", "type": "chaos.large", "configuration": {"kilobytes": 10 * 1024}}
    return line(node, said("b", "keyed"))


def _waiting(chance: random.Random) -> dict[str, Any]:
    nap = said("b", say={"wait": chance.uniform(0.5, 4)})
    return line(said("a", "keyed"), nap, said("c", "keyed"))


def _signaled(chance: random.Random) -> dict[str, Any]:
    nodes = [said("a", "keyed"), said("b", say={"signal": SIGNAL}), said("c", "keyed")]
    return raw(nodes, [to("a", "b"), to("b.payload", "c")])


def _mapped(chance: random.Random) -> dict[str, Any]:
    items = chance.randint(5, 40)
    return mapped("keyed", {"seconds": 0.02}, items=items, chunk=chance.randint(2, 12))


def _items(chance: random.Random) -> dict[str, Any]:
    """Its items wait, so each is a run of its own."""
    return items.waiting(
        chance.choice(KINDS),
        pause=chance.choice([0.1, 0.5, 2.0]),
        items=chance.randint(2, 8),
        chunk=chance.randint(1, 4),
        concurrency=chance.randint(1, 4),
    )


def _nested(chance: random.Random) -> dict[str, Any]:
    size = chance.randint(2, 4)
    return items.nested(chance.choice(KINDS), inside=chance.randint(1, 5), items=size, chunk=2)


def _items_undone(chance: random.Random) -> dict[str, Any]:
    size, chunk = chance.randint(3, 20), chance.randint(2, 6)
    return items.undone(chance.choice(KINDS), {"seconds": 0.02}, items=size, chunk=chunk)


def _runs_undone(chance: random.Random) -> dict[str, Any]:
    size, chunk = chance.randint(2, 6), chance.randint(1, 3)
    return items.undone(chance.choice(KINDS), pause=0.1, items=size, chunk=chunk)


def _canceled(chance: random.Random) -> dict[str, Any]:
    return line(said("a", "keyed"), said("b", say={"seconds": 0.5}), said("c", "keyed"))


def _looped(chance: random.Random) -> dict[str, Any]:
    times = chance.randint(2, 5)
    rounds = {"max_iterations": times, "at_limit": "leave"}
    nodes = [
        said("a", "keyed"),
        {"id": "l", "type": "control.loop", "configuration": rounds},
        said("x", chance.choice(KINDS), parentId="l"),
        said("y", "keyed", parentId="l", **chance.choice([{}, ELSEWHERE])),
        said("z", "keyed"),
    ]
    links = [to("a", "l"), to("l.item", "x"), to("x", "y"), to("y", "l.next"), to("l", "z")]
    return raw(nodes, links)


def _joined(chance: random.Random) -> dict[str, Any]:
    """Whoever loses is stopped: only what follows the join must happen."""
    width = chance.randint(2, 5)
    seconds = [0.05, *(chance.choice([0.1, 3.0]) for _ in range(width - 1))]
    nodes = [
        said(
            f"b{i}",
            chance.choice(KINDS),
            {"seconds": seconds[i], "silent": True},
            **chance.choice([{}, ELSEWHERE]),
        )
        for i in range(width)
    ]
    join = {"id": "j", "type": "control.join", "configuration": {"needed": 1}}
    links = [to(node["id"], "j.branches") for node in nodes]
    return raw([*nodes, join, said("z", "keyed")], [*links, to("j.first", "z")])


def _replaced(chance: random.Random) -> dict[str, Any]:
    rule = [{"do": "fallback", "with": {"node": "spare"}}]
    bad = said("b", say={"failures": 99}, onError=rule, **chance.choice([{}, ELSEWHERE]))
    links = [to("a", "b"), to("b", "c")]
    return raw([said("a", "keyed"), bad, said("c", "keyed"), said("spare", "keyed")], links)


def _undone(chance: random.Random) -> dict[str, Any]:
    nodes = [
        said("a", "keyed", compensation="undo"),
        said("b", "transactional", compensation="undo"),
        said("c", say={"failures": 99}, onError=[{"do": "compensate"}]),
        said("undo", "keyed"),
    ]
    return raw(nodes, [to("a", "b"), to("b", "c")])


def _instead(chance: random.Random) -> dict[str, Any]:
    rule = [{"do": "compensate", "with": {"then": "d"}}]
    nodes = [
        said("a", "keyed", compensation="undo"),
        said("c", say={"failures": 99}, onError=rule),
        said("undo", "keyed", **chance.choice([{}, ELSEWHERE])),
        said("d", "keyed"),
        said("e", "keyed"),
    ]
    return raw(nodes, [to("a", "c"), to("d", "e")])


def _approved(chance: random.Random) -> dict[str, Any]:
    question = {"id": "b", "type": "control.approval", "configuration": {"title": "Go on?"}}
    links = [to("a", "b"), to("b.approved", "c")]
    return raw([said("a", "keyed"), question, said("c", "keyed")], links)


def _forked(chance: random.Random) -> dict[str, Any]:
    return line(*(said(f"n{i}", chance.choice(KINDS)) for i in range(chance.randint(2, 8))))


_DRAW: Final[Mapping[str, tuple[int, Callable[[random.Random], dict[str, Any]]]]] = {
    "chain": (6, _chain),
    "diamond": (6, _diamond),
    "branches": (4, _branches),
    "retries": (4, _retries),
    "routed": (2, _routed),
    "tasks": (5, _tasks),
    "unsafe": (3, _unsafe),
    "large": (1, _large),
    "waiting": (3, _waiting),
    "signaled": (3, _signaled),
    "canceled": (2, _canceled),
    "mapped": (3, _mapped),
    "items": (2, _items),
    "nested": (1, _nested),
    "items undone": (2, _items_undone),
    "runs undone": (1, _runs_undone),
    "looped": (3, _looped),
    "joined": (3, _joined),
    "replaced": (2, _replaced),
    "undone": (2, _undone),
    "instead": (2, _instead),
    "approved": (3, _approved),
    "paused": (3, _chain),
    "forked": (3, _forked),
}
_ENDS: Final = {
    "unsafe": DOUBTFUL,
    "canceled": CANCELED,
    "undone": FAILED,
    **dict.fromkeys(UNDONE, FAILED),
}
_POKES: Final = {
    "signaled": "signal",
    "canceled": "cancel",
    "approved": "approve",
    "paused": "pause",
    "forked": "fork",
}
_CALLED: Final = {
    "replaced": frozenset({"a", "b/spare", "c"}),
    "undone": frozenset({"a", "b", "a/undo", "b/undo"}),
    "instead": frozenset({"a", "a/undo", "d", "e"}),
}


def drawn(chance: random.Random) -> Shape:
    """One shape, the usual ones more often."""
    names = list(_DRAW)
    (name,) = chance.choices(names, weights=[_DRAW[name][0] for name in names])
    return shape(name, chance)


def shape(name: str, chance: random.Random) -> Shape:
    """One of a kind."""
    draw = _huge if name == "huge" else _DRAW[name][1]
    document = draw(chance)
    called = items.undone_of(document) if name in UNDONE else _CALLED.get(name)
    return Shape(
        name=name,
        document=document,
        ends=_ENDS.get(name, SUCCEEDED),
        poke=_POKES.get(name, ""),
        called=called,
    )


def poison(chance: random.Random) -> Shape:
    """A step that crashes its process, eats its memory, or never returns."""
    how = chance.choice(["segv", "eat", "never"])
    document = line(said("a", "keyed"), said("b", say={"poison": how}, timeoutSeconds=2))
    return Shape(name=f"poison {how}", document=document, ends=frozenset({"FAILED"}))
