"""Global ids: base64 of `TypeName:uuid`, and who answers `node(id)` for each type.

A malformed id, one of another type, a random one and one of another tenant all get the same answer.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable
from typing import Any

import strawberry

from apps.kit.errors import NotFound

_MAX_ID = 600
_loaders: dict[str, Callable[[str], Any]] = {}


def global_id(type_name: str, key: object) -> strawberry.ID:
    """The API's id of a row: `key` is its UUID, or a text where the type says so."""
    return strawberry.ID(base64.b64encode(f"{type_name}:{key}".encode()).decode())


def split_id(value: str) -> tuple[str, str] | None:
    """Type name and key of a global id; None for anything else."""
    if len(value) > _MAX_ID:
        return None
    try:
        name, colon, key = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return (name, key) if colon else None


def key_of(
    value: str, type_name: str, *, noun: str | None = None, path: tuple[str, ...] = ("id",)
) -> uuid.UUID:
    """The primary key behind an id argument: a global id of that type, or a bare UUID.

    Raises NotFound in the words that a foreign id gets.
    """
    name, key = split_id(value) or (type_name, value)
    found = _uuid(key) if name == type_name else None
    if found is None:
        raise NotFound.of(noun or type_name.lower(), path=path)
    return found


def node_loader(type_name: str, load: Callable[[uuid.UUID], Any]) -> None:
    """Register who loads `node(id)` of this type: returns the row as the type, or None."""

    def by_uuid(key: str) -> Any:
        found = _uuid(key)
        return None if found is None else load(found)

    text_node_loader(type_name, by_uuid)


def text_node_loader(type_name: str, load: Callable[[str], Any]) -> None:
    """The same for a type whose key is no UUID; `load` takes whatever a client may send."""
    if type_name in _loaders:
        message = f"{type_name} already has a loader"
        raise ValueError(message)
    _loaders[type_name] = load


def load_node(value: str) -> Any:
    """The object behind a global id, or None when it is not visible in the scope in force."""
    found = split_id(value)
    if found is None or found[0] not in _loaders:
        return None
    return _loaders[found[0]](found[1])


def loadable_types() -> frozenset[str]:
    """Every type that `node` can answer; a test compares it with the schema."""
    return frozenset(_loaders)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
