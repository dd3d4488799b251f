"""Version ranges as npm and cargo write them, and which of some versions is the highest."""

from __future__ import annotations

import re
from collections.abc import Iterable

from apps.versions.semver import FIRST, NotSemVer, SemVer
from apps.workflows.graph.difference import Bump

MAX_RANGE_LENGTH = 200
_PART = r"(?:0|[1-9]\d{0,8}|[xX*])"
_COMPARATOR = re.compile(
    rf"(\^|~|>=|<=|>|<|=)?\s*({_PART})(?:\.({_PART}))?(?:\.({_PART}))?(?:-([0-9A-Za-z.-]+))?"
)


class InvalidRange(ValueError):
    """The text is no version range."""


def latest(versions: Iterable[str], *, stable_only: bool = False) -> str | None:
    """The highest of these versions; those that do not parse are passed over."""
    best: tuple[SemVer, str] | None = None
    for text in versions:
        try:
            version = SemVer.parse(text)
        except NotSemVer:
            continue
        if stable_only and version.prerelease:
            continue
        if best is None or best[0] < version:
            best = (version, text)
    return best[1] if best else None


def suggest_next(versions: Iterable[str]) -> str:
    """A version that is free: the patch after the highest, 1.0.0 when there is none."""
    highest = latest(versions)
    return str(SemVer.parse(highest).bumped(Bump.PATCH) if highest else FIRST)


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version lies in a range such as `^2.1 || >=3 <4`. Raises InvalidRange."""
    candidate = SemVer.parse(version)
    if len(wanted) > MAX_RANGE_LENGTH:
        message = f"A version range has at most {MAX_RANGE_LENGTH} characters."
        raise InvalidRange(message)
    return any(_matches_all(candidate, part.strip()) for part in wanted.split("||"))


def check_range(wanted: str) -> None:
    """Raise InvalidRange unless the text is a range."""
    satisfies("0.0.0", wanted)


def _matches_all(candidate: SemVer, part: str) -> bool:
    if part in {"", "*", "x", "X"}:
        return not candidate.prerelease
    position = 0
    opted_in = not candidate.prerelease
    inside = True
    while position < len(part):
        match = _COMPARATOR.match(part, position)
        if match is None:
            message = "Write a version range such as ^2.1, ~1.4.2 or >=3 <4."
            raise InvalidRange(message)
        low, high, named = _bounds(match)
        # A pre-release only matches where the range itself names one of the same version.
        opted_in = opted_in or (bool(named.prerelease) and _triple(named) == _triple(candidate))
        inside = inside and (low is None or not candidate < low)
        inside = inside and (high is None or candidate < high)
        position = match.end()
        while position < len(part) and part[position] in " ,":
            position += 1
    return inside and opted_in


def _bounds(match: re.Match[str]) -> tuple[SemVer | None, SemVer | None, SemVer]:
    """Lower bound (inclusive), upper bound (exclusive) and the version a comparator names."""
    operator, *parts, prerelease = match.groups()
    numbers = [int(p) for p in parts if p is not None and p.isdigit()]
    words = tuple(prerelease.split(".")) if prerelease else ()
    named = _version(numbers, words)
    missing = 3 - len(numbers)
    if missing == 3:
        return None, None, named
    above = _bump(numbers)
    match operator:
        case "^":
            first = next((i for i, n in enumerate(numbers) if n), len(numbers) - 1)
            return named, _bump(numbers[: first + 1]), named
        case "~":
            return named, _bump(numbers[:2]), named
        case ">=":
            return named, None, named
        case ">":
            return (above if missing else _after(named)), None, named
        case "<":
            return None, named, named
        case "<=":
            return None, (above if missing else _after(named)), named
        case _:
            return named, (above if missing else _after(named)), named


def _bump(numbers: list[int]) -> SemVer:
    return _version([*numbers[:-1], numbers[-1] + 1], ("0",))


def _version(numbers: list[int], prerelease: tuple[str, ...]) -> SemVer:
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return SemVer(major, minor, patch, prerelease)


def _after(version: SemVer) -> SemVer:
    """The smallest version above one."""
    if version.prerelease:
        return SemVer(*_triple(version), (*version.prerelease, "0"))
    return SemVer(version.major, version.minor, version.patch + 1, ("0",))


def _triple(version: SemVer) -> tuple[int, int, int]:
    return version.major, version.minor, version.patch
