"""A form drawn from declared parameters: one field for each, its kind from the JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import escape

PREFIX: Final = "parameter-"
TEXT_LIMIT: Final = 10_000
JSON_LIMIT: Final = 100_000
CHOICE_LIMIT: Final = 200


class JSONText(forms.CharField):
    """Any JSON value as text, with the place of a mistake in the message."""

    # An empty list is a value; only empty text is none.
    empty_values = (None, "")

    def to_python(self, value: Any) -> Any:
        """The parsed value; empty text is None."""
        text = super().to_python(value)
        if not text:
            return None
        try:
            return json.loads(text)
        except ValueError as error:
            message = f"This is not JSON: {error}. Strings need double quotes."
            raise ValidationError(message) from error

    def prepare_value(self, value: Any) -> Any:
        """A default is shown as JSON; what a person typed stays as typed."""
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False, indent=2)


class ParametersForm(forms.Form):
    """Fields for the parameters a workflow declares.

    `cleaned_parameters()` holds only what was filled in: an empty field takes the default.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        parameters: Sequence[Mapping[str, Any]],
        values: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(data)
        self.names: list[str] = []
        for parameter in parameters:
            name = str(parameter.get("name") or "")
            if not name or parameter.get("secret"):
                continue
            default = (values or {}).get(name, parameter.get("default"))
            self.fields[PREFIX + name] = _field(name, parameter, default)
            self.names.append(name)

    def cleaned_parameters(self) -> dict[str, Any]:
        """Values by parameter name, without the empty ones."""
        found = {name: self.cleaned_data.get(PREFIX + name) for name in self.names}
        return {name: value for name, value in found.items() if value not in (None, "")}


def _field(name: str, parameter: Mapping[str, Any], default: Any) -> forms.Field:
    schema = parameter.get("schema")
    schema = schema if isinstance(schema, Mapping) else {}
    kind = schema.get("type")
    shared: dict[str, Any] = {
        "label": str(schema.get("title") or name.replace("_", " ").capitalize()),
        "help_text": _plain(schema.get("description")),
        "required": bool(parameter.get("required")) and default is None,
        "initial": default,
    }
    choices = schema.get("enum")
    if isinstance(choices, Sequence) and not isinstance(choices, str) and choices:
        return _choice(choices[:CHOICE_LIMIT], shared)
    if kind == "boolean":
        return _choice([True, False], shared)
    if kind == "integer":
        return forms.IntegerField(**shared, **_bounds(schema))
    if kind == "number":
        return forms.FloatField(**shared, **_bounds(schema))
    if kind == "string":
        return forms.CharField(**shared, max_length=_length(schema))
    widget = forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"})
    if default is None:
        shared.pop("initial")
    return JSONText(**shared, max_length=JSON_LIMIT, widget=widget)


def _choice(choices: Sequence[Any], shared: dict[str, Any]) -> forms.Field:
    """A choice keeps the type of its constants: the option's text is their JSON."""
    listed = [(json.dumps(c), c if isinstance(c, str) else json.dumps(c)) for c in choices]
    default = shared.pop("initial")
    if not shared["required"] and default is None:
        listed.insert(0, ("", "–"))
    initial = None if default is None else json.dumps(default)
    return forms.TypedChoiceField(
        choices=listed, coerce=json.loads, empty_value=None, initial=initial, **shared
    )


def _bounds(schema: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, argument in (("minimum", "min_value"), ("maximum", "max_value")):
        if isinstance(schema.get(key), int | float):
            found[argument] = schema[key]
    return found


def _length(schema: Mapping[str, Any]) -> int:
    limit = schema.get("maxLength")
    return min(limit, TEXT_LIMIT) if isinstance(limit, int) and limit > 0 else TEXT_LIMIT


def _plain(text: Any) -> str:
    """Help texts come from other people's documents and are rendered as HTML by Django: escape."""
    return str(escape(str(text or "")))
