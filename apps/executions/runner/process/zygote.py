"""Parent of step processes: libraries imported once, one fork per step, limits from outside.

Runs as `python -m apps.executions.runner.process.zygote <control fd> <module> …` with an empty
environment and never runs a node itself. The control socket carries one JSON packet per command;
when it closes, everything ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from ctypes import CDLL
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from apps.executions.runner.process import child, readable
from apps.executions.runner.process.channel import Channel

PACKET = 1 << 16
_WATCH_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
_SPARE_ADDRESS_SPACE = 4 << 30
_PAGE = resource.getpagesize()
_SPARE_CPU_SECONDS = 2
"""We end who has used up its CPU; should we be gone or starved, the kernel does, a little later."""
_MOST_THREADS = 128
_MOST_WRITTEN = 2 << 30
_WRITTEN = ("wchar", "write_bytes")
"""By a call, or through a mapping."""
_SCHEDULED = 2
"""Linux' name for the clock of what a process has really run (CPUCLOCK_SCHED)."""


@dataclass
class _Child:
    """One running step."""

    pid: int
    memory: int
    cpu: int
    base: int
    confined: bool
    peak: int = 0
    reason: str = ""


def main(arguments: list[str]) -> None:
    """Import, say ready, then serve until the control socket closes."""
    control = socket.socket(fileno=int(arguments[0]))
    failed = _preload(arguments[1:])
    readable.paths()  # Looked for once, for all children.
    wake, poke = os.pipe()
    os.set_blocking(poke, False)
    signal.set_wakeup_fd(poke, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _tell(control, {"op": "ready", "missing": failed})
    children: dict[int, _Child] = {}
    try:
        while _turn(control, wake=wake, children=children):
            pass
    finally:
        for running in children.values():
            _kill(running.pid)
        # The libraries were never used here: their farewells would only be noise.
        os._exit(0)


def _preload(modules: list[str]) -> list[str]:
    failed = []
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception:
            # A broken library must not stop the nodes that do not need it.
            failed.append(name)
    gc.collect()
    # Keeps the collector from writing to pages that all children share.
    gc.freeze()
    return failed


def _turn(control: socket.socket, *, wake: int, children: dict[int, _Child]) -> bool:
    seconds = _WATCH_SECONDS if children else None
    ready, _, _ = select.select([control.fileno(), wake], [], [], seconds)
    if wake in ready:
        os.read(wake, 4096)
    _reap(control, children)
    for running in children.values():
        _watch(running)
    return control.fileno() not in ready or _obey(control, wake=wake, children=children)


def _obey(control: socket.socket, *, wake: int, children: dict[int, _Child]) -> bool:
    data, descriptors, _, _ = socket.recv_fds(control, PACKET, 1)
    if not data:
        return False
    command = json.loads(data)
    match command["op"]:
        case "run":
            children[command["id"]] = _start(control, descriptors[0], wake=wake, command=command)
        case "kill" if command["id"] in children:
            _kill(children[command["id"]].pid)
        case "load":
            _preload([command["module"]])
    return True


def _start(
    control: socket.socket, descriptor: int, *, wake: int, command: dict[str, Any]
) -> _Child:
    base = _anonymous(os.getpid())
    pid = os.fork()
    if pid == 0:
        _become_child(control, descriptor, wake=wake, command=command)
    os.close(descriptor)
    return _Child(
        pid=pid,
        memory=command["memory"],
        cpu=command["cpu"],
        base=base,
        confined=command["confineTo"] is not None,
    )


def _become_child(
    control: socket.socket, descriptor: int, *, wake: int, command: dict[str, Any]
) -> NoReturn:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        control.close()
        os.close(wake)
        _limit(memory=command["memory"], cpu=command["cpu"])
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        channel = Channel(socket.socket(fileno=descriptor))
        if command["confineTo"] is None:
            child.serve(channel)
        else:
            child.serve_confined(channel, command["confineTo"], memory=command["memory"])
        status = 0
    finally:
        # Nothing of the parent's may run on the way out: no atexit, no flush, no destructors.
        os._exit(status)


def _limit(*, memory: int, cpu: int) -> None:
    size = _pages(os.getpid(), field=0) * _PAGE
    room = size + memory + _SPARE_ADDRESS_SPACE
    for limit, wanted in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu + _SPARE_CPU_SECONDS),
        (resource.RLIMIT_AS, room),
    ):
        _, hard = resource.getrlimit(limit)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))


def _reap(control: socket.socket, children: dict[int, _Child]) -> None:
    for identity, running in list(children.items()):
        pid, status, used = os.wait4(running.pid, os.WNOHANG)
        if pid == 0:
            continue
        # A step that left processes behind takes them along.
        with contextlib.suppress(OSError):
            os.killpg(running.pid, signal.SIGKILL)
        del children[identity]
        _tell(
            control,
            {
                "op": "exited",
                "id": identity,
                "code": os.waitstatus_to_exitcode(status),
                "cpu": used.ru_utime + used.ru_stime,
                "peak": max(running.peak, used.ru_maxrss * 1024),
                "reason": running.reason,
            },
        )


def _watch(running: _Child) -> None:
    used = _anonymous(running.pid)
    running.peak = max(running.peak, used)
    # What came with the fork is shared and not the step's own.
    if used - running.base > running.memory:
        running.reason = "memory"
        _kill(running.pid)
    elif _cpu_seconds(running.pid) > running.cpu:
        running.reason = "cpu"
        _kill(running.pid)
    elif running.confined and (beyond := _beyond(running.pid)):
        running.reason = beyond
        _kill(running.pid)


def _cpu_seconds(pid: int) -> float:
    """What all threads of the process have run, exactly; nothing once it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | _SCHEDULED)
    except OSError:
        return 0.0


def _beyond(pid: int) -> str:
    """What a confined step has too much of and the kernel has no limit for; empty for nothing."""
    try:
        if sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()) > _MOST_THREADS:
            return f"{_MOST_THREADS} threads"
        for line in Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(": ")
            if name in _WRITTEN and int(count) > _MOST_WRITTEN:
                return f"{_MOST_WRITTEN >> 30} GiB written"
    except OSError:
        pass  # It is gone.
    return ""


def _anonymous(pid: int) -> int:
    return (_pages(pid, field=1) - _pages(pid, field=2)) * _PAGE


def _pages(pid: int, *, field: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[field])
    except (OSError, IndexError, ValueError):
        return 0


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            kill(pid, signal.SIGKILL)


def _tell(control: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        control.send(json.dumps(message).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
