"""Version ranges by the rules of npm, and the highest of some versions."""

from __future__ import annotations

import pytest

from apps.marketplace import semver
from apps.marketplace.semver import InvalidRange


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        ("*", ["0.0.1", "9.9.9"], ["1.0.0-beta"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0", "2.0.0-beta"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.2.2"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^2.1", ["2.1.0", "2.9.9"], ["2.0.9", "3.0.0"]),
        ("^1", ["1.0.0", "1.9.9"], ["0.9.9", "2.0.0"]),
        ("~1.4.2", ["1.4.2", "1.4.9"], ["1.5.0"]),
        ("~1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        (">=3 <4", ["3.0.0", "3.9.9"], ["4.0.0", "2.9.9"]),
        (">1.2", ["1.3.0"], ["1.2.0", "1.2.9"]),
        ("<=1.2", ["1.2.9", "0.1.0"], ["1.3.0"]),
        (">1.2.3", ["1.2.4"], ["1.2.3"]),
        ("<=1.2.3", ["1.2.3"], ["1.2.4"]),
        ("1.2.x", ["1.2.0", "1.2.7"], ["1.3.0"]),
        ("=1.2.3", ["1.2.3"], ["1.2.4"]),
        ("1.2.3", ["1.2.3"], ["1.2.4"]),
        ("^2.1 || >=4 <5", ["2.5.0", "4.1.0"], ["3.0.0", "5.0.0"]),
        ("^1.0.0-beta", ["1.0.0-beta", "1.0.0-rc.1", "1.1.0"], ["1.0.0-alpha", "1.1.0-beta"]),
        (">=0.1", ["0.1.0", "1.0.0"], ["0.0.9"]),
    ],
)
def test_ranges(wanted: str, inside: list[str], outside: list[str]) -> None:
    assert [one for one in inside + outside if semver.satisfies(one, wanted)] == inside


@pytest.mark.parametrize("wanted", ["banana", "^", ">= ", "1.2.3.4", "^1.2 banana", "1" * 300])
def test_what_is_no_range_is_refused(wanted: str) -> None:
    with pytest.raises(InvalidRange):
        semver.check_range(wanted)


def test_the_latest_and_the_next() -> None:
    assert semver.latest(["1.2.0", "1.10.0", "2.0.0-beta", "junk"]) == "2.0.0-beta"
    assert semver.latest(["1.2.0", "2.0.0-beta"], stable_only=True) == "1.2.0"
    assert semver.latest([]) is None
    assert semver.suggest_next(["1.2.0", "1.10.3"]) == "1.10.4"
    assert semver.suggest_next(["2.0.0-beta"]) == "2.0.0"
    assert semver.suggest_next([]) == "1.0.0"
