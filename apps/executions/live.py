"""Hints for those who watch a run: "run X is at event N now", a few a second, never in the way.

A hint is sent to the Channels group `run.<run id>` as {"type": "run.hint", "run": …, "head": …,
"over": …} and carries no content: readers load events after the last seq they have. A lost hint
delays a reader until the next one or its own look. The hint of a run's end waits for no other.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any, Final
from uuid import UUID

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 0.2
SEND_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 30.0
"""After a failure of the channel layer hints are dropped for so long, at most."""


def group_of(run_id: UUID) -> str:
    """The Channels group of a run's watchers."""
    return f"run.{run_id}"


def hint(run_id: UUID, head: int, *, is_over: bool = False) -> dict[str, Any]:
    """The message; `head` is 0 when only logs are new."""
    return {"type": "run.hint", "run": str(run_id), "head": head, "over": is_over}


class Announcer:
    """One thread with a loop of its own; `announce` costs a dictionary entry."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: dict[UUID, int] = {}
        self._over: dict[UUID, int] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine-live", daemon=True)
        self._thread.start()

    def announce(self, run_id: UUID, head: int, *, is_over: bool = False) -> None:
        """The run's history has `head` events now; called after the commit."""
        with self._changed:
            wakes = is_over or not self._pending
            if is_over:
                self._pending.pop(run_id, None)
                self._over[run_id] = head
            else:
                self._pending[run_id] = max(head, self._pending.get(run_id, 0))
            if wakes:
                self._changed.notify()

    def close(self) -> None:
        """Send what is pending and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout=3)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        pause, due = INTERVAL_SECONDS, 0.0
        while True:
            found, is_round = self._next(due, at_once=pause == INTERVAL_SECONDS)
            if not found:
                return
            sent = await self._send(found)
            pause = INTERVAL_SECONDS if sent else min(pause * 2, QUIET_SECONDS)
            if is_round or not sent:
                # This bounds every run to five hints a second, and that of its end.
                due = time.monotonic() + pause

    def _next(self, due: float, *, at_once: bool) -> tuple[list[tuple[UUID, dict[str, Any]]], bool]:
        """What is to be sent, when it is time, and whether that is all; nothing when we close."""
        with self._changed:
            while True:
                is_due = self._closing or time.monotonic() >= due
                if is_due or (at_once and self._over):
                    pending, over = self._pending if is_due else {}, self._over
                    if pending or over or self._closing:
                        break
                waits = self._pending or self._over
                self._changed.wait(max(0.0, due - time.monotonic()) if waits else None)
            self._over = {}
            if is_due:
                self._pending = {}
        ended = [(run_id, hint(run_id, head, is_over=True)) for run_id, head in over.items()]
        return ended + [(run_id, hint(run_id, head)) for run_id, head in pending.items()], is_due

    async def _send(self, found: list[tuple[UUID, dict[str, Any]]]) -> bool:
        layer = get_channel_layer()
        if layer is None:
            return True
        try:
            async with asyncio.timeout(SEND_SECONDS):
                for run_id, message in found:
                    await layer.group_send(group_of(run_id), message)
        except Exception as error:
            logger.warning("watchers of %d runs were not told: %s", len(found), error)
            return False
        return True
