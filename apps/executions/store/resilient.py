"""Appends that survive a lost reply: they ask where the run stands before they try again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import psycopg
from psycopg import errors

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.slice_ports import Batch, Claim, LeaseLost
from apps.executions.store import appends, statements
from apps.executions.store.connections import Connection, Connections

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0
CONFLICTS: Final = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)
NO_SERVER: Final = frozenset({"57P01", "57P02", "57P03", "53300"})
"""It stops, has crashed, starts, or has no room for one more connection."""
HELD_UP: Final = frozenset({"55P03", "40P01", "40001", "25P03"})
"""A lock was not given, or was taken away: it was another's, and is free a moment later."""


T = TypeVar("T")


class Patience(Protocol):
    """How long to go on trying: while the process may trust its lease."""

    def is_lost(self) -> bool:
        """The lease cannot be trusted any more."""


class Supply(Protocol):
    """Where statements get their connection."""

    def get(self) -> Connection:
        """One that works, as far as is known."""

    def drop(self) -> None:
        """It does not work."""


def is_outage(error: BaseException) -> bool:
    """Whether the database is gone or held up: no fault of what was being done."""
    # What Django raises has it as its cause.
    found = error.__cause__ if isinstance(error.__cause__, psycopg.Error) else error
    if isinstance(found, psycopg.Error) and found.sqlstate in HELD_UP:
        return True
    if not isinstance(found, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return found.sqlstate is None or found.sqlstate[:2] == "08" or found.sqlstate in NO_SERVER


def read_surely(connections: Supply, patience: Patience, read: Callable[[Connection], T]) -> T:
    """What `read` returns, as often as it takes. Raises LeaseLost when the lease is over."""
    pause = FIRST_PAUSE
    while not patience.is_lost():
        try:
            return read(connections.get())
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            logger.warning("a read met %s", type(error).__name__)
            connections.drop()
        pause = _rest(pause)
    raise LeaseLost


def line(get: Callable[[], Connection]) -> Connection:
    """What an append that begins goes over."""
    crashpoint("append.begun")
    return get()


def append_surely(
    connections: Connections,
    patience: Patience,
    claim: Claim,
    batch: Batch,
    *,
    is_sure: bool = True,
    sent: Callable[[], bool] | None = None,
) -> None:
    """Durable on return. Raises LeaseLost when another owner holds the run or the lease is over.

    Not `is_sure`: a reply was lost, the append may have happened. `sent`: a first try, on its way.
    """
    pause = FIRST_PAUSE
    while not patience.is_lost():
        try:
            if not is_sure and _has_landed(connections, claim, batch):
                return
            is_sure = True
            if sent is None:
                held = appends.append(line(connections.get), claim, batch)
            else:
                answer, sent = sent, None
                held = answer()
            if held:
                crashpoint("append.committed")
                return
            raise LeaseLost
        except CONFLICTS:
            connections.drop()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            logger.warning("an append met %s", type(error).__name__)
            connections.drop()
            is_sure = False
        pause = _rest(pause)
    raise LeaseLost


def _rest(pause: float) -> float:
    """Sleep, and the next pause; jitter keeps workers from coming back in step after an outage."""
    time.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311
    return min(pause * 2, LONGEST_PAUSE)


def _has_landed(connections: Connections, claim: Claim, batch: Batch) -> bool:
    head, fence = statements.head(connections.get(), claim)
    if fence != claim.token or head is None:
        raise LeaseLost
    # A batch without rows moves no head; repeating it changes nothing.
    return bool(batch.rows) and head == batch.head + len(batch.rows)
