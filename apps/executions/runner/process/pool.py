"""The worker's side of step processes: one zygote per set of libraries, one child per step."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from apps.executions.engine.ports import StopReason
from apps.executions.runner.directory import StepDirectories
from apps.executions.runner.process import confinement
from apps.executions.runner.process.channel import Channel, ChannelClosedError
from apps.executions.runner.process.zygote import PACKET

_ZYGOTE = "apps.executions.runner.process.zygote"
_START_SECONDS = 120.0
_EXIT_SECONDS = 5.0
_LEAVE_SECONDS = 0.5
_POLL_SECONDS = 0.1

Serve = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Answers a host call of the child; None where the child expects no answer."""


class Ending(StrEnum):
    """How a step's process came to its end."""

    DONE = "done"
    FAILED = "failed"
    CRASHED = "crashed"
    MEMORY = "memory"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    DIED = "died"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call of one handler; `deadline` is monotonic, memory in bytes, cpu in seconds."""

    libraries: tuple[str, ...]
    call: Mapping[str, Any]
    memory: int
    cpu: int
    deadline: float


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The outcome, with what was measured from outside the child."""

    ending: Ending
    message: Mapping[str, Any]
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    exit_code: int | None = None
    stopped: StopReason | None = None


class ProcessUnavailableError(Exception):
    """No step process could be started; the worker may try again."""


class ProcessPool:
    """Thread safe; zygotes start on first use and stay."""

    def __init__(self, directories: StepDirectories) -> None:
        self._directories = directories
        self._lock = threading.Lock()
        self._zygotes: dict[tuple[str, ...], _Zygote] = {}

    def run(self, job: Job, *, serve: Serve, stopped: Callable[[], StopReason | None]) -> Ended:
        """Execute in a fresh process; blocks until it has ended, one way or another."""
        running = self._zygote(job.libraries).start(job)
        try:
            running.channel.send(job.call)
            ending, message, reason = _follow(running, job=job, serve=serve, stopped=stopped)
        except ChannelClosedError:
            ending, message, reason = Ending.DIED, {}, None
        exited = running.finish(at_once=ending in (Ending.TIMEOUT, Ending.STOPPED))
        if ending is Ending.DIED and exited.get("reason") == "memory":
            ending = Ending.MEMORY
        return Ended(
            ending=ending,
            message=message,
            cpu_seconds=float(exited.get("cpu", 0.0)),
            peak_memory_bytes=int(exited.get("peak", 0)),
            exit_code=exited.get("code"),
            stopped=reason,
        )

    def close(self) -> None:
        """End every zygote and with it every child."""
        with self._lock:
            zygotes, self._zygotes = list(self._zygotes.values()), {}
        for zygote in zygotes:
            zygote.close()

    def _zygote(self, libraries: tuple[str, ...]) -> _Zygote:
        with self._lock:
            zygote = self._zygotes.get(libraries)
            if zygote is None or not zygote.alive:
                zygote = _Zygote(libraries, directories=self._directories)
                self._zygotes[libraries] = zygote
        zygote.wait_ready()
        return zygote


def _follow(
    running: _Running,
    *,
    job: Job,
    serve: Serve,
    stopped: Callable[[], StopReason | None],
) -> tuple[Ending, Mapping[str, Any], StopReason | None]:
    while True:
        reason = stopped()
        if reason is not None:
            return Ending.STOPPED, {}, reason
        left = job.deadline - time.monotonic()
        if left <= 0:
            return Ending.TIMEOUT, {}, None
        message = running.channel.receive(seconds=min(left, _POLL_SECONDS))
        if message is None:
            continue
        match message.get("op"):
            case "done":
                return Ending.DONE, message, None
            case "failed":
                return Ending.FAILED, message, None
            case "crashed":
                return Ending.CRASHED, message, None
            case "memory":
                return Ending.MEMORY, message, None
        answer = serve(message)
        if answer is not None:
            running.channel.send(answer)


