"""The threads of a chunk, cut between two looks at what is left."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from apps.executions.worker.maps.spending import Spending
from apps.executions.worker.maps.watch import Word
from apps.executions.worker.maps.work import Ended, Work


class Interleaved:
    """A lock; another thread has its turn between two holds of it."""

    def __init__(self, others: list[Callable[[], None]]) -> None:
        self._lock = threading.Lock()
        self._others = others

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self._others:
            self._others.pop(0)()


def test_the_last_item_may_end_between_two_looks() -> None:
    now = dt.datetime.now(dt.UTC)
    watch: Any = SimpleNamespace(
        word=lambda: Word.GO, now=lambda: now, is_draining=lambda: False, look=lambda: None
    )
    runner: Any = SimpleNamespace(is_called=lambda item: False)
    ledger: Any = SimpleNamespace(tick=lambda: None)
    claim: Any = SimpleNamespace(crashes=0, slots=2)
    for turns in range(3):
        work = Work(
            claim=claim,
            watch=watch,
            ledger=ledger,
            runner=runner,
            fails_fast=False,
            gives_way=lambda: False,
            spending=Spending({}),
        )
        item: Any = SimpleNamespace(wake_at=now + dt.timedelta(seconds=9))
        work._waiting.append(item)
        others: list[Callable[[], None]] = [lambda: None] * turns
        lock: Any = Interleaved([*others, work._waiting.clear])
        work._lock = lock
        assert work.run() in (Ended.DONE, Ended.ASLEEP)
