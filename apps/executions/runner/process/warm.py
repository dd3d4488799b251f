"""The worker's handle on a zygote and on the children it forks."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from apps.executions.runner.directory import StepDirectories
from apps.executions.runner.process import confinement, readable
from apps.executions.runner.process.channel import Channel
from apps.executions.runner.process.endings import (
    Ended,
    Ending,
    Job,
    ProcessUnavailableError,
    Stopped,
)
from apps.executions.runner.process.zygote import PACKET

logger = logging.getLogger(__name__)

_ZYGOTE = "apps.executions.runner.process.zygote"
_START_SECONDS = 120.0
_EXIT_SECONDS = 5.0
_LEAVE_SECONDS = 0.5
_POLL_SECONDS = 0.1
_MOST_VALUES = 4_000_000
"""In one message of a confined step."""


class Zygote:
    """One process that has its libraries loaded and forks."""

    def __init__(self, libraries: tuple[str, ...], *, directories: StepDirectories) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._exits: dict[int, Future[dict[str, Any]]] = {}
        self._ready: Future[None] = Future()
        self._kept: set[str] = set()
        self._users = 0
        self._used_at = time.monotonic()
        with theirs:
            self._process = _launch(theirs.fileno(), libraries, writable=directories.root)
        self._reader = threading.Thread(target=self._read, name="step-processes", daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether it can still fork."""
        return self._process.poll() is None and self._reader.is_alive()

    @property
    def idle_seconds(self) -> float:
        """How long nobody has needed it."""
        with self._lock:
            return 0.0 if self._users else time.monotonic() - self._used_at

    def touch(self) -> None:
        """Somebody will need it at once."""
        with self._lock:
            self._used_at = time.monotonic()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Somebody needs it."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                self._used_at = time.monotonic()

    def wait_ready(self, *, deadline: float, stopped: Stopped) -> Ended | None:
        """Blocks while the libraries load; the ending of a step that cannot wait so long."""
        begin_by = min(deadline, time.monotonic() + _START_SECONDS)
        while not self._ready.done():
            reason = stopped()
            if reason is not None:
                return Ended(ending=Ending.STOPPED, message={}, stopped=reason)
            if time.monotonic() >= deadline:
                return Ended(ending=Ending.TIMEOUT, message={})
            if time.monotonic() >= begin_by:
                self.close()
                raise ProcessUnavailableError("The step processes did not start.")
            wait([self._ready], timeout=_POLL_SECONDS)
        self._ready.result()
        return None

    def start(self, job: Job) -> Running:
        """Fork a child and open the channel to it."""
        ours, theirs = socket.socketpair()
        exit_: Future[dict[str, Any]] = Future()
        with theirs:
            with self._lock:
                identity = next(self._ids)
                self._exits[identity] = exit_
            command = {
                "op": "run",
                "id": identity,
                "memory": job.memory,
                "cpu": job.cpu,
                "confineTo": job.call["workDirectory"] if job.confined else None,
            }
            try:
                with self._lock:
                    socket.send_fds(
                        self._control, [json.dumps(command).encode()], [theirs.fileno()]
                    )
            except OSError as error:
                ours.close()
                raise ProcessUnavailableError("The step processes are gone.") from error
        channel = Channel(ours, most_values=_MOST_VALUES if job.confined else None)
        return Running(self, identity, channel, exit_)

    def kill(self, identity: int) -> None:
        """End a child and what it started."""
        self._tell({"op": "kill", "id": identity})

    def keep(self, module: str) -> None:
        """A child has run a function of it to its end: the next find it loaded."""
        if module not in self._kept:
            self._kept.add(module)
            self._tell({"op": "load", "module": module})

    def _tell(self, command: Mapping[str, Any]) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._control.send(json.dumps(command).encode())

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
            if message["missing"]:
                logger.warning("Libraries could not be loaded: %s", ", ".join(message["missing"]))
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
class Running:
    """One child from the worker's point of view."""

    zygote: Zygote
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
    program = [sys.executable, "-P", "-m", _ZYGOTE, str(control), *libraries]
    walls = confinement.detect()
    descriptors = [control]
    if walls.bwrap is not None:
        _compile(libraries)
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


def _compile(libraries: tuple[str, ...]) -> None:
    """Behind the walls nothing can be written: let bytecode be kept before they close.

    Importing the libraries without it takes four times as long, each time.
    """
    specs = [find_spec(name) for name in libraries]
    cached = [spec.cached for spec in specs if spec is not None and spec.cached]
    if all(Path(path).exists() for path in cached):
        return
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-c", f"import {', '.join(libraries)}"],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_START_SECONDS,
            check=False,
        )


def _environment() -> dict[str, str]:
    """Nothing of the worker's: no database address, no key, no token."""
    own = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {
        **own,
        "PYTHONPATH": os.pathsep.join(readable.search_path()),
        # Behind the walls the temporary directory of the worker does not exist.
        "TMPDIR": "/tmp",  # noqa: S108
        # ONNX Runtime reports each use to its maker, and files an identifier at home, unless told.
        "ORT_DISABLE_TELEMETRY": "1",
        # One step, one core: parallelism is the engine's affair.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1",
    }
