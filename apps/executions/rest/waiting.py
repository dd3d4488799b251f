"""Waiting for the end of a run, without a thread, a connection or a transaction of its own.

The hint of the end (`live.py`) wakes who waits; a look now and then finds an end
whose hint was lost.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import chain, repeat
from typing import Any, Final
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

from apps.executions.live import group_of
from apps.executions.rest.outlook import Outlook

logger = logging.getLogger(__name__)

LOOKS: Final = (0.5, 1.0, 2.0, 5.0)
"""Seconds between looks; the last one from then on."""
_LAYER_SECONDS: Final = 1.0


async def until_over(
    run_id: uuid.UUID, look: Callable[[], Awaitable[Outlook]], *, seconds: float
) -> Outlook:
    """What a run looks like at its end, or when the time is up."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    async with _ears().listening(run_id) as rung:
        pauses = chain(LOOKS, repeat(LOOKS[-1]))
        while True:
            rung.clear()
            seen = await look()
            left = until - loop.time()
            if seen.is_over or left <= 0:
                return seen
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, next(pauses))):
                    await rung.wait()


class _Ears:
    """One loop's: a single channel, which joins the group of each run that somebody waits for.

    The channel outlives who waits: a layer without any sleeps before it hears a new one.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._layer: Any = get_channel_layer()
        self._channel: str | None = None
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(self, run_id: uuid.UUID) -> AsyncIterator[asyncio.Event]:
        """The event is set when the run has ended."""
        rung = asyncio.Event()
        waiting = self._waiting.setdefault(str(run_id), set())
        waiting.add(rung)
        try:
            await self._joins("group_add", run_id)
            yield rung
        finally:
            waiting.discard(rung)
            if not waiting and self._waiting.pop(str(run_id), None) is not None:
                await self._joins("group_discard", run_id)

    async def _joins(self, verb: str, run_id: uuid.UUID) -> None:
        """Without the layer the looks remain."""
        try:
            async with asyncio.timeout(_LAYER_SECONDS):
                if self._channel is None:
                    self._channel = str(await self._layer.new_channel())
                    self._task = asyncio.create_task(self._receive(self._channel))
                await getattr(self._layer, verb)(group_of(run_id), self._channel)
        except Exception as error:
            logger.warning("who waits for a run hears no hints: %s", error)

    async def _receive(self, channel: str) -> None:
        while True:
            message = await self._layer.receive(channel)
            if message.get("over"):
                for rung in self._waiting.get(message["run"], ()):
                    rung.set()


_EARS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Ears]] = WeakKeyDictionary()


def _ears() -> _Ears:
    loop = asyncio.get_running_loop()
    if loop not in _EARS:
        _EARS[loop] = _Ears()
    return _EARS[loop]
