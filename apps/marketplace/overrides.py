"""What an installer may change in a release: parameters, secrets, resources, the name."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from apps.security_scan.scanner import braces

_SECRET_REFERENCE = re.compile(r"\{\{\s*secrets\.[A-Za-z_]\w*\s*\}\}")
_SECRET_NAME = re.compile(r"(\bsecrets\s{0,9}\.\s{0,9})([A-Za-z_]\w*)")
_RESOURCES = frozenset(
    {"cpu", "memory", "gpu", "pool", "priority", "timeoutSeconds", "maxConcurrency"}
)


class InvalidOverride(ValueError):
    """An override does not fit; `path` leads to it inside the configuration."""

    def __init__(self, message: str, *, path: tuple[str, ...]) -> None:
        super().__init__(message)
        self.path = path


def apply_overrides(
    document: Mapping[str, Any],
    *,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A copy of the document with the overrides in it. Raises InvalidOverride.

    A parameter's override becomes its default; `secrets` maps the release's secret names to those
    of the installer's environment.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(document))
    if name:
        changed["name"] = name
    configuration = changed.setdefault("configuration", {})
    if parameters:
        _set_parameters(configuration, parameters)
    if resources:
        _set_resources(configuration, resources)
    renamed = {old: new for old, new in (secrets or {}).items() if old != new}
    if renamed:
        changed["nodes"] = _rename_secrets(changed.get("nodes", []), renamed)
    return changed


def _set_parameters(configuration: dict[str, Any], given: Mapping[str, Any]) -> None:
    known = {one["name"]: one for one in configuration.get("parameters") or []}
    for name, value in given.items():
        path = ("parameters", str(name))
        parameter = known.get(name)
        if parameter is None:
            offered = ", ".join(sorted(known)) or "none"
            message = f"The workflow has no parameter {str(name)[:60]!r}. It has: {offered}."
            raise InvalidOverride(message, path=path)
        if parameter.get("secret"):
            if not (isinstance(value, str) and _SECRET_REFERENCE.fullmatch(value.strip())):
                message = (
                    f"{name} is secret: set a vault secret and pass "
                    "'{{ secrets.NAME }}' instead of its value."
                )
                raise InvalidOverride(message, path=path)
        else:
            _check(value, parameter.get("schema") or {}, path)
        parameter["default"] = value


def _check(value: Any, schema: Mapping[str, Any], path: tuple[str, ...]) -> None:
    try:
        problem = next(iter(Draft202012Validator(dict(schema)).iter_errors(value)), None)
    except SchemaError as error:
        message = f"The workflow's own schema of {path[-1]} is broken: ask its publisher."
        raise InvalidOverride(message, path=path) from error
    if problem is not None:
        message = f"{path[-1]}: {problem.message[:200]}"
        raise InvalidOverride(message, path=path)


def _set_resources(configuration: dict[str, Any], given: Mapping[str, Any]) -> None:
    unknown = sorted(set(given) - _RESOURCES)
    if unknown:
        message = f"{unknown[0]!r} is no resource. Use: {', '.join(sorted(_RESOURCES))}."
        raise InvalidOverride(message, path=("resources", unknown[0]))
    configuration["resources"] = {**(configuration.get("resources") or {}), **given}


def _rename_secrets(value: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _renamed(value, renamed)
    if isinstance(value, dict):
        return {key: _rename_secrets(child, renamed) for key, child in value.items()}
    if isinstance(value, list):
        return [_rename_secrets(child, renamed) for child in value]
    return value


def _renamed(text: str, renamed: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        return match.group(1) + renamed.get(match.group(2), match.group(2))

    return braces.replaced(text, lambda inside: _SECRET_NAME.sub(replace, inside))
