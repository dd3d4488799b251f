"""One call of one handler in a process, and the ways it may end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from apps.executions.engine.ports import StopReason

Stopped = Callable[[], StopReason | None]
"""Asked while a step runs: why it should stop, None while it should go on."""
Serve = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Answers a host call of the child; None where the child expects no answer."""


class Ending(StrEnum):
    """How a step's process came to its end."""

    DONE = "done"
    FAILED = "failed"
    CRASHED = "crashed"
    MEMORY = "memory"
    CPU = "cpu"
    LIMIT = "limit"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    DIED = "died"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call of one handler; `deadline` is monotonic, memory in bytes, cpu in seconds.

    A confined one is held by the kernel in its process before any of the node's code is loaded.
    """

    libraries: tuple[str, ...]
    call: Mapping[str, Any]
    memory: int
    cpu: int
    deadline: float
    confined: bool = False

    @property
    def module(self) -> str:
        """Where the handler is."""
        return str(self.call["handler"]).partition(":")[0]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The outcome, with what was measured from outside the child.

    `beyond` names what it had too much of, where that is why it was ended.
    """

    ending: Ending
    message: Mapping[str, Any]
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    exit_code: int | None = None
    beyond: str = ""
    stopped: StopReason | None = None


class ProcessUnavailableError(Exception):
    """No step process could be started; the worker may try again."""
