"""Forms drawn from declared parameters."""

from __future__ import annotations

from typing import Any

import pytest

from apps.kit.html.schema_form import PREFIX, ParametersForm


def declared(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "schema": {}, "default": None, "required": False, "secret": False} | more


PARAMETERS = [
    declared("rows", schema={"type": "integer", "minimum": 1, "maximum": 10}, required=True),
    declared("share", schema={"type": "number"}, default=0.25),
    declared("label", schema={"type": "string", "maxLength": 5}),
    declared("verbose", schema={"type": "boolean"}, default=False),
    declared("mode", schema={"enum": ["fast", "exact", 3]}),
    declared("columns", schema={"type": "array"}),
    declared("token", schema={"type": "string"}, secret=True),
]


def form(**values: str) -> ParametersForm:
    data = {PREFIX + name: value for name, value in values.items()}
    return ParametersForm(data, parameters=PARAMETERS)


def test_each_value_comes_back_in_its_declared_type() -> None:
    filled = form(
        rows="3", share="0.5", label="abc", verbose="true", mode='"fast"', columns='["a", 1]'
    )
    assert filled.is_valid(), filled.errors
    assert filled.cleaned_parameters() == {
        "rows": 3,
        "share": 0.5,
        "label": "abc",
        "verbose": True,
        "mode": "fast",
        "columns": ["a", 1],
    }


def test_a_constant_that_is_no_text_keeps_its_type() -> None:
    filled = form(rows="3", mode="3", verbose="false")
    assert filled.is_valid(), filled.errors
    assert filled.cleaned_parameters()["mode"] == 3


def test_what_is_left_empty_is_left_to_the_default() -> None:
    filled = form(rows="3", verbose="false")
    assert filled.is_valid(), filled.errors
    assert filled.cleaned_parameters() == {"rows": 3, "verbose": False}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows", ""),
        ("rows", "0"),
        ("rows", "11"),
        ("rows", "many"),
        ("label", "longer"),
        ("mode", '"slow"'),
        ("columns", "[1,"),
    ],
)
def test_a_wrong_value_is_named_at_its_field(name: str, text: str) -> None:
    filled = form(**({"rows": "3", "verbose": "false"} | {name: text}))
    assert not filled.is_valid()
    assert list(filled.errors) == [PREFIX + name]


def test_a_secret_parameter_is_never_asked_for_in_a_form() -> None:
    assert PREFIX + "token" not in form().fields


def test_help_from_a_foreign_document_is_escaped() -> None:
    schema = {"type": "string", "description": "<script>alert(1)</script>"}
    drawn = ParametersForm(parameters=[declared("x", schema=schema)]).as_p()
    assert "<script>" not in drawn


@pytest.mark.parametrize("schema", [None, "string", [], {"type": ["string", "null"]}, {"enum": []}])
def test_an_odd_schema_is_asked_for_as_json(schema: Any) -> None:
    filled = ParametersForm({PREFIX + "x": "null"}, parameters=[declared("x", schema=schema)])
    assert filled.is_valid()


def test_a_json_field_begins_empty_and_takes_an_empty_list() -> None:
    assert "null" not in str(ParametersForm(None, parameters=[declared("columns")]))
    filled = ParametersForm(
        {PREFIX + "columns": "[]"}, parameters=[declared("columns", required=True)]
    )
    assert filled.is_valid(), filled.errors
    assert filled.cleaned_parameters() == {"columns": []}
