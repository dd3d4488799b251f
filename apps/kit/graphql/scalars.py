"""The scalars of the API: what each accepts, and how it travels."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, NewType
from urllib.parse import urlsplit

import strawberry
from strawberry.types.scalar import ScalarDefinition

BigInt = NewType("BigInt", int)
SemVer = NewType("SemVer", str)
SemVerRange = NewType("SemVerRange", str)
URL = NewType("URL", str)
Markdown = NewType("Markdown", str)
# A document as it came: parsed by `workflows.graph.document.parse`, which names every fault.
WorkflowDocument = NewType("WorkflowDocument", object)

_INT64 = 2**63
_MAX_URL = 2_048
_MAX_RANGE = 200
_MAX_MARKDOWN = 100_000
_MAX_SEMVER = 128
_INTEGER = re.compile(r"-?[0-9]{1,19}\Z")
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-[0-9A-Za-z.-]{{1,64}})?(?:\+[0-9A-Za-z.-]{{1,64}})?\Z"
)


def _parse_big_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("Send a 64-bit integer as a string of digits.")
    if isinstance(value, str) and not _INTEGER.match(value):
        raise ValueError("Send a 64-bit integer as a string of digits.")
    number = int(value)
    if not -_INT64 <= number < _INT64:
        raise ValueError("The number does not fit into 64 bits.")
    return number


def _text(value: Any, *, limit: int, what: str) -> str:
    if not isinstance(value, str):
        message = f"{what} is a string."
        raise ValueError(message)
    if len(value) > limit:
        message = f"{what} has at most {limit} characters."
        raise ValueError(message)
    return value


def _parse_semver(value: Any) -> str:
    text = _text(value, limit=_MAX_SEMVER, what="A version")
    if not _SEMVER.match(text):
        raise ValueError("Write a semantic version such as 2.1.0 or 2.1.0-beta.1.")
    return text


def _parse_range(value: Any) -> str:
    return _text(value, limit=_MAX_RANGE, what="A version range")


def _parse_markdown(value: Any) -> str:
    return _text(value, limit=_MAX_MARKDOWN, what="Markdown")


def _parse_url(value: Any) -> str:
    text = _text(value, limit=_MAX_URL, what="A URL")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("Write an absolute http or https URL.")
    return text


def _parse_instant(value: Any) -> dt.datetime:
    text = _text(value, limit=64, what="An instant")
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("Write an ISO-8601 instant such as 2026-01-31T09:30:00Z.") from None
    if instant.tzinfo is None:
        raise ValueError("Name the offset of the instant, for example a Z at its end.")
    return instant.astimezone(dt.UTC)


def _serialize_instant(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


SCALARS: dict[object, ScalarDefinition] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="64-bit integer sent as a string (byte sizes, minor money units).",
        serialize=str,
        parse_value=_parse_big_int,
    ),
    SemVer: strawberry.scalar(
        name="SemVer",
        description="Semantic version 2.0.0 string, e.g. 2.1.0-beta.1",
        serialize=str,
        parse_value=_parse_semver,
    ),
    SemVerRange: strawberry.scalar(
        name="SemVerRange",
        description="npm/cargo-style range, e.g. ^2.1 || >=3 <4",
        serialize=str,
        parse_value=_parse_range,
    ),
    URL: strawberry.scalar(
        name="URL",
        description="Absolute http or https URL.",
        serialize=str,
        parse_value=_parse_url,
    ),
    Markdown: strawberry.scalar(
        name="Markdown",
        description="CommonMark source; a sibling *Html field carries sanitised HTML.",
        serialize=str,
        parse_value=_parse_markdown,
    ),
    WorkflowDocument: strawberry.scalar(
        name="WorkflowDocument",
        description="A workflow document as JSON. Its JSON Schema: /schemas/workflow/v1.json",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
    dt.datetime: strawberry.scalar(
        name="DateTime",
        description="ISO-8601 UTC instant.",
        serialize=_serialize_instant,
        parse_value=_parse_instant,
    ),
}
