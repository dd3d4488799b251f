"""What an earlier release has written, this one folds into the same, from any beginning on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.histories import beginnings, digest, restricted, row_of, written

WRITTEN = Path(__file__).parent / "written"
RELEASES = sorted(path.stem for path in WRITTEN.glob("*.jsonl"))


def histories(release: str) -> Iterator[dict[str, Any]]:
    with (WRITTEN / f"{release}.jsonl").open() as file:
        yield from map(json.loads, file)


def summary(said: dict[str, Any]) -> list[str]:
    """For whoever must find out why."""
    return [said["status"], *(f"{path} {one['status']}" for path, one in said["steps"].items())]


@pytest.mark.parametrize("release", RELEASES)
def test_what_was_written_amounts_to_the_same(release: str) -> None:
    for one in histories(release):
        rows = [row_of(*row) for row in one["rows"]]
        for head, said in beginnings(one["name"], rows):
            if head == len(rows):
                assert summary(said) == one["ends"], one["name"]
            known = restricted(said, one["run"], one["step"])
            assert digest(known) == one["states"][str(head)], f"{one['name']} after {head} rows"


@pytest.mark.parametrize("release", RELEASES)
def test_the_same_runs_come_to_the_same_end(release: str) -> None:
    """Whatever this release writes otherwise; a worker of either may end the other's runs."""
    then = {one["name"]: one["ends"] for one in histories(release)}
    now = {name: dict(beginnings(name, it.rows))[len(it.rows)] for name, it in written()}
    assert {name: summary(said) for name, said in now.items()} == then


def test_a_history_that_says_something_else_is_noticed() -> None:
    one = next(histories(RELEASES[0]))
    rows = [row_of(*row) for row in one["rows"]]
    head, said = list(beginnings(one["name"], [*rows[:-2], rows[-1]]))[-1]
    assert head == len(rows) - 1
    assert digest(restricted(said, one["run"], one["step"])) != one["states"][str(head)]
