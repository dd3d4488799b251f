"""A document that is refused: the pure language's issues as a refusal that people may see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apps.kit.errors import ErrorCode, Refusal
from apps.workflows.graph.issues import DocumentInvalid, Issue


class GraphInvalid(Refusal):
    """The document cannot be read, or must not run; every issue says how to mend it."""

    code = ErrorCode.INVALID

    def __init__(self, issues: tuple[Issue, ...], *, path: tuple[str, ...] = ("document",)) -> None:
        first = issues[0]
        more = f" And {len(issues) - 1} more." if len(issues) > 1 else ""
        super().__init__(f"{first.code}: {first.message}{more}", path=(*path, *first.path))
        self.issues = issues


@contextmanager
def refusing(*, path: tuple[str, ...] = ("document",)) -> Iterator[None]:
    """Turn the pure language's DocumentInvalid into GraphInvalid."""
    try:
        yield
    except DocumentInvalid as invalid:
        raise GraphInvalid(invalid.issues, path=path) from invalid
