"""What an open chunk is told: its items go on, rest after the current ones, or stop."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psycopg

from apps.executions.engine.fold import RunState
from apps.executions.engine.joins import needless
from apps.executions.engine.slice_ports import ChunkClaim
from apps.executions.engine.state import StepStatus
from apps.executions.store import maps
from apps.executions.store.connections import Shared
from apps.executions.worker.lease import Lease

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""So long after a cancellation an item may still begin, whatever became of the bell."""


class Word(StrEnum):
    """What the items of a chunk do next."""

    GO = "GO"
    REST = "REST"
    STOP = "STOP"
    LOST = "LOST"


@dataclass(kw_only=True)
class Watch:
    """The engine's Control for the slices of a chunk's items. Thread safe."""

    claim: ChunkClaim
    lease: Lease
    line: Shared
    drains: Callable[[], bool]
    read: Callable[[int], RunState]
    """The run as it was at that head, or later."""
    on_stop: Callable[[], None]
    undoes: bool = False
    """Its items are undone, whatever became of the map."""
    is_due: bool = False
    """Somebody has said something before anybody could listen."""

    def __post_init__(self) -> None:
        self._word = Word.GO
        self._looking = threading.Lock()
        self._look_at = time.monotonic() + (0.0 if self.is_due else LOOK_SECONDS)

    def now(self) -> dt.datetime:
        """The database's clock."""
        return self.lease.now()

    def is_lost(self) -> bool:
        """The lease cannot be trusted any more, or the chunk is another's."""
        return self._word is Word.LOST or self.lease.is_lost()

    def is_draining(self) -> bool:
        """The process stops."""
        return self.drains()

    def is_crowded(self) -> bool:
        """An item is never left in the middle; chunks give way between items."""
        return False

    def has_mail(self) -> bool:
        """The map stops."""
        return self.word() is Word.STOP

    def word(self) -> Word:
        """The latest, at most a second old."""
        if time.monotonic() >= self._look_at:
            self.look()
        return self._word

    def look(self) -> None:
        """Ask now; one at a time, and what has stopped stays so."""
        if self._word in (Word.STOP, Word.LOST) or not self._looking.acquire(blocking=False):
            return
        try:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._word = self._judged()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            logger.warning("a chunk could not look whether it goes on: %s", error)
            self.line.drop()
        finally:
            self._looking.release()
        if self._word is Word.STOP:
            self.on_stop()

    def _judged(self) -> Word:
        found = maps.look(self.line.get(), self.claim)
        if not found.is_held:
            return Word.LOST
        if not (found.is_recalled or found.is_ending):
            return Word.GO
        if self.undoes:
            return Word.STOP if found.is_ending else Word.REST
        state = self.read(found.head)
        if found.is_ending:
            # What will be undone must be known: items that have begun come to their end.
            return Word.REST if state.plan.undoes_on_cancel else Word.STOP
        return Word.STOP if is_over(state, self.claim) else Word.REST


def is_over(state: RunState, claim: ChunkClaim) -> bool:
    """Whether nobody will want the map's results; else its run pauses, or did a moment ago."""
    index = state.step(claim.path).index
    record = state.records[index]
    progress = record.mapping
    goes_on = (
        record.status is StepStatus.RUNNING
        and progress is not None
        and progress.attempt == claim.attempt
        and not progress.is_over
        and index not in needless(state)
    )
    return state.is_stopping or state.status.is_terminal or not goes_on
