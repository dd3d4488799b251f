"""What a run may be given: declared parameters, their JSON Schemas, values held against them."""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, SchemaError

from apps.workflows.graph.issues import Issue
from apps.workflows.graph.shape import Parameter

# A tenant's regular expression can take for ever and a reference can run in a circle.
_NOT_ACCEPTED = frozenset({"pattern", "patternProperties", "$ref", "$dynamicRef"})


def schema_problem(schema: Mapping[str, Any]) -> str | None:
    """Why a parameter's schema cannot be used, None when it can."""
    used = next((name for name in _keywords(schema) if name in _NOT_ACCEPTED), None)
    if used is not None:
        return f"`{used}` is not accepted in a parameter's schema; use enum, bounds or lengths"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"this is no JSON Schema: {error.message}"
    return None


def value_problem(schema: Mapping[str, Any], value: Any) -> str | None:
    """Why a value does not fit a schema that `schema_problem` accepts."""
    error = next(Draft202012Validator(schema).iter_errors(value), None)
    if error is None:
        return None
    where = ".".join(str(part) for part in error.absolute_path)
    return f"{f'{where}: ' if where else ''}{error.message[:300]}"


def resolve(
    declared: tuple[Parameter, ...], given: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[Issue, ...]]:
    """The values a run starts with, defaults filled in, and what is wrong with the given ones."""
    names = {parameter.name for parameter in declared}
    issues = [
        Issue(
            code="PARAMETER_UNKNOWN",
            message=f"The workflow has no parameter `{name}`; it takes {_listed(names)}.",
            path=("parameters", str(name)),
        )
        for name in given
        if name not in names
    ]
    values = {}
    for parameter in declared:
        value = given.get(parameter.name)
        values[parameter.name] = parameter.default if value is None else value
        issues.extend(_value_issues(parameter, values[parameter.name]))
    return values, tuple(issues)


def _value_issues(parameter: Parameter, value: Any) -> Iterator[Issue]:
    path = ("parameters", parameter.name)
    if value is None:
        if parameter.required:
            message = f"Give the parameter `{parameter.name}`: it is required and has no default."
            yield Issue(code="PARAMETER_REQUIRED", message=message, path=path)
        return
    if problem := value_problem(parameter.schema, value):
        message = f"The parameter `{parameter.name}` does not fit its schema: {problem}."
        yield Issue(code="PARAMETER_INVALID", message=message, path=path)


def _listed(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"


def _keywords(schema: Any) -> Iterator[str]:
    """Every field name in a schema; a property may be called `pattern` and is refused with it."""
    stack = [schema]
    while stack:
        value = stack.pop()
        if isinstance(value, Mapping):
            yield from value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
