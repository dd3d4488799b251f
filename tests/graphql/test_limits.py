"""What one operation may ask: the attacks that limiters have to refuse, and refuse quickly."""

from __future__ import annotations

import math

import pytest
from graphql import get_introspection_query

from apps.kit.graphql.limits import TOO_COMPLEX
from tests.graphql.small_schema import codes, run


def fan(levels: int) -> str:
    """Each fragment spreads the next twice: 2^levels selections in a few hundred bytes."""
    chain = " ".join(
        f"fragment f{n} on Query {{ ...f{n + 1} x{n}: leaf {{ name }} ...f{n + 1} }}"
        for n in range(levels)
    )
    return f"{{ ...f0 }} {chain} fragment f{levels} on Query {{ leaf {{ name }} }}"


def test_doubling_fragments_are_measured_not_expanded() -> None:
    # 2^18 spreads would take minutes if each were walked; the test's own timeout is the proof.
    assert codes(run(fan(18))) == [TOO_COMPLEX]


def test_many_fragments_are_refused() -> None:
    fragments = " ".join(f"fragment f{n} on Query {{ leaf {{ name }} }}" for n in range(30))

    assert codes(run(f"{{ ...f0 }} {fragments}")) == [TOO_COMPLEX]


@pytest.mark.parametrize(
    "query",
    [
        "{ " + " ".join(f"a{n}: leaf {{ name }}" for n in range(200)) + " }",
        "{ " + "leaf { name } " * 300 + " }",
        "{ leaf " + "{ children(first: 1) { nodes " * 12 + "{ name }" + " } }" * 12 + " }",
        "{ leaf " + "{ ... on Leaf " * 80 + "{ name }" + " }" * 80 + " }",
        "{ leaf @include(if: true) @include(if: true) @skip(if: false) @skip(if: false)"
        " @include(if: true) @skip(if: false) { name } }",
        "{ leaves(first: 100) { nodes { children(first: 100) { nodes { name dear } } } } }",
        "{" + " ".join("leaf { name }" for _ in range(2)) + "}" + " " * 120_000,
    ],
    ids=["aliases", "fields", "depth", "nesting", "directives", "cost", "length"],
)
def test_an_operation_that_asks_too_much_is_refused(query: str) -> None:
    assert codes(run(query)) == [TOO_COMPLEX]


def test_too_many_tokens_are_refused_by_the_parser() -> None:
    assert codes(run("{ " + "leaf { name } " * 2_000 + " }")) == ["GRAPHQL_PARSE_FAILED"]


def test_deep_literals_are_refused_without_a_crash() -> None:
    assert codes(run("{ echo(size: " + "[" * 900 + "]" * 900 + ") }")) == ["GRAPHQL_PARSE_FAILED"]


def test_fragments_do_not_hide_aliases() -> None:
    spread = "fragment f on Query { " + " ".join(f"a{n}: leaf {{ name }}" for n in range(16)) + "}"

    assert codes(run("{ ...f } " + spread)) == [TOO_COMPLEX]


def test_circular_fragments_are_left_to_the_specification() -> None:
    query = "{ leaf { ...a } } fragment a on Leaf { ...b } fragment b on Leaf { ...a }"

    assert codes(run(query)) == ["GRAPHQL_VALIDATION_FAILED"]


@pytest.mark.parametrize("size", [0, -1, 101, 10**30])
def test_a_page_has_bounds(size: int) -> None:
    assert codes(run(f"{{ leaves(first: {size}) {{ nodes {{ name }} }} }}")) == ["INVALID"]


def test_a_page_size_in_a_variable_has_the_same_bounds() -> None:
    query = "query($n: Int) { leaves(first: $n) { nodes { name } } }"

    assert codes(run(query, n=5_000)) == ["INVALID"]


def test_first_and_last_contradict_each_other() -> None:
    assert codes(run("{ leaves(first: 2, last: 2) { nodes { name } } }")) == ["INVALID"]


def test_a_mutation_holds_one_root_field() -> None:
    query = 'mutation { a: write(word: "a") { word } b: write(word: "b") { word } }'

    assert codes(run(query)) == ["INVALID"]


def test_a_fragment_does_not_hide_a_second_root_field() -> None:
    query = (
        'mutation { ...f } fragment f on Mutation { a: fell { word } b: write(word: "b") { word } }'
    )

    assert codes(run(query)) == ["INVALID"]


def test_the_tools_introspection_passes() -> None:
    result = run(get_introspection_query())

    assert result.errors is None


def test_circular_introspection_is_refused() -> None:
    deep = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }"

    assert codes(run(deep)) == ["GRAPHQL_VALIDATION_FAILED"]


def test_the_price_multiplies_pages_and_is_shown() -> None:
    result = run("{ leaves(first: 10) { nodes { name dear } } }")

    # 1 for the page, and per row 1 for the node and 3 for the dear field; a point buys ten
    assert result.extensions["cost"]["cost"] == math.ceil((1 + 10 * (1 + 3)) / 10)
    assert result.extensions["cost"]["nodeCount"] == 10


def test_the_size_of_a_page_without_arguments_is_its_default() -> None:
    assert run("{ leaves { nodes { name } } }").extensions["cost"]["nodeCount"] == 20
