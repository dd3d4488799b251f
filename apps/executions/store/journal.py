"""The durable history of one leased run, as the slice sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final
from uuid import UUID

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.history import Event
from apps.executions.engine.slice_ports import NOTHING, Batch, Claim, Inbox, LeaseLost, Left
from apps.executions.store import statements
from apps.executions.store.convoy import Convoy
from apps.executions.store.resilient import Patience, append_surely, read_surely
from apps.executions.store.statements import Posted
from apps.executions.store.writer import Writer

LOOK_SECONDS: Final = 1.0


class RunJournal:
    """Strict appends by the process's convoy, pure ones through its writer.

    `tell` hears the run's head after each durable batch, and whether it has ended; `ring` the
    pools that got tasks, `asked` that a wait has something to ask; none may block.
    """

    def __init__(
        self,
        claim: Claim,
        *,
        convoy: Convoy,
        writer: Writer,
        patience: Patience,
        tell: Callable[[int, bool], None],
        ring: Callable[[Collection[str]], None],
        asked: Callable[[], None],
    ) -> None:
        self._claim = claim
        self._connections = convoy.connections
        self._convoy = convoy
        self._writer = writer
        self._patience = patience
        self._changed = threading.Condition()
        self._waiting = 0
        self._is_lost = False
        self._tell: Callable[[int, bool], None] = tell
        self._ring: Callable[[Collection[str]], None] = ring
        self._asked: Callable[[], None] = asked
        self._settled: Callable[[bool], None] | None = None
        self._read: frozenset[UUID] = frozenset()
        """Words that were handed out and may still lie in the inbox."""
        self._sent: tuple[Batch, Callable[[], bool]] | None = None

    def append(self, batch: Batch) -> None:
        """Durable on return, after everything posted before. Raises LeaseLost."""
        self.flush()
        append_surely(self._connections, self._patience, self._claim, batch)
        self._known(batch)
        change = batch.change
        if change is NOTHING:
            return
        if change.halts:
            read_surely(
                self._connections,
                self._patience,
                lambda c: statements.recall(c, self._claim, change.halts),
            )
        if change.tasks or change.chunks:
            self._ring({one.pool for one in change.tasks} | {one.pool for one in change.chunks})
        if change.asks or change.recall or change.recalls:
            self._asked()

    def begin(self, batch: Batch) -> None:
        """On its way on return, durable after `land`. Raises LeaseLost."""
        if not batch.change.is_plain:
            self.append(batch)
            return
        self.flush()
        self._sent = batch, self._convoy.begin(Posted(claim=self._claim, batch=batch))

    def land(self) -> None:
        """Wait for what was begun. Raises LeaseLost when it was refused."""
        if self._sent is None:
            return
        (batch, sent), self._sent = self._sent, None
        append_surely(self._connections, self._patience, self._claim, batch, sent=sent)
        self._known(batch)

    def post(self, batch: Batch) -> None:
        """Durable soon. Raises LeaseLost when an earlier one was refused."""
        with self._changed:
            self._refuse_lost()
            self._waiting += 1
        posted = Posted(claim=self._claim, batch=batch)
        self._writer.post(posted, lambda held: self._written(batch, held=held))

    def flush(self) -> None:
        """Wait for what was posted or begun. Raises LeaseLost when it was refused."""
        self.land()
        if not self._waiting and not self._is_lost:
            return  # Only the owner, who is here, posts; the writer says what is lost first.
        with self._changed:
            while self._waiting and not self._patience.is_lost():
                self._changed.wait(LOOK_SECONDS)
            if self._waiting:
                raise LeaseLost
            self._refuse_lost()

    def inbox(self) -> Inbox:
        """What is unread; a word whose end is not durable yet is not said again."""
        found = read_surely(
            self._connections,
            self._patience,
            lambda c: statements.inbox(c, self._claim, read=self._read),
        )
        self._read = frozenset(found.ids)
        return found

    def history(self, *, after: int = 0) -> list[Event]:
        """All that is durable behind a sequence."""
        return read_surely(
            self._connections,
            self._patience,
            lambda c: statements.history(c, self._claim, after=after),
        )

    def _refuse_lost(self) -> None:
        if self._is_lost:
            raise LeaseLost

    def when_settled(self, callback: Callable[[bool], None]) -> None:
        """Call once everything posted has been written (True) or refused (False)."""
        with self._changed:
            if self._waiting:
                self._settled = callback
                return
            held = not self._is_lost
        callback(held)

    def _known(self, batch: Batch) -> None:
        crashpoint("append.known")
        self._tell_of(batch)

    def _tell_of(self, batch: Batch) -> None:
        self._tell(batch.head + len(batch.rows), batch.change.left is Left.FINISHED)

    def _written(self, batch: Batch, *, held: bool) -> None:
        with self._changed:
            self._is_lost = self._is_lost or not held
            self._waiting -= 1
            self._changed.notify_all()
            settled = self._settled if not self._waiting else None
            lost = self._is_lost
        if held:
            self._tell_of(batch)
            if batch.change.asks:
                self._asked()
        if settled is not None:
            settled(not lost)
