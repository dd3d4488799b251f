"""JSON Patch (RFC 6902): how a client changes a draft without sending the whole of it."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from apps.workflows.graph.issues import DocumentInvalid, Issue

MAX_OPERATIONS = 1_000
_OPERATIONS = ("add", "copy", "move", "remove", "replace", "test")


def apply(document: Mapping[str, Any], patch: object) -> Any:
    """The patched copy; all operations or none. Raises DocumentInvalid naming the operation."""
    if not isinstance(patch, list) or len(patch) > MAX_OPERATIONS:
        message = f"A patch is a list of at most {MAX_OPERATIONS} JSON Patch operations."
        raise DocumentInvalid([Issue(code="PATCH_INVALID", message=message, path=("patch",))])
    patched: Any = deepcopy(dict(document))
    for number, operation in enumerate(patch):
        try:
            patched = _one(patched, operation)
        except _NotApplicable as problem:
            issue = Issue(
                code="PATCH_INVALID",
                message=f"Operation {number} cannot be applied: {problem}. Nothing was changed.",
                path=("patch", str(number)),
            )
            raise DocumentInvalid([issue]) from None
    return patched


class _NotApplicable(Exception):
    """Why one operation does not fit the document."""


def _one(document: Any, operation: object) -> Any:
    if not isinstance(operation, dict) or operation.get("op") not in _OPERATIONS:
        raise _NotApplicable(f"`op` is one of {', '.join(_OPERATIONS)}")
    path = _pointer(operation, "path")
    match operation["op"]:
        case "add":
            return _add(document, path, _value(operation))
        case "remove":
            return _remove(document, path)[0]
        case "replace":
            _find(document, path)
            return _put(document, path, _value(operation))
        case "test":
            if not _equal(_find(document, path), _value(operation)):
                raise _NotApplicable("the value tested for is another one")
            return document
        case "copy":
            source = _find(document, _pointer(operation, "from"))
            return _add(document, path, deepcopy(source))
    source_path = _pointer(operation, "from")
    if path[: len(source_path)] == source_path and path != source_path:
        raise _NotApplicable("nothing can be moved into itself")
    remaining, moved = _remove(document, source_path)
    return _add(remaining, path, moved)


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise _NotApplicable("`value` is missing")
    return deepcopy(operation["value"])


def _pointer(operation: Mapping[str, Any], field: str) -> tuple[str, ...]:
    text = operation.get(field)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _NotApplicable(f"`{field}` is a JSON Pointer such as /nodes/0/name")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def _find(document: Any, path: tuple[str, ...]) -> Any:
    at = document
    for part in path:
        at = at[_key(at, part)]
    return at


def _key(container: Any, part: str, *, end: int = 0) -> Any:
    """The key or index `part` names; `end` is 1 where one past the last may be named."""
    if isinstance(container, dict):
        if part in container or end:
            return part
    elif isinstance(container, list):
        if end and part == "-":
            return len(container)
        plain = part.isdecimal() and part.isascii() and (part == "0" or part[0] != "0")
        if plain and int(part) < len(container) + end:
            return int(part)
    raise _NotApplicable(f"there is no `{part}` at that place")


def _add(document: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    parent = _find(document, path[:-1])
    key = _key(parent, path[-1], end=1)
    if isinstance(parent, list):
        parent.insert(key, value)
    else:
        parent[key] = value
    return document


def _put(document: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    parent = _find(document, path[:-1])
    parent[_key(parent, path[-1])] = value
    return document


def _remove(document: Any, path: tuple[str, ...]) -> tuple[Any, Any]:
    if not path:
        raise _NotApplicable("the whole document cannot be removed")
    parent = _find(document, path[:-1])
    return document, parent.pop(_key(parent, path[-1]))


def _equal(one: Any, other: Any) -> bool:
    """JSON equality: 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
