"""Semantic versions 2.0.0: read, compare by precedence, and raise by a bump."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import total_ordering
from typing import assert_never

from apps.workflows.graph.difference import Bump

MAX_LENGTH = 64
_NUMBER = r"(0|[1-9]\d{0,8})"
_IDENTIFIER = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_PATTERN = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
    r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)


class NotSemVer(ValueError):
    """The text is no semantic version."""


@total_ordering
@dataclass(frozen=True)
class SemVer:
    """A version; build metadata is kept and never compared."""

    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()
    build: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> SemVer:
        """Raises NotSemVer."""
        match = _PATTERN.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if match is None:
            raise NotSemVer(text[:MAX_LENGTH])
        major, minor, patch, prerelease, build = match.groups()
        parts = tuple(prerelease.split(".")) if prerelease else ()
        return cls(int(major), int(minor), int(patch), parts, build or "")

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        if self.prerelease:
            text += f"-{'.'.join(self.prerelease)}"
        return f"{text}+{self.build}" if self.build else text

    def __lt__(self, other: SemVer) -> bool:
        return self._precedence() < other._precedence()

    def bumped(self, bump: Bump) -> SemVer:
        """The next version of that weight; a pre-release becomes its release first."""
        if self.prerelease:
            return SemVer(self.major, self.minor, self.patch)
        match bump:
            case Bump.MAJOR:
                return SemVer(self.major + 1, 0, 0)
            case Bump.MINOR:
                return SemVer(self.major, self.minor + 1, 0)
            case Bump.PATCH:
                return SemVer(self.major, self.minor, self.patch + 1)
            case _:
                assert_never(bump)

    def _precedence(self) -> tuple[object, ...]:
        """A release comes after its pre-releases; numbers come before words."""
        parts = tuple(
            (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in self.prerelease
        )
        return (self.major, self.minor, self.patch, not self.prerelease, parts)


FIRST = SemVer(1, 0, 0)
