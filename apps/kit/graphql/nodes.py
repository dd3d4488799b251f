"""Global ids: base64 of `TypeName:uuid`, and who answers `node(id)` for each type.

A malformed id, one of another type, a random one and one of another tenant all get the same answer.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import strawberry

from apps.kit.errors import NotFound
from apps.kit.graphql.batch import share

_MAX_ID = 600
_loaders: dict[str, Callable[[Collection[str]], Mapping[str, Any]]] = {}


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


def node_loader(type_name: str, load: Callable[[Collection[uuid.UUID]], Iterable[Any]]) -> None:
    """Register who loads this type's nodes: of many keys at once the rows that are visible."""

    def by_text(keys: Collection[str]) -> Mapping[str, Any]:
        wanted = {key: found for key in keys if (found := _uuid(key)) is not None}
        if not wanted:
            return {}
        rows = {row.pk: row for row in load(list(set(wanted.values())))}
        share(rows.values())
        return {key: rows[pk] for key, pk in wanted.items() if pk in rows}

    text_node_loader(type_name, by_text)


def text_node_loader(type_name: str, load: Callable[[Collection[str]], Mapping[str, Any]]) -> None:
    """The same for a type whose key is no UUID; `load` takes whatever a client may send."""
    if type_name in _loaders:
        message = f"{type_name} already has a loader"
        raise ValueError(message)
    _loaders[type_name] = load


def load_node(value: str) -> Any:
    """The object behind a global id, or None when it is not visible in the scope in force."""
    return load_nodes([value]).get(value)


def load_nodes(values: Iterable[str]) -> dict[str, Any]:
    """The visible objects among global ids, each type loaded once; the others are not in it."""
    asked: dict[str, dict[str, list[str]]] = {}
    for value in dict.fromkeys(values):
        named = split_id(value)
        if named is not None and named[0] in _loaders:
            asked.setdefault(named[0], {}).setdefault(named[1], []).append(value)
    return {
        value: found
        for type_name, by_key in asked.items()
        for key, found in _loaders[type_name](list(by_key)).items()
        for value in by_key[key]
    }


def loadable_types() -> frozenset[str]:
    """Every type that `node` can answer; a test compares it with the schema."""
    return frozenset(_loaders)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
