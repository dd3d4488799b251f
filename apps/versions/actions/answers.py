"""What people filled into an approval's form, held against its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator

from apps.versions.errors import FormInvalid
from apps.versions.models import Approval

VALUES_LIMIT: Final = 16_384


def schema_of(approval: Approval) -> Mapping[str, Any]:
    """The form that is asked for; empty where there is none."""
    schema: Mapping[str, Any] = approval.form.get("schema") or {}
    return schema


def checked(approval: Approval, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, which fit. Raises FormInvalid with one refusal for each field at fault."""
    problems: dict[str, str] = {}
    schema = schema_of(approval)
    for name in values if "properties" in schema else ():
        if name not in schema["properties"]:
            problems[name] = "The form has no such field."
    for error in Draft202012Validator(schema).iter_errors(dict(values)):
        for name in _fields(error):
            problems.setdefault(name, error.message[:300])
    if len(json.dumps(values)) > VALUES_LIMIT:
        problems.setdefault("", f"All answers together have at most {VALUES_LIMIT} characters.")
    if problems:
        raise FormInvalid(problems)
    return dict(values)


def _fields(error: Any) -> list[str]:
    """The field a mistake belongs to; of what is missing, each."""
    if error.absolute_path:
        return [str(error.absolute_path[0])]
    if error.validator == "required":
        return [name for name in error.validator_value if name not in error.instance]
    return [""]
