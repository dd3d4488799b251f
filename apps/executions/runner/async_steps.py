"""The event loop of a process's async steps, and what each of them has run of it."""

from __future__ import annotations

import asyncio
import threading
import time
import types
from collections.abc import Coroutine, Generator
from concurrent.futures import Future
from contextvars import Context, ContextVar
from dataclasses import dataclass
from typing import Any, Final

_END_SECONDS: Final = 5.0


@dataclass(slots=True)
class Meter:
    """CPU seconds that one step's coroutine, and every task it starts, has run."""

    seconds: float = 0.0


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


class AsyncSteps:
    """One event loop in a thread of its own, for all async steps of the process."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_task_factory(_task)
        self._thread = threading.Thread(target=self._run, name="async-steps", daemon=True)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, Any], meter: Meter) -> Future[Any]:
        """Run it on the loop; tasks that it starts inherit the meter with its context."""
        before = _METER.set(meter)
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        finally:
            _METER.reset(before)

    def end(self) -> None:
        """Cancel what still runs and leave."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=_END_SECONDS)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left, timeout=_END_SECONDS))
        finally:
            self.loop.close()


def _task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, *, context: Context | None = None
) -> asyncio.Task[Any]:
    meter = _METER.get() if context is None else context.get(_METER)
    measured = coroutine if meter is None else _measured(coroutine, meter)
    return asyncio.Task(measured, loop=loop, context=context)


async def _measured(coroutine: Coroutine[Any, Any, Any], meter: Meter) -> Any:
    return await _steps(coroutine, meter)


@types.coroutine
def _steps(coroutine: Coroutine[Any, Any, Any], meter: Meter) -> Generator[Any, Any, Any]:
    """Drive it as a task would; only between two awaits does it run, and is the clock on."""
    error: BaseException | None = None
    value: Any = None
    while True:
        began = time.thread_time()
        try:
            awaited = coroutine.send(value) if error is None else coroutine.throw(error)
        except StopIteration as done:
            return done.value
        finally:
            meter.seconds += time.thread_time() - began
        try:
            value, error = (yield awaited), None
        except BaseException as thrown:
            value, error = None, thrown
