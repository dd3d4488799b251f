"""The order of levels, the depth of containers, cycles, and what runs only when called."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from apps.workflows.graph import order
from apps.workflows.graph.document import Document, parse


def document(
    *arrows: tuple[str, str], parents: dict[str, str] | None = None, nodes: str = "", **more: Any
) -> Document:
    parents = parents or {}
    names = dict.fromkeys([*nodes.split(), *(end for arrow in arrows for end in arrow), *parents])
    return parse(
        {
            "name": "x",
            "type": "ml",
            "nodes": [
                {"id": name, "type": "test.source", "parentId": parents.get(name)}
                | more.get(name, {})
                for name in names
            ],
            "connections": [{"source": source, "target": target} for source, target in arrows],
            "configuration": more.get("configuration", {}),
        }
    )


def test_predecessors_stand_before_successors() -> None:
    drawn = document(("c", "d"), ("a", "b"), ("b", "d"), ("a", "c"))
    found = order.topological_order(drawn)
    assert [found.index(one) for one in "abd"] == sorted(found.index(one) for one in "abd")
    assert set(found) == {"a", "b", "c", "d"}


def test_a_container_stands_before_its_body_and_each_level_has_an_order() -> None:
    drawn = document(
        ("start", "each"),
        ("each", "one"),
        ("one", "two"),
        ("two", "each"),
        ("each", "end"),
        parents={"one": "each", "two": "each"},
    )
    assert order.topological_order(drawn) == ("start", "each", "one", "two", "end")
    assert order.levels(drawn)["each"] == ("one", "two")
    assert order.levels(drawn)["nobody"] == ()
    assert {parent: len(body) for parent, body in order.containers(drawn).items()} == {"each": 2}


def test_connections_to_nowhere_order_nothing() -> None:
    drawn = document(("a", "b"))
    assert order.topological_order(
        parse(
            {
                "name": "x",
                "type": "ml",
                "nodes": [{"id": "a", "type": "t.a"}],
                "connections": [
                    {"source": "a", "target": "gone"},
                    {"source": "gone", "target": "a"},
                ],
            }
        )
    ) == ("a",)
    assert len(drawn.nodes) == 2


def test_depth_counts_containers() -> None:
    drawn = document(nodes="a", parents={"b": "a", "c": "b", "lost": "gone", "x": "y", "y": "x"})
    assert order.depths(drawn) == {"a": 0, "b": 1, "c": 2, "lost": None, "x": None, "y": None}


@pytest.mark.parametrize(
    ("arrows", "cycles"),
    [
        ([("a", "a")], [("a",)]),
        ([("a", "b"), ("b", "a")], [("a", "b")]),
        ([("s", "a"), ("a", "x"), ("a", "b"), ("b", "a"), ("x", "y")], [("a", "b")]),
        ([("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")], [("a", "b"), ("c", "d")]),
        ([("p", "q"), ("q", "p"), ("q", "r"), ("r", "r")], [("p", "q"), ("r",)]),
    ],
)
def test_a_circle_is_found_and_named(
    arrows: list[tuple[str, str]], cycles: list[tuple[str, ...]]
) -> None:
    found = order.levels(document(*arrows)).cycles
    assert {frozenset(cycle) for cycle in found} == {frozenset(cycle) for cycle in cycles}
    with pytest.raises(order.CyclicGraph, match="wait for each other"):
        order.topological_order(document(*arrows))


def test_a_walk_that_ends_in_a_known_circle_is_no_second_one() -> None:
    drawn = document(("a", "b"), ("b", "a"), ("c", "a"), ("c", "d"), ("d", "c"))
    cycles = order.levels(drawn).cycles
    assert len({node for cycle in cycles for node in cycle}) == sum(map(len, cycles))


def test_what_is_called_runs_on_call_and_so_does_what_follows_it() -> None:
    drawn = document(
        ("spare", "after"),
        nodes="a undo spare rescue handler other",
        a={
            "compensation": "undo",
            "onError": [
                {"do": "fallback", "with": {"node": "spare"}},
                {"do": "compensate", "with": {"then": "rescue"}},
            ],
        },
        configuration={"errorHandler": "handler"},
    )
    assert order.on_call(drawn) == {"undo", "spare", "rescue", "handler"}
    assert order.after_call(drawn) == order.on_call(drawn) | {"after"}


def test_upstream_is_transitive_and_goes_into_containers() -> None:
    drawn = document(
        ("a", "b"),
        ("b", "each"),
        ("each", "in"),
        ("in", "in2"),
        ("each", "end"),
        nodes="aside",
        parents={"in": "each", "in2": "each"},
    )
    upstream = order.Upstream(drawn)
    assert upstream.reaches("a", target="end")
    assert upstream.reaches("a", target="in2")
    assert upstream.reaches("in", target="in2")
    assert not upstream.reaches("in", target="end")
    assert not upstream.reaches("end", target="a")
    assert not upstream.reaches("aside", target="end")
    assert not upstream.reaches("gone", target="end")
    assert upstream.knows("end")
    assert not order.Upstream(document(("a", "a"))).knows("a")


def test_joined_paths_are_followed_once() -> None:
    drawn = document(("a", "c"), ("b", "c"), a={"compensation": "b"})
    assert order.after_call(drawn) == {"b", "c"}
    both = document(
        ("a", "c"), ("b", "c"), ("c", "d"), c={"compensation": "a"}, d={"compensation": "b"}
    )
    assert order.after_call(both) == {"a", "b", "c", "d"}


def test_two_thousand_nodes_are_ordered_and_looked_up() -> None:
    names = [f"n{number}" for number in range(2_000)]
    drawn = document(*pairwise(names))
    assert order.topological_order(drawn) == tuple(names)
    assert order.Upstream(drawn).reaches("n0", target="n1999")
