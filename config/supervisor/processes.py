"""One child process: how it starts, that it dies with its parent, how it is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from config.supervisor import kernel

POSTGRES_USER: Final = 1000
NOBODY: Final = 65_534


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to start and how it wants to be ended."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    log: Path | None = None
    working_directory: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    # Open files that it takes over, under the same numbers.
    inherits: tuple[int, ...] = ()
    # PostgreSQL refuses uid 0.
    refuses_root: bool = False


class Child:
    """A started command; it never outlives the process that started it."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.started_at = time.monotonic()
        self._process = _spawn(command)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs, else its exit code (negative: the signal that ended it)."""
        return self._process.poll()

    def wait(self, *, seconds: float | None = None) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired after the given seconds."""
        return self._process.wait(seconds)

    def ask_to_stop(self) -> None:
        """Send its stop signal, once more if it was sent before."""
        if self.exit_code() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(self.command.stop_signal)

    def stop(self) -> int:
        """Ask, wait, and after its grace end it and all below it for certain."""
        self.ask_to_stop()
        try:
            return self._process.wait(self.command.stop_seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it and everything it started, at once."""
        kill_all([self.pid, *kernel.descendants(self.pid)])
        return self._process.wait()

    def log_tail(self, *, characters: int = 2_000) -> str:
        """The end of its log, for a message to a person."""
        if self.command.log is None or not self.command.log.exists():
            return ""
        return self.command.log.read_text(errors="replace")[-characters:]


def kill_all(pids: Sequence[int]) -> None:
    """SIGKILL each process that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def run_to_end(command: Command, *, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a short command with a time limit and return its output."""
    identity = _identity(command)
    return subprocess.run(
        command.argv,
        env=dict(command.environment),
        cwd=command.working_directory,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        user=identity,
        group=identity,
        extra_groups=None if identity is None else (),
        preexec_fn=_before_exec(command),
    )


def _spawn(command: Command) -> subprocess.Popen[bytes]:
    identity = _identity(command)
    log = command.log.open("ab") if command.log else None
    try:
        return subprocess.Popen(
            command.argv,
            env=dict(command.environment),
            cwd=command.working_directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C of the terminal reaches the supervisor only, which stops things in order.
            start_new_session=True,
            pass_fds=command.inherits,
            user=identity,
            group=identity,
            extra_groups=None if identity is None else (),
            preexec_fn=_before_exec(command),  # noqa: PLW1509 - see _before_exec
        )
    finally:
        if log:
            log.close()


def must_leave_root(command: Command) -> bool:
    """Whether this command refuses the identity we have."""
    return command.refuses_root and os.geteuid() == 0


def _identity(command: Command) -> int | None:
    """The user to become where user namespaces are blocked."""
    if must_leave_root(command) and not kernel.user_namespaces_work():
        return NOBODY
    return None


def _before_exec(command: Command) -> Callable[[], None]:
    """What the child does between fork and exec: system calls only, nothing that takes a lock."""
    parent = os.getpid()
    in_namespace = must_leave_root(command) and kernel.user_namespaces_work()

    def prepare() -> None:
        if in_namespace:
            kernel.leave_root(user=POSTGRES_USER, group=POSTGRES_USER)
        kernel.die_with_parent(command.stop_signal, parent=parent)

    return prepare
