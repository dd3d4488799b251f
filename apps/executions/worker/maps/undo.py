"""A chunk whose items are undone: each goes on with its history, as a run that is being undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from apps.executions.engine.failure import Failure
from apps.executions.engine.mapping import ChunkCompleted
from apps.executions.engine.ports import TransactionalWrite
from apps.executions.engine.rescue import Undoing
from apps.executions.engine.slice_ports import LeaseLost
from apps.executions.engine.state import RunStatus
from apps.executions.engine.undoing import NAMED, unfinished
from apps.executions.store.maps import ItemRecord
from apps.executions.worker.maps.item import KEPT_LIMIT, Item, ItemRunner
from apps.executions.worker.maps.ledger import text_of
from apps.executions.worker.maps.work import Work
from apps.workflows.graph.declaration import Json

ELSEWHERE: Final = "UNDONE_ELSEWHERE"
"""Another run has begun with it; the others can be undone all the same."""
ENDS: Final = frozenset(f"run.{status.lower()}" for status in RunStatus if status.is_terminal)


class Write(Protocol):
    """Puts an item's history where it lasts; False when the chunk is another's."""

    def __call__(self, idx: int, *, history: str | None, is_done: bool, writes: str | None) -> bool:
        """`is_done`: all of it is undone; `writes`: JSON of declared writes."""


class Store:
    """Keeps how far items are undone."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def commit(self, record: ItemRecord, writes: Sequence[TransactionalWrite]) -> bool:
        """A step that undoes is about to touch the world."""
        return self._write(record.idx, history=record.output, is_done=False, writes=text_of(writes))

    def put(self, item: Item, *, is_done: bool) -> None:
        """Durable on return. Raises LeaseLost when the chunk is another's."""
        journal = item.journal
        writes = text_of(journal.writes)
        if not self._write(item.idx, history=journal.text(), is_done=is_done, writes=writes):
            raise LeaseLost


@dataclass(frozen=True, kw_only=True)
class UndoRunner(ItemRunner):
    """Begins where an item has ended, or was cut off."""

    def begin(self, idx: int, value: Json, *, history: Any = None) -> Item:
        """What the item did, and nothing left of it but to undo that."""
        rows = [row for row in history if row[0] not in ENDS]
        item = super().begin(idx, value, history=rows)
        # What is keyed may be undone again; what is not says so itself, by its intent.
        item.journal.has_begun = False
        item.journal.limit = KEPT_LIMIT
        item.state.failing = None
        item.state.rescue.undoing = item.state.rescue.undoing or Undoing()
        return item


@dataclass(kw_only=True)
class UndoWork(Work):
    """The items of the chunk, the last first."""

    store: Store
    missed: list[str] = field(default_factory=list)
    misses: int = 0
    is_cut: bool = False
    left: dict[int, list[str]] = field(default_factory=dict)
    """What earlier attempts of items did, by item."""

    def look_back(self, idx: int, earlier: Sequence[Any], *, last: Any) -> None:
        """Name what earlier attempts of the item did: nothing undoes that."""
        self.left[idx] = self._left_by(idx, earlier, last=last)
        self._miss(self.left[idx], is_cut=False)

    def fail(self, idx: int, failure: Failure) -> None:
        """One item cannot be undone at all."""
        self._miss([f"{self.claim.path}[{idx}]"], is_cut=failure.code != ELSEWHERE)

    def keep(self) -> None:
        """How far items are that are not through, for whoever goes on with the chunk."""
        for item in self.unfinished():
            self.store.put(item, is_done=False)

    def event(self, *, stopped: bool) -> ChunkCompleted:
        """What could not be undone is found again by whoever goes on with a stopped chunk."""
        said = replace(super().event(stopped=stopped), undoes=True)
        if stopped:
            return said
        missed = tuple(self.missed[:NAMED])
        return replace(said, missed=missed, misses=self.misses, is_cut=self.is_cut)

    def _left_by(self, idx: int, earlier: Sequence[Any], *, last: Any) -> list[str]:
        """What earlier attempts of an item did and no later one did again under the same key."""
        found: list[str] = []
        again = _completed(last or ())
        for history in reversed(earlier):
            state = self.runner.begin(idx, None, history=history).state
            steps = [state.steps[entry] for entry in reversed(state.rescue.log)]
            found += (
                state.frame.prefix + step.path
                for step in steps
                if step.needs_intent or step.path not in again
            )
            again |= _completed(history)
        return found

    def _settle(self, item: Item) -> None:
        paths = [item.state.frame.prefix + path for path in unfinished(item.state)]
        self.store.put(item, is_done=not paths and not self.left.get(item.idx))
        if paths:
            undoing = item.state.rescue.undoing
            self._miss(paths, is_cut=undoing is not None and undoing.is_cut)

    def _miss(self, paths: list[str], *, is_cut: bool) -> None:
        with self._lock:
            self.missed += paths
            self.misses += len(paths)
            self.is_cut = self.is_cut or is_cut


def _completed(history: Sequence[Any]) -> set[str]:
    return {path for kind, path, *_ in history if kind == "step.completed"}