class _Zygote:
    """One process that has its libraries loaded and forks."""

    def __init__(self, libraries: tuple[str, ...], *, directories: StepDirectories) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._exits: dict[int, Future[dict[str, Any]]] = {}
        self._ready: Future[None] = Future()
        with theirs:
            self._process = _launch(theirs.fileno(), libraries, writable=directories.root)
        self._reader = threading.Thread(target=self._read, name="step-processes", daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None and self._reader.is_alive()

    def wait_ready(self) -> None:
        """Blocks while the libraries load."""
        try:
            self._ready.result(timeout=_START_SECONDS)
        except (FutureTimeout, ProcessUnavailableError) as error:
            self.close()
            raise ProcessUnavailableError("The step processes did not start.") from error

    def start(self, job: Job) -> _Running:
        """Fork a child and open the channel to it."""
        ours, theirs = socket.socketpair()
        exit_: Future[dict[str, Any]] = Future()
        with theirs:
            with self._lock:
                identity = next(self._ids)
                self._exits[identity] = exit_
            command = {"op": "run", "id": identity, "memory": job.memory, "cpu": job.cpu}
            try:
                with self._lock:
                    socket.send_fds(
                        self._control, [json.dumps(command).encode()], [theirs.fileno()]
                    )
            except OSError as error:
                ours.close()
                raise ProcessUnavailableError("The step processes are gone.") from error
        return _Running(self, identity, Channel(ours), exit_)

    def kill(self, identity: int) -> None:
        """End a child and what it started."""
        with self._lock, contextlib.suppress(OSError):
            self._control.send(json.dumps({"op": "kill", "id": identity}).encode())

    def close(self) -> None:
        """Hang up: the zygote kills its children and leaves."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(timeout=_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=_EXIT_SECONDS)
        self._reader.join(timeout=_EXIT_SECONDS)
        self._control.close()

    def _read(self) -> None:
        while True:
            try:
                data = self._control.recv(PACKET)
            except OSError:
                data = b""
            if not data:
                break
            self._heard(json.loads(data))
        self._orphaned()

    def _heard(self, message: dict[str, Any]) -> None:
        if message["op"] == "ready":
            self._ready.set_result(None)
            return
        with self._lock:
            exit_ = self._exits.pop(message["id"], None)
        if exit_ is not None:
            exit_.set_result(message)

    def _orphaned(self) -> None:
        with self._lock:
            exits, self._exits = list(self._exits.values()), {}
        for exit_ in exits:
            exit_.set_result({})
        if not self._ready.done():
            self._ready.set_exception(ProcessUnavailableError("The step processes did not start."))


@dataclass(frozen=True)
class _Running:
    """One child from the worker's point of view."""

    zygote: _Zygote
    identity: int
    channel: Channel
    exit: Future[dict[str, Any]]

    def finish(self, *, at_once: bool) -> dict[str, Any]:
        """See to it that the child is gone, and give what was measured."""
        self.channel.close()
        with contextlib.suppress(FutureTimeout):
            # A child that has answered leaves by itself: its own exit gives the exact usage.
            return self.exit.result(timeout=0.0 if at_once else _LEAVE_SECONDS)
        self.zygote.kill(self.identity)
        try:
            return self.exit.result(timeout=_EXIT_SECONDS)
        except FutureTimeout:
            return {}


def _launch(control: int, libraries: tuple[str, ...], *, writable: Path) -> subprocess.Popen[bytes]:
    """Start a zygote behind the strongest walls there are."""
    program = [sys.executable, "-m", _ZYGOTE, str(control), *libraries]
    walls = confinement.detect()
    descriptors = [control]
    if walls.bwrap is not None:
        descriptors.append(confinement.filter_file())
        program = confinement.command(
            program, bwrap=walls.bwrap, filter_descriptor=descriptors[-1], writable=writable
        )
    try:
        return subprocess.Popen(
            program,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=descriptors,
            start_new_session=True,
        )
    finally:
        for descriptor in descriptors[1:]:
            os.close(descriptor)


def _environment() -> dict[str, str]:
    """Nothing of the worker's: no database address, no key, no token."""
    own = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {
        **own,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Behind the walls the temporary directory of the worker does not exist.
        "TMPDIR": "/tmp",  # noqa: S108
        # One step, one core: parallelism is the engine's affair.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1",
    }
