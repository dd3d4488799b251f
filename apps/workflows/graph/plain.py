"""What counts as plain, exact, storable JSON, and how much of it a document may be."""

import json
import math
from typing import Any, TypeAlias

from apps.workflows.graph.issues import DocumentInvalid, Issue
from apps.workflows.graph.shape import MAX_BYTES

MAX_NESTING = 64
MAX_EXACT = 2**53 - 1
MAX_REPORTED = 20

_Trail: TypeAlias = "tuple[_Trail, str] | None"


def read(raw: object) -> Any:
    """A copy of JSON text or values; raises DocumentInvalid for anything else, or for too much.

    Numbers are what RFC 8785 and PostgreSQL take them for: 100.0 and 1e2 are 100.
    """
    if isinstance(raw, str | bytes):
        _refuse_size(len(raw))
        raw = _decode(raw)
    issues = _problems(raw)
    if issues:
        raise DocumentInvalid(issues)
    return json.loads(encode(raw), parse_float=_number)


def _number(text: str) -> int | float:
    number = float(text)
    whole = number.is_integer() and abs(number) <= MAX_EXACT
    return int(number) if whole else number


def encode(value: object) -> bytes:
    """Compact JSON; raises DocumentInvalid over the size limit. The value has passed `read`."""
    encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    _refuse_size(len(encoded))
    return encoded


def _refuse_size(size: int) -> None:
    if size > MAX_BYTES:
        message = (
            f"The document is {size:,} bytes; at most {MAX_BYTES:,} are accepted. "
            "Move large values into artifacts or split the workflow into sub-workflows."
        )
        raise DocumentInvalid([Issue(code="DOCUMENT_TOO_LARGE", message=message)])


def _decode(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"The document is not JSON: {error}. Send one JSON object."
        raise DocumentInvalid([Issue(code="NOT_JSON", message=message)]) from error


def _problems(raw: object) -> list[Issue]:
    """Walks without recursion; a value nested too deeply is reported and not entered."""
    issues: list[Issue] = []
    stack: list[tuple[object, int, _Trail]] = [(raw, 0, None)]
    while stack and len(issues) < MAX_REPORTED:
        value, depth, trail = stack.pop()
        problem = _problem(value) if depth <= MAX_NESTING else _TOO_DEEP
        if problem is not None:
            code, message = problem
            issues.append(Issue(code=code, message=message, path=_path(trail)))
        elif isinstance(value, dict):
            stack.extend((inner, depth + 1, (trail, key)) for key, inner in value.items())
        elif isinstance(value, list):
            stack.extend(
                (inner, depth + 1, (trail, str(index))) for index, inner in enumerate(value)
            )
    return issues


_TOO_DEEP = (
    "TOO_DEEP",
    f"Values nest more than {MAX_NESTING} deep here; flatten them or move them to an artifact.",
)


def _problem(value: object) -> tuple[str, str] | None:
    match value:
        case None | bool() | list():
            return None
        case str():
            return _text_problem(value)
        case int() | float():
            return _number_problem(value)
        case dict():
            return next(filter(None, map(_key_problem, value)), None)
    return "NOT_JSON", f"A {type(value).__name__} is no JSON value; send JSON."


def _number_problem(value: float) -> tuple[str, str] | None:
    if not math.isfinite(value):
        return "NUMBER_NOT_EXACT", "NaN and Infinity are no JSON numbers; leave the value out."
    if isinstance(value, int) and abs(value) > MAX_EXACT:
        return "NUMBER_NOT_EXACT", "This number is too large to be exact in JSON; write it as text."
    return None


def _key_problem(key: object) -> tuple[str, str] | None:
    if not isinstance(key, str):
        return "NOT_JSON", f"{key!r} is no JSON field name; field names are text."
    return _text_problem(key)


def _text_problem(text: str) -> tuple[str, str] | None:
    if text.isascii() and "\0" not in text:
        return None
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return (
            "TEXT_NOT_ALLOWED",
            "This text holds a NUL or half a surrogate pair, which cannot be stored; remove it.",
        )
    return None


def _path(trail: _Trail) -> tuple[str, ...]:
    names: list[str] = []
    while trail is not None:
        trail, name = trail
        names.append(name)
    return tuple(reversed(names))
