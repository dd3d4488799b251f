"""What was expected and what was seen, and the table that says so at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

WIDTH = 98

T = TypeVar("T")


class ExpectationMissed(AssertionError):
    """The journey cannot go on: something later steps need does not hold."""


@dataclass(frozen=True)
class Line:
    """One expectation."""

    chapter: str
    what: str
    held: bool
    saw: str


@dataclass
class Ledger:
    """Collects expectations in order; prints a line for each chapter as it goes."""

    quiet: bool = False
    lines: list[Line] = field(default_factory=list)
    _chapter: str = ""

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """A part of the journey; an error inside it is a missed expectation, not a crash."""
        since = time.monotonic()
        self._chapter = title
        before = len(self.lines)
        yield
        held = sum(line.held for line in self.lines[before:])
        total = len(self.lines) - before
        self._say(f"{title}: {held} of {total} as expected ({time.monotonic() - since:.1f} s)")

    def expect(self, what: str, held: object, saw: object = "") -> bool:
        """Note an expectation and go on."""
        self.lines.append(Line(self._chapter, what, bool(held), _short(saw)))
        if not held:
            self._say(f"  NOT AS EXPECTED: {what}: saw {_short(saw, limit=600)}")
        return bool(held)

    def equal(self, what: str, seen: object, wanted: object) -> bool:
        """Expect one value."""
        held = seen == wanted
        return self.expect(what, held, seen if held else f"{seen!r}, wanted {wanted!r}")

    def need(self, what: str, value: T | None, answer: object = "") -> T:
        """The value, without which the journey ends here; a failure shows the whole answer."""
        if not value:
            self.expect(what, False, answer)
            raise ExpectationMissed(what)
        self.expect(what, True)
        return value

    @property
    def all_held(self) -> bool:
        """Whether everything expected was seen."""
        return bool(self.lines) and all(line.held for line in self.lines)

    def table(self) -> str:
        """Every expectation, by chapter, with what was seen."""
        rows, chapter = ["", "─" * WIDTH], ""
        for line in self.lines:
            if line.chapter != chapter:
                chapter = line.chapter
                rows.append(chapter)
            mark = "ok " if line.held else "NOT"
            rows.append(f"  {mark}  {line.what:<50.50}  {line.saw:.40}".rstrip())
        held = sum(line.held for line in self.lines)
        rows += ["─" * WIDTH, f"{held} of {len(self.lines)} expectations held."]
        return "\n".join(rows)

    def _say(self, text: str) -> None:
        if not self.quiet:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()


def _short(value: object, *, limit: int = 200) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
