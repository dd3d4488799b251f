"""Semantic versions: what is one, which is higher, which comes next."""

from __future__ import annotations

import itertools

import pytest

from apps.versions.semver import FIRST, NotSemVer, SemVer
from apps.workflows.graph.difference import Bump

# The precedence example of semver.org, §11, with a number before and after.
ASCENDING = [
    "0.9.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.2.0",
    "1.10.0",
    "2.0.0",
]


@pytest.mark.parametrize(("lower", "higher"), list(itertools.combinations(ASCENDING, 2)))
def test_precedence_is_the_specifications(lower: str, higher: str) -> None:
    assert SemVer.parse(lower) < SemVer.parse(higher)
    assert SemVer.parse(higher) > SemVer.parse(lower)


@pytest.mark.parametrize("text", [*ASCENDING, "1.0.0+build.5", "1.0.0-x.7.z.92+sha.0a", "1.0.0--"])
def test_versions_read_back_as_written(text: str) -> None:
    assert str(SemVer.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+", "1.0.0 ",
     "1.0.0-a..b", "1.٣.0", "9999999999.0.0", "1.0.0-" + "a" * 70],
)  # fmt: skip
def test_what_is_no_semantic_version(text: str) -> None:
    with pytest.raises(NotSemVer):
        SemVer.parse(text)


def test_build_metadata_does_not_count() -> None:
    assert SemVer.parse("1.0.0+a") == SemVer.parse("1.0.0+b")


@pytest.mark.parametrize(
    ("bump", "following"), [(Bump.MAJOR, "2.0.0"), (Bump.MINOR, "1.1.0"), (Bump.PATCH, "1.0.1")]
)
def test_the_next_version(bump: Bump, following: str) -> None:
    assert str(FIRST.bumped(bump)) == following


def test_a_pre_release_becomes_its_release() -> None:
    assert str(SemVer.parse("2.0.0-rc.1").bumped(Bump.MAJOR)) == "2.0.0"
