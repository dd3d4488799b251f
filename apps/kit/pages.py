"""Keyset pages: stable under inserts, as fast on page 1,000 as on page 1, with signed cursors.

A cursor carries the values of the sort columns at a row, signed and bound to the question that was
asked (`key`): it cannot be read as data, forged, or replayed under another filter or tenant.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import uuid
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import connection, models

from apps.kit.errors import Refusal

DEFAULT_PAGE = 20
MAX_PAGE = 100

# Which question a row of a union answers.
_PART = "_part"

H = TypeVar("H", bound=Hashable)
M = TypeVar("M", bound=models.Model)
T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page: its rows, a cursor for each, and whether there is more on either side."""

    items: tuple[T, ...]
    cursors: tuple[str, ...]
    has_next: bool
    has_previous: bool


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which page is wanted: `first` after a cursor, or `last` before one."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    def size(self) -> int:
        """Rows wanted. Raises a Refusal when the arguments contradict each other."""
        if self.first is not None and self.last is not None:
            raise Refusal("Give `first` or `last`, not both.", path=("last",))
        if (self.after is not None and self.last is not None) or (
            self.before is not None and self.last is None
        ):
            raise Refusal("Use `first` with `after`, or `last` with `before`.", path=("before",))
        name, size = ("last", self.last) if self.last is not None else ("first", self.first)
        if size is None:
            return DEFAULT_PAGE
        if not 1 <= size <= MAX_PAGE:
            raise Refusal(f"A page has 1 to {MAX_PAGE} rows.", path=(name,))
        return size


def paginate(
    queryset: models.QuerySet[M],
    *,
    order: Sequence[str] = ("-id",),
    window: Window | None = None,
    key: Any = "",
) -> Page[M]:
    """One page of `queryset` in `order`; the columns must be not null and together unique.

    Floats are refused as sort columns: their text form does not compare equal to themselves.
    `key` is whatever identifies the question: filters, sort, tenant.
    """
    window = window or Window()
    size = window.size()
    backwards = window.last is not None
    cursor = window.before if backwards else window.after
    binding = _binding(queryset.model._meta.label, order, key)
    wanted = [_flip(column) for column in order] if backwards else list(order)
    rows = queryset.order_by(*wanted)
    if cursor is not None:
        rows = rows.filter(_beyond(wanted, _decode(cursor, binding)))
    found = list(rows[: size + 1])
    return _page(found, order=order, window=window, binding=binding)


def first_pages(
    querysets: Mapping[H, models.QuerySet[M]],
    *,
    order: Sequence[str],
    window: Window,
    keys: Mapping[H, Any],
) -> dict[H, Page[M]]:
    """The first page of each of several questions of one shape, with one statement.

    Each page is what `paginate` would give for its question, and its cursors go on there.
    """
    size = window.size()
    parts = [
        rows.order_by(*order).annotate(**{_PART: models.Value(number)})[: size + 1]
        for number, rows in enumerate(querysets.values())
    ]
    found: list[list[M]] = [[] for _ in parts]
    if parts:
        for row in parts[0].union(*parts[1:], all=True) if parts[1:] else parts[0]:
            found[getattr(row, _PART)].append(row)
    return {
        question: _page(
            _sorted(found[number], order),
            order=order,
            window=window,
            binding=_binding(rows.model._meta.label, order, keys[question]),
        )
        for number, (question, rows) in enumerate(querysets.items())
    }


def counts(querysets: Mapping[H, models.QuerySet[Any]], *, limit: int) -> dict[H, int]:
    """How many rows each of several questions has, counted up to `limit` + 1 in one statement."""
    parts: list[str] = []
    values: list[Any] = []
    for number, rows in enumerate(querysets.values()):
        sql, parameters = rows.order_by().values("pk")[: limit + 1].query.sql_with_params()
        parts.append(f"SELECT {number}, count(*) FROM ({sql}) AS bounded")  # noqa: S608 - Django's
        values += parameters
    found: dict[int, int] = {}
    if parts:
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(parts), values)
            found = dict(cursor.fetchall())
    return {question: found.get(number, 0) for number, question in enumerate(querysets)}


def _page(found: list[M], *, order: Sequence[str], window: Window, binding: bytes) -> Page[M]:
    """Up to one row more than the window wants, in the order they were read."""
    size = window.size()
    backwards = window.last is not None
    cursor = window.before if backwards else window.after
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    return Page(
        items=tuple(found),
        cursors=tuple(_encode([_value(row, column) for column in order], binding) for row in found),
        has_next=cursor is not None if backwards else more,
        has_previous=more if backwards else cursor is not None,
    )


def _sorted(rows: list[M], order: Sequence[str]) -> list[M]:
    """In order again, for a union promises none."""
    for column in reversed(order):
        rows.sort(key=lambda row: _value(row, column), reverse=column.startswith("-"))
    return rows


def _flip(column: str) -> str:
    return column[1:] if column.startswith("-") else f"-{column}"


def _beyond(order: Sequence[str], values: list[Any]) -> models.Q:
    """(a, b, c) beyond the cursor, written out because the directions may differ."""
    if len(values) != len(order):
        raise _invalid()
    condition = models.Q()
    equal = models.Q()
    for column, value in zip(order, values, strict=True):
        name = column.removeprefix("-")
        operator = "lt" if column.startswith("-") else "gt"
        condition |= equal & models.Q(**{f"{name}__{operator}": value})
        equal &= models.Q(**{name: value})
    return condition


def _value(row: models.Model, column: str) -> Any:
    value: Any = row
    for part in column.removeprefix("-").split("__"):
        value = getattr(value, part)
    if isinstance(value, float):
        message = f"{column} is a float: sort by an integer"
        raise TypeError(message)
    return value


def _encode(values: list[Any], binding: bytes) -> str:
    plain = json.dumps([_to_json(v) for v in values], separators=(",", ":")).encode()
    signature = hmac.digest(settings.CURSOR_KEY.encode(), binding + plain, "sha256")[:16]
    return base64.urlsafe_b64encode(signature + plain).decode().rstrip("=")


def _decode(cursor: str, binding: bytes) -> list[Any]:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        signature, plain = raw[:16], raw[16:]
        expected = hmac.digest(settings.CURSOR_KEY.encode(), binding + plain, "sha256")[:16]
        if not hmac.compare_digest(signature, expected):
            raise _invalid()
        return [_from_json(v) for v in json.loads(plain)]
    except (ValueError, TypeError) as error:
        raise _invalid() from error


def _binding(label: str, order: Sequence[str], key: Any) -> bytes:
    text = json.dumps([label, list(order), key], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).digest()


def _invalid() -> Refusal:
    return Refusal(
        "This cursor does not belong to this question: take it from the same query, filter and "
        "sort, or leave it out to begin at the first page.",
        path=("after",),
    )


def _to_json(value: Any) -> Any:
    match value:
        case dt.datetime():
            return {"t": value.isoformat()}
        case dt.date():
            return {"d": value.isoformat()}
        case uuid.UUID():
            return {"u": str(value)}
        case _:
            return value


def _from_json(value: Any) -> Any:
    match value:
        case {"t": str(text)}:
            return dt.datetime.fromisoformat(text)
        case {"d": str(text)}:
            return dt.date.fromisoformat(text)
        case {"u": str(text)}:
            return uuid.UUID(text)
        case _:
            return value
