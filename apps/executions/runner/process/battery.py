"""Proof, on this machine, that a confined step is held: it tries to get out and has to fail."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from apps.executions.runner.directory import StepDirectories, WorkDirectory
from apps.executions.runner.process import lockdown
from apps.executions.runner.process.endings import Ended, Ending, Job, ProcessUnavailableError
from apps.executions.runner.process.pool import ProcessPool
from apps.workflows.graph.declaration import Inputs, NodeContext, NodeParameters, Outputs

_SECONDS: Final = 60.0
_MEMORY: Final = 64 << 20
_PTRACE_SEIZE: Final = 0x4206


class Target(NodeParameters):
    """Whom to attack: the worker, and a file beside the step's own directory."""

    worker: int
    beside: str


def attack(parameters: Target, inputs: Inputs, context: NodeContext) -> Outputs:
    """What a step must not be able to do, tried; `out` names what worked."""
    worker, beside = parameters.worker, Path(parameters.beside)
    library = ctypes.CDLL(None)
    attempts: dict[str, Callable[[], object]] = {
        "open a socket": socket.socket,
        "open a local socket": lambda: socket.socket(socket.AF_UNIX),
        "read /etc/passwd": Path("/etc/passwd").read_bytes,
        "read the worker's environment": Path(f"/proc/{worker}/environ").read_bytes,
        "read another step's file": beside.read_bytes,
        "write another step's file": lambda: beside.write_text("mine"),
        "write beside its directory": lambda: beside.with_name("new").touch(),
        "list another directory": lambda: list(beside.parent.iterdir()),
        "signal the worker": lambda: os.kill(worker, 0),
        "limit the worker": lambda: resource.prlimit(worker, resource.RLIMIT_CORE),
        "trace the worker": lambda: _require(library.ptrace(_PTRACE_SEIZE, worker, None, None)),
        "start a process": _fork,
        "link out of its directory": lambda: Path("link").symlink_to("/etc/passwd"),
    }
    out = [name for name, attempt in attempts.items() if _works(attempt)]
    # Who can do nothing at all would pass, too.
    own = _works(lambda: Path("own").write_text("x"))
    return {"out": out, "own": own}


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def _require(result: int) -> None:
    if result < 0:
        raise OSError


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


class UndecidedError(Exception):
    """The proof did not come to its end; another may."""


_lock: Final = threading.Lock()
_verdicts: Final[list[str | None]] = []


def verdict() -> str | None:
    """Why this process runs no confined step; None where it does. Found once; UndecidedError."""
    with _lock:
        if not _verdicts:
            _verdicts.append(lockdown.problem() or _prove())
        return _verdicts[0]


def _prove() -> str | None:
    directories = StepDirectories()
    processes = ProcessPool(directories)
    other, own = WorkDirectory(directories), WorkDirectory(directories)
    try:
        beside = other.path / "file"
        beside.write_text("of another step")
        job = _job(own, parameters={"worker": os.getpid(), "beside": str(beside)})
        ended = processes.run(job, serve=lambda message: None, stopped=lambda: None)
        return _judged(ended)
    except (OSError, ProcessUnavailableError) as error:
        raise UndecidedError(str(error)) from error
    finally:
        processes.close()
        directories.remove()


def _job(own: WorkDirectory, *, parameters: dict[str, Any], confined: bool = True) -> Job:
    return Job(
        libraries=(),
        call={
            "handler": f"{__name__}:{attack.__name__}",
            "parameters": parameters,
            "inputs": {},
            "workDirectory": str(own.path),
            "deadline": datetime.now(UTC).isoformat(),
            "environment": "",
            "idempotencyKey": "",
        },
        memory=_MEMORY,
        cpu=int(_SECONDS),
        deadline=time.monotonic() + _SECONDS,
        confined=confined,
    )


def _judged(ended: Ended) -> str | None:
    match ended.ending:
        case Ending.DONE:
            found = ended.message["outputs"]
            if found["out"]:
                return f"a confined step could {', '.join(found['out'])}"
            return None if found["own"] else "a confined step cannot write its own directory"
        case Ending.FAILED | Ending.CRASHED:
            return str(ended.message["message"])
        case _:
            raise UndecidedError(f"the proof ended as {ended.ending} ({ended.exit_code})")
