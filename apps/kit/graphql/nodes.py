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

_MAX_ID = 200
_loaders: dict[str, Callable[[uuid.UUID], Any]] = {}


def global_id(type_name: str, pk: uuid.UUID) -> strawberry.ID:
    """The API's id of a row."""
    return strawberry.ID(base64.b64encode(f"{type_name}:{pk}".encode()).decode())


def split_id(value: str) -> tuple[str, uuid.UUID] | None:
    """Type name and primary key of a global id; None for anything else."""
    if len(value) > _MAX_ID:
        return None
    try:
        text = base64.b64decode(value, validate=True).decode()
        name, _, pk = text.partition(":")
        return name, uuid.UUID(pk)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def key_of(
    value: str, type_name: str, *, noun: str | None = None, path: tuple[str, ...] = ("id",)
) -> uuid.UUID:
    """The primary key behind an id argument: a global id of that type, or a bare UUID.

    Raises NotFound in the words that a foreign id gets.
    """
    found = split_id(value)
    if found is not None and found[0] == type_name:
        return found[1]
    try:
        return uuid.UUID(value)
    except ValueError:
        raise NotFound.of(noun or type_name.lower(), path=path) from None


def node_loader(type_name: str, load: Callable[[uuid.UUID], Any]) -> None:
    """Register who loads `node(id)` of this type: returns the row as the type, or None."""
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
