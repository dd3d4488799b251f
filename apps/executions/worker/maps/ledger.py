"""Results of a chunk on their way to the database: fifty at a time, or each second's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import Final, Protocol

from apps.executions.engine.ports import TransactionalWrite
from apps.executions.engine.slice_ports import LeaseLost
from apps.executions.store.maps import ItemRecord

AT_ONCE: Final = 50
SECONDS: Final = 1.0


class Write(Protocol):
    """Puts records where they last; False when the chunk is another's."""

    def __call__(
        self, records: Sequence[ItemRecord], *, writes: str | None = None, soon: bool = False
    ) -> bool:
        """`writes`: JSON of declared writes; `soon`: it need not be durable on return."""


class Ledger:
    """Thread safe; every method that writes raises LeaseLost when the chunk is another's."""

    def __init__(self, *, write: Write, at_once: bool) -> None:
        """`at_once`: a worker died with this chunk, the next death shall name the item."""
        self._write = write
        self._most = 1 if at_once else AT_ONCE
        self._lock = threading.Lock()
        self._records: list[ItemRecord] = []
        self._writes: list[TransactionalWrite] = []
        self._since = time.monotonic()
        self._soon = True

    def add(
        self,
        record: ItemRecord,
        *,
        writes: Sequence[TransactionalWrite] = (),
        strict: bool = False,
    ) -> None:
        """One more result; `strict` when the item had an effect that may not be repeated."""
        with self._lock:
            self._records.append(record)
            self._writes += writes
            self._soon = self._soon and not strict and not writes
            is_due = time.monotonic() - self._since >= SECONDS
            if strict or is_due or len(self._records) >= self._most:
                self._flush()

    def commit(self, record: ItemRecord, writes: Sequence[TransactionalWrite] = ()) -> bool:
        """An intent, durable on return, with what steps before it have declared."""
        return self._write((record,), writes=text_of(writes))

    def flush(self) -> None:
        """All there is."""
        with self._lock:
            self._flush()

    def tick(self) -> None:
        """All there is, when it has waited long enough."""
        with self._lock:
            if time.monotonic() - self._since >= SECONDS:
                self._flush()

    def _flush(self) -> None:
        records, self._records = self._records, []
        writes, self._writes = self._writes, []
        soon, self._soon = self._soon, True
        self._since = time.monotonic()
        if not records:
            return
        if not self._write(records, writes=text_of(writes), soon=soon):
            raise LeaseLost


def text_of(writes: Sequence[TransactionalWrite]) -> str | None:
    """Declared writes as the database takes them."""
    if not writes:
        return None
    return json.dumps([{"key": one.key, "value": one.value} for one in writes])
