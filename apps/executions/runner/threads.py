"""Threads for handlers of others, kept between steps: a new one costs ten times a hand-over."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

IDLE_SECONDS: Final = 60.0


class Job:
    """One call on its way through a thread."""

    __slots__ = ("_around", "_ended", "_function", "error", "result")

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._around = contextvars.copy_context()
        # A bare lock: the caller takes it a second time, and gets it when the call has ended.
        self._ended = threading.Lock()
        self._ended.acquire()
        self.result: Any = None
        self.error: BaseException | None = None

    def wait(self, *, seconds: float) -> bool:
        """Whether the call has ended; not to be asked again after a yes."""
        return self._ended.acquire(timeout=seconds)

    def run(self) -> None:
        """On the thread; whatever the function raises is the job's error."""
        try:
            self.result = self._around.run(self._function)
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        """Wake the caller."""
        self._ended.release()


class StepThreads:
    """Hands each job a thread that is free; one whose job never ends never comes back."""

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self.idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._free: deque[_StepThread] = deque()
        self._closed = False

    def start(self, function: Callable[[], Any]) -> Job:
        """The job, running."""
        job = Job(function)
        with self._lock:
            thread = self._free.pop() if self._free else None
        (thread or _StepThread(self)).take(job)
        return job

    def close(self) -> None:
        """End the idle threads; those that work end with their job."""
        with self._lock:
            self._closed = True
            idle, self._free = self._free, deque()
        for thread in idle:
            thread.take(None)

    def offer(self, thread: _StepThread) -> bool:
        """A thread is free again; False when none is wanted any more."""
        with self._lock:
            if not self._closed:
                self._free.append(thread)
            return not self._closed

    def retire(self, thread: _StepThread) -> bool:
        """A thread was idle for long; False when it has just been handed a job."""
        with self._lock:
            if thread not in self._free:
                return False
            self._free.remove(thread)
            return True


class _StepThread:
    """Takes one job after the other."""

    def __init__(self, threads: StepThreads) -> None:
        self._threads = threads
        self._wake = threading.Lock()
        self._wake.acquire()
        self._job: Job | None = None
        threading.Thread(target=self._run, name="step", daemon=True).start()

    def take(self, job: Job | None) -> None:
        """Run it; None ends the thread. Called only while the thread is in nobody's hands."""
        self._job = job
        self._wake.release()

    def _run(self) -> None:
        wanted = True
        while wanted and self._woken():
            job, self._job = self._job, None
            if job is None:
                return
            job.run()
            # Free before the caller hears of the end: its next step finds this thread again.
            wanted = self._threads.offer(self)
            job.end()

    def _woken(self) -> bool:
        while not self._wake.acquire(timeout=self._threads.idle_seconds):
            if self._threads.retire(self):
                return False
        return True
