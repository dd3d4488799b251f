"""What may be written into the vault: names, sizes, and an environment that exists here."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

from apps.kit.errors import ErrorCode, NotFound, Refusal
from apps.tenancy.models import Environment
from apps.vault.models import MAX_NAME

MAX_SECRET_BYTES: Final = 32 * 1024
MAX_VALUE_BYTES: Final = 8 * 1024
MAX_FIELDS: Final = 32

# What stands behind the dot in `{{ secrets.NAME }}` and `{{ variables.NAME }}`.
_NAME: Final = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_NAME - 1}}}")
_LABEL: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9 ._-]{{0,{MAX_NAME - 1}}}")


def checked_name(name: str, *, path: tuple[str, ...] = ("name",)) -> str:
    """The name, if expressions can refer to it."""
    if not _NAME.fullmatch(name):
        raise Refusal(
            f"A name has 1 to {MAX_NAME} letters, digits and underscores, and begins with a "
            "letter or an underscore.",
            path=path,
        )
    return name


def checked_label(label: str, *, path: tuple[str, ...] = ("name",)) -> str:
    """The label, if people and lists can show it."""
    if not _LABEL.fullmatch(label):
        raise Refusal(
            f"A name has 1 to {MAX_NAME} letters, digits, spaces, dots, hyphens and underscores, "
            "and begins with a letter or a digit.",
            path=path,
        )
    return label


def checked_secret(value: str) -> str:
    """The value, if it can be sealed. The message never repeats it."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise Refusal("A secret is text in Unicode.", path=("value",)) from error
    if not value:
        raise Refusal(
            "A secret has a value; delete the secret instead.",
            code=ErrorCode.REQUIRED,
            path=("value",),
        )
    if size > MAX_SECRET_BYTES:
        raise Refusal(
            f"A secret has at most {MAX_SECRET_BYTES} bytes; this one has {size}.", path=("value",)
        )
    return value


def checked_json(value: Any, *, path: tuple[str, ...]) -> Any:
    """The value, if it is JSON of a size that may travel with every run."""
    try:
        size = len(json.dumps(value, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise Refusal("The value is not JSON; NaN and infinity are not.", path=path) from error
    if not _storable(value):
        raise Refusal(
            "The value holds a NUL or half a surrogate pair, which are no text. Encode binary "
            "data as base64.",
            path=path,
        )
    if size > MAX_VALUE_BYTES:
        raise Refusal(
            f"A value has at most {MAX_VALUE_BYTES} bytes as JSON; this one has {size}. "
            "Store it as an artifact and keep its reference here.",
            path=path,
        )
    return value


def _storable(value: Any) -> bool:
    """Whether the database takes every text in it; the depth was bounded by writing it as JSON."""
    match value:
        case str():
            return "\0" not in value and not any("\ud800" <= sign <= "\udfff" for sign in value)
        case dict():
            return all(_storable(key) and _storable(one) for key, one in value.items())
        case list() | tuple():
            return all(map(_storable, value))
        case _:
            return True


def checked_fields(fields: Mapping[str, Any], *, path: tuple[str, ...]) -> dict[str, Any]:
    """A small object with field names as keys."""
    if len(fields) > MAX_FIELDS:
        raise Refusal(f"A connection has at most {MAX_FIELDS} fields.", path=path)
    for name in fields:
        checked_name(name, path=(*path, str(name)[:MAX_NAME]))
    checked_json(dict(fields), path=path)
    return dict(fields)


def known_environment(environment_id: uuid.UUID) -> Environment:
    """The environment, if it is the tenant's."""
    found: Environment | None = Environment.objects.filter(pk=environment_id).first()
    if found is None:
        raise NotFound.of("environment", path=("environment",))
    return found


def require_room(*, held: int, limit: int, noun: str) -> None:
    """Raise unless one more fits: these lists are read whole."""
    if held >= limit:
        raise Refusal(
            f"An environment holds at most {limit} {noun}. Delete one that is not used any more.",
            code=ErrorCode.QUOTA_EXCEEDED,
            path=("name",),
        )
