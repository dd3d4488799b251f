"""What became of an item without an effect, by the rows of its map: given up, or lost."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from apps.executions.engine.undoing import COMPENSATION_FAILED
from tests.chaos.asking import ask
from tests.chaos.deaths import Deaths

LOST: Final = "WORKER_LOST"
_ITEM: Final = (
    "SELECT state, error ->> 'code', child::text FROM map_item"
    " WHERE run_id = %s AND path = %s AND idx = %s"
)
_CALLED: Final = "SELECT id::text FROM run WHERE parent_id = ANY (%s::uuid[])"
_UNDONE: Final = (
    "SELECT error -> 'details' -> 'notUndone' FROM run WHERE id = %s AND error ->> 'code' = %s"
)
_INSIDE: Final = re.compile(r"(.+?)\[(\d+)\]/(.+)")


class Whereabouts:
    """Reads what the maps of a storm's runs say."""

    def __init__(self, url: str) -> None:
        self._url = url

    def judged(
        self, run_id: str, missing: Collection[str], deaths: Deaths
    ) -> tuple[list[str], int]:
        """What is lost and why, and how many steps are given up: their item cost three workers."""
        lost, named = [], self._not_undone(run_id)
        for path in sorted(missing):
            runs, found = self._item(run_id, path)
            is_given_up = found == ("failed", LOST) or any(one in named for one in _names(path))
            if is_given_up and any(map(deaths.are_enough, runs)):
                continue
            died = [deaths.told(one) for one in runs]
            lost.append(f"{path}: {found}, died with it {died}, not undone {named}")
        return lost, len(missing) - len(lost)

    def _item(self, run_id: str, path: str) -> tuple[list[str], tuple[Any, ...]]:
        """The runs around a step from the outermost on, and what the innermost map says of it."""
        runs, found = [run_id], ("in no map",)
        while inside := _INSIDE.fullmatch(path):
            around, at, path = inside.groups()
            rows = ask(self._url, _ITEM, [runs[-1], around, int(at)])
            if not rows:
                return runs, ("no row",)
            *said, child = rows[0]
            found = tuple(said)
            if child is None:
                break
            runs.append(child)
        # What an item has called may have cost the workers.
        return [*runs, *(one for (one,) in ask(self._url, _CALLED, [runs[1:]]))], found

    def _not_undone(self, run_id: str) -> list[str]:
        """The steps that the run itself says are not undone, if that is how it failed."""
        rows = ask(self._url, _UNDONE, [run_id, COMPENSATION_FAILED])
        return rows[0][0] if rows else []


def _names(path: str) -> tuple[str, ...]:
    """How a run may name a step that undoes: what it undoes, its item, the map."""
    item = path.partition("/")[0]
    return path.rpartition("/")[0], item, item.partition("[")[0]
