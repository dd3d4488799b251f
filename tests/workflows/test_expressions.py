"""What counts as an expression, how it is rewritten, and which can never work."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from apps.workflows.graph import templates
from apps.workflows.graph.expressions import Expression, ExpressionInvalid, parse
from apps.workflows.graph.templates import SecretReference, Slot, Template


@pytest.mark.parametrize(
    ("source", "python", "references"),
    [
        ("x", "x", [("x",)]),
        ("metrics.accuracy > 0.95", "metrics['accuracy'] > 0.95", [("metrics", "accuracy")]),
        ("name.upper().lower()", "name.upper().lower()", [("name",)]),
        (
            "nodes.fit.metrics.f1",
            "nodes['fit']['metrics']['f1']",
            [("nodes", "fit", "metrics", "f1")],
        ),
        ("nodes['fit'].model", "nodes['fit']['model']", [("nodes", "fit", "model")]),
        ("rows[0].name", "rows[0]['name']", [("rows", "0", "name")]),
        ("nodes[parameters.n].x", "nodes[parameters['n']]['x']", [("nodes",), ("parameters", "n")]),
        ("rows[1:2].a", "rows[1:2]['a']", [("rows",)]),
        ("[r.a for r in rows if r.b]", "[r['a'] for r in rows if r['b']]", [("rows",)]),
        (
            "sorted(xs, key=lambda v: v.k)[0].n",
            "sorted(xs, key=lambda v: v['k'])[0]['n']",
            [("xs",)],
        ),
        (
            "len(a.b) + max(c, default=d.e)",
            "len(a['b']) + max(c, default=d['e'])",
            [("a", "b"), ("c",), ("d", "e")],
        ),
        ("{'a': 1}['a'].b", "{'a': 1}['a']['b']", []),
        ("f'{a.b}'", "f\"{a['b']}\"", [("a", "b")]),
        ("a.b and not c or d", "a['b'] and (not c) or d", [("a", "b"), ("c",), ("d",)]),
    ],
)
def test_dots_become_subscripts_and_names_are_known(
    source: str, python: str, references: list[tuple[str, ...]]
) -> None:
    parsed = parse(f"  {source} ")
    assert parsed.python == python
    assert list(parsed.references) == references
    assert parsed.names == {reference[0] for reference in references}


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("", "EXPRESSION_EMPTY"),
        ("a b", "EXPRESSION_SYNTAX"),
        ("x = 1", "EXPRESSION_SYNTAX"),
        ("import os", "EXPRESSION_SYNTAX"),
        ("a" * 4_097, "EXPRESSION_TOO_LARGE"),
        ("not " * 400 + "a", "EXPRESSION_TOO_LARGE"),
        ("-" * 4_000 + "1", "EXPRESSION_TOO_LARGE"),
        ("[" + "a," * 600 + "]", "EXPRESSION_TOO_LARGE"),
        ("(x := 1)", "EXPRESSION_NOT_ALLOWED"),
        ("await x", "EXPRESSION_NOT_ALLOWED"),
        ("(yield)", "EXPRESSION_NOT_ALLOWED"),
        ("a @ b", "EXPRESSION_NOT_ALLOWED"),
        ("b'x'", "EXPRESSION_NOT_ALLOWED"),
        ("1j", "EXPRESSION_NOT_ALLOWED"),
        ("...", "EXPRESSION_NOT_ALLOWED"),
        ("x.__class__", "EXPRESSION_NOT_ALLOWED"),
        ("__import__('os')", "EXPRESSION_NOT_ALLOWED"),
        ("[0 for x.y in z]", "EXPRESSION_NOT_ALLOWED"),
        ("[0 for x[0] in z]", "EXPRESSION_NOT_ALLOWED"),
        # Before 3.12 what is in the braces cannot be written with a backslash.
        pytest.param(
            "f\"{d['\x07']}\"",
            "EXPRESSION_SYNTAX",
            marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="it can be written"),
        ),
    ],
)
def test_what_can_never_work_is_refused(source: str, code: str) -> None:
    with pytest.raises(ExpressionInvalid) as caught:
        parse(source)
    assert caught.value.code == code
    assert caught.value.message.endswith(".")


def pieces(text: str) -> list[Any]:
    content = templates.read(text)
    assert isinstance(content, Template)
    return [piece.source if isinstance(piece, Expression) else piece for piece in content.pieces]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{{ x }}", ["x"]),
        ("a {{ x }} b {{ y }}", ["a ", "x", " b ", "y"]),
        ("{{x}}{{y}}.", ["x", "y", "."]),
        ("{{ {'a': {'b': 1}} }}", ["{'a': {'b': 1}}"]),
        ("{{ '}}' }}", ["'}}'"]),
        (r"{{ 'it\'s }}' }}", [r"'it\'s }}'"]),
        ("{{ a[b({1: 2})] }}", ["a[b({1: 2})]"]),
    ],
)
def test_braces_in_values_do_not_close_the_expression(text: str, found: list[Any]) -> None:
    assert pieces(text) == found


def test_a_plain_text_stays_one() -> None:
    assert templates.read("no } } braces") == "no } } braces"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{ x", "EXPRESSION_NOT_CLOSED"),
        ("{{ 'x }}", "EXPRESSION_NOT_CLOSED"),
        ("{{ (x }}", "EXPRESSION_NOT_CLOSED"),
        ("{{ }}", "EXPRESSION_EMPTY"),
        ("{{ a }}" * 201, "EXPRESSION_TOO_LARGE"),
        ("Bearer {{ secrets.TOKEN }}", "SECRET_NOT_ALONE"),
        ("{{ secrets.TOKEN + 'x' }}", "SECRET_NOT_ALONE"),
        ("{{ secrets['TOKEN'] }}", "SECRET_NOT_ALONE"),
    ],
)
def test_a_template_that_can_never_work_is_refused(text: str, code: str) -> None:
    with pytest.raises(ExpressionInvalid) as caught:
        templates.read(text)
    assert caught.value.code == code


def test_a_secret_stands_alone() -> None:
    assert templates.read(" {{secrets.TOKEN}} ") == SecretReference("TOKEN")
    assert templates.secret_in("{{ secrets.TOKEN }}")
    assert not templates.secret_in("{{ x }}")


def test_a_single_expression_keeps_its_type_others_become_text() -> None:
    single, mixed = templates.read("{{ x }}"), templates.read("{{ a }}/{{ b }}/{{ c }}/{{ d }}")
    assert isinstance(single, Template)
    assert isinstance(mixed, Template)
    assert single.render([[1, 2]]) == [1, 2]
    assert mixed.render([1, "two", None, {"k": True}]) == '1/two//{"k": true}'
    assert [one.source for one in mixed.expressions] == ["a", "b", "c", "d"]


def test_slots_name_every_place_but_verbatim_parameters() -> None:
    configuration = {
        "a": ["plain", "{{ x }}", {"b": "t {{ y }}"}],
        "code": "{{ not ours }}",
        "token": "{{ secrets.T }}",
        "n": 3,
    }
    found = list(templates.slots(configuration, verbatim=frozenset({"code"})))
    assert [slot.path for slot in found] == [("a", 1), ("a", 2, "b"), ("token",)]
    assert found[2] == Slot(("token",), SecretReference("T"))
    values: dict[templates.Path, Any] = {("a", 1): [9], ("a", 2, "b"): "t 7"}
    assert templates.fill(configuration, values) == {
        **configuration,
        "a": ["plain", [9], {"b": "t 7"}],
    }


@pytest.mark.parametrize("text", ["a.b > 1", "{{ a.b > 1 }}", " {{a.b > 1}} "])
def test_a_condition_comes_with_or_without_braces(text: str) -> None:
    assert templates.condition(text).python == "a['b'] > 1"


def test_two_expressions_are_no_condition() -> None:
    with pytest.raises(ExpressionInvalid):
        templates.condition("{{ a }} and {{ b }}")
