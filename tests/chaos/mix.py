"""The runs of a storm: shapes of every kind, how each may end, which effects it must have had."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.cells import effects_of, line, mapped, said
from tests.factories.graphs import raw, to

SUCCEEDED: Final = frozenset({"SUCCEEDED"})
DOUBTFUL: Final = frozenset({"SUCCEEDED", "FAILED"})
"""Whoever dies with an unsafe effect leaves a doubt, and the run says so."""
CANCELED: Final = frozenset({"SUCCEEDED", "CANCELED"})
SIGNAL: Final = "go"
ELSEWHERE: Final[dict[str, Any]] = {"resources": {"pool": "cpu"}}
KINDS: Final = ("keyed", "transactional", "reconcilable")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One kind of run. `poke`: what somebody does to it after its start."""

    name: str
    document: dict[str, Any]
    ends: frozenset[str] = SUCCEEDED
    poke: str = ""

    @property
    def effects(self) -> set[str]:
        """The steps that must have delivered when the run has succeeded."""
        return effects_of(self.document)


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


def _canceled(chance: random.Random) -> dict[str, Any]:
    return line(said("a", "keyed"), said("b", say={"seconds": 0.5}), said("c", "keyed"))


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
}
_ENDS: Final = {"unsafe": DOUBTFUL, "canceled": CANCELED}
_POKES: Final = {"signaled": "signal", "canceled": "cancel"}


def drawn(chance: random.Random) -> Shape:
    """One shape, the usual ones more often."""
    names = list(_DRAW)
    (name,) = chance.choices(names, weights=[_DRAW[name][0] for name in names])
    return shape(name, chance)


def shape(name: str, chance: random.Random) -> Shape:
    """One of a kind."""
    draw = _huge if name == "huge" else _DRAW[name][1]
    return Shape(
        name=name,
        document=draw(chance),
        ends=_ENDS.get(name, SUCCEEDED),
        poke=_POKES.get(name, ""),
    )


def poison(chance: random.Random) -> Shape:
    """A step that crashes its process, eats its memory, or never returns."""
    how = chance.choice(["segv", "eat", "never"])
    document = line(said("a", "keyed"), said("b", say={"poison": how}, timeoutSeconds=2))
    return Shape(name=f"poison {how}", document=document, ends=frozenset({"FAILED"}))
