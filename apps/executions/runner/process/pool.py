"""Runs a step in a process: finds the zygote with its libraries, forks, follows to the end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from apps.executions.engine.ports import StopReason
from apps.executions.runner.directory import StepDirectories
from apps.executions.runner.process.channel import ChannelClosedError
from apps.executions.runner.process.endings import Ended, Ending, Job, Serve, Stopped
from apps.executions.runner.process.warm import Running, Zygote

_IDLE_SECONDS = 900.0
_POLL_SECONDS = 0.1
_LAST_WORDS = {
    ending.value: ending for ending in (Ending.DONE, Ending.FAILED, Ending.CRASHED, Ending.MEMORY)
}


class _Kind(NamedTuple):
    """Confined steps have zygotes of their own, in which no node's code is ever loaded."""

    libraries: tuple[str, ...]
    confined: bool


class ProcessPool:
    """Thread safe; zygotes start on first use and stay."""

    def __init__(self, directories: StepDirectories) -> None:
        self._directories = directories
        self._lock = threading.Lock()
        self._zygotes: dict[_Kind, Zygote] = {}

    def run(self, job: Job, *, serve: Serve, stopped: Stopped) -> Ended:
        """Execute in a fresh process; blocks until it has ended, one way or another."""
        zygote = self._zygote(_Kind(job.libraries, job.confined))
        with zygote.in_use():
            early = zygote.wait_ready(deadline=job.deadline, stopped=stopped)
            if early is not None:
                return early
            running = zygote.start(job)
            at_once = True
            try:
                ending, message, reason = _follow(running, job=job, serve=serve, stopped=stopped)
                at_once = ending in (Ending.TIMEOUT, Ending.STOPPED)
            finally:
                # Also when a host call broke: no child outlives its step.
                exited = running.finish(at_once=at_once)
        if ending is Ending.DONE and not job.confined:
            zygote.keep(job.module)
        elif ending is Ending.DIED:
            ending = _cause(exited)
        return Ended(
            ending=ending,
            message=message,
            cpu_seconds=float(exited.get("cpu", 0.0)),
            peak_memory_bytes=int(exited.get("peak", 0)),
            exit_code=exited.get("code"),
            beyond=exited.get("reason", ""),
            stopped=reason,
        )

    def close(self) -> None:
        """End every zygote and with it every child."""
        with self._lock:
            zygotes, self._zygotes = list(self._zygotes.values()), {}
        for zygote in zygotes:
            zygote.close()

    def _zygote(self, kind: _Kind) -> Zygote:
        with self._lock:
            # Loaded libraries are hundreds of megabytes: who has not been needed for long, leaves.
            leaving = [
                self._zygotes.pop(key)
                for key, one in list(self._zygotes.items())
                if not one.alive or (key != kind and one.idle_seconds > _IDLE_SECONDS)
            ]
            zygote = self._zygotes.get(kind)
            if zygote is None:
                zygote = Zygote(kind.libraries, directories=self._directories)
                self._zygotes[kind] = zygote
            zygote.touch()
        for one in leaving:
            one.close()
        return zygote


def _cause(exited: Mapping[str, Any]) -> Ending:
    """Why a process went away: the zygote says why it ended one, the kernel by its signal."""
    if exited.get("code") == -signal.SIGXCPU:
        return Ending.CPU
    match exited.get("reason"):
        case "memory":
            return Ending.MEMORY
        case "cpu":
            return Ending.CPU
        case None | "":
            return Ending.DIED
        case _:
            return Ending.LIMIT


class _OverError(Exception):
    """The step has to end now: its time is over, or somebody stops it."""

    def __init__(self, ending: Ending, reason: StopReason | None = None) -> None:
        super().__init__(ending)
        self.ending = ending
        self.reason = reason


def _follow(
    running: Running, *, job: Job, serve: Serve, stopped: Stopped
) -> tuple[Ending, Mapping[str, Any], StopReason | None]:
    def require_time() -> float:
        """Seconds that are left. Raises _OverError."""
        reason = stopped()
        if reason is not None:
            raise _OverError(Ending.STOPPED, reason)
        left = job.deadline - time.monotonic()
        if left <= 0:
            raise _OverError(Ending.TIMEOUT)
        return left

    try:
        running.channel.send(job.call, meanwhile=require_time)
        while True:
            left = require_time()
            message = running.channel.receive(seconds=min(left, _POLL_SECONDS))
            if message is None:
                continue
            ending = _LAST_WORDS.get(str(message.get("op")))
            if ending is not None:
                return ending, message, None
            answer = serve(message)
            if answer is not None:
                running.channel.send(answer, meanwhile=require_time)
    except _OverError as over:
        return over.ending, {}, over.reason
    except ChannelClosedError:
        return Ending.DIED, {}, None
