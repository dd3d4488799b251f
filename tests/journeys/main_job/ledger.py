"""What was expected and what was seen, and the table that says so at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

WIDTH = 116

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
class Chapter:
    """One part of the journey and what is worth telling of it."""

    title: str
    facts: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Ledger:
    """Collects expectations in order; prints a line for each chapter as it goes."""

    quiet: bool = False
    lines: list[Line] = field(default_factory=list)
    chapters: list[Chapter] = field(default_factory=list)
    _chapter: str = ""

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """A part of the journey; an error inside it is a missed expectation, not a crash."""
        since = time.monotonic()
        self._chapter = title
        chapter = Chapter(title)
        self.chapters.append(chapter)
        self._say(f"{title} …")
        try:
            yield
        finally:
            chapter.seconds = time.monotonic() - since

    def fact(self, text: str) -> None:
        """Something the last table should say of this chapter."""
        self.chapters[-1].facts.append(text)

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

    def every_line(self) -> str:
        """Every expectation with what was seen, by chapter."""
        rows, chapter = [], ""
        for line in self.lines:
            if line.chapter != chapter:
                chapter = line.chapter
                rows += ["", chapter]
            mark = "ok " if line.held else "NOT"
            rows.append(f"  {mark}  {line.what:<52}  {line.saw}".rstrip()[: WIDTH + 20])
        return "\n".join(rows)

    def table(self) -> str:
        """A row for each chapter, and every expectation that did not hold."""
        rows = ["", "─" * WIDTH]
        for chapter in self.chapters:
            lines = [line for line in self.lines if line.chapter == chapter.title]
            held = sum(line.held for line in lines)
            count = f"{held}/{len(lines)}"
            mark = "ok " if lines and held == len(lines) else "NOT"
            facts = ", ".join(chapter.facts)
            seconds = f"{chapter.seconds:.1f} s"
            rows.append(f"{mark}  {chapter.title:<43} {count:>6} {seconds:>8}  {facts}".rstrip())
            rows += [f"       {line.what.strip()}: {line.saw}" for line in lines if not line.held]
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
