"""Hints for those who watch a run: "run X is at event N now", a few a second, never in the way.

A hint is sent to the Channels group `run.<run id>` as {"type": "run.hint", "run": …, "head": …}
and carries no content: readers load events after the last seq they have. A lost hint delays a
reader until the next one or its own look.
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


def hint(run_id: UUID, head: int) -> dict[str, Any]:
    """The message; `head` is 0 when only logs are new."""
    return {"type": "run.hint", "run": str(run_id), "head": head}


class Announcer:
    """One thread with a loop of its own; `announce` costs a dictionary entry."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[UUID, int] = {}
        self._rung = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine-live", daemon=True)
        self._thread.start()

    def announce(self, run_id: UUID, head: int) -> None:
        """The run's history has `head` events now; called after the commit."""
        with self._lock:
            self._pending[run_id] = max(head, self._pending.get(run_id, 0))
        self._rung.set()

    def close(self) -> None:
        """Send what is pending and end."""
        self._closing = True
        self._rung.set()
        self._thread.join(timeout=3)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        pause = INTERVAL_SECONDS
        while not self._closing or self._pending:
            self._rung.wait()
            self._rung.clear()
            began = time.monotonic()
            with self._lock:
                pending, self._pending = self._pending, {}
            sent = await self._send(pending)
            # One round each interval bounds every run to five hints a second.
            pause = INTERVAL_SECONDS if sent else min(pause * 2, QUIET_SECONDS)
            if not self._closing:
                await asyncio.sleep(max(0.0, pause - (time.monotonic() - began)))

    async def _send(self, pending: dict[UUID, int]) -> bool:
        layer = get_channel_layer()
        if layer is None:
            return True
        try:
            async with asyncio.timeout(SEND_SECONDS):
                for run_id, head in pending.items():
                    await layer.group_send(group_of(run_id), hint(run_id, head))
        except Exception as error:
            logger.warning("watchers of %d runs were not told: %s", len(pending), error)
            return False
        return True
