"""The product's own processes: started together, restarted with backoff, stopped in order."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Final
from uuid import UUID, uuid4

from config.supervisor import kernel
from config.supervisor.processes import Child, Command, kill_all

FIRST_BACKOFF_SECONDS: Final = 0.5
LONGEST_BACKOFF_SECONDS: Final = 30.0
# A process that ran this long was healthy: its next restart is immediate again.
HEALTHY_SECONDS: Final = 30.0
# SIGCHLD wakes the loop at once; this is for what sends no signal.
LOOK_SECONDS: Final = 1.0

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One process of the fleet; each start has an incarnation id of its own."""

    name: str
    command: Callable[[UUID], Command]
    died: Callable[[UUID], None] = field(default=lambda incarnation: None)


class _Seat:
    """A member with its present process and the patience for its next start."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.incarnation = uuid4()
        self.child: Child | None = None
        self.backoff = 0.0
        self.start_at = 0.0

    def start(self) -> None:
        self.incarnation = uuid4()
        self.child = Child(self.member.command(self.incarnation))

    def bury(self, dead: Child) -> str:
        """Note the end of the process; returns a line about it."""
        code = dead.exit_code()
        healthy = time.monotonic() - dead.started_at >= HEALTHY_SECONDS
        self.backoff = (
            FIRST_BACKOFF_SECONDS
            if healthy or not self.backoff
            else min(self.backoff * 2, LONGEST_BACKOFF_SECONDS)
        )
        self.start_at = time.monotonic() + self.backoff
        line = (
            f"{self.member.name} ended (exit code {code}); starting it again in {self.backoff:g} s"
        )
        if code and code > 0 and dead.command.log:
            line += f" (its log: {dead.command.log})"
        self.child = None
        return line


class Fleet:
    """Starts and watches the members until somebody asks to stop."""

    def __init__(self, members: Sequence[Member], *, report: Report) -> None:
        self._seats = [_Seat(member) for member in members]
        self._report = report

    def start(self) -> None:
        """Start every member."""
        for seat in self._seats:
            seat.start()

    def processes(self) -> dict[str, int]:
        """The present process id of each member."""
        return {seat.member.name: seat.child.pid for seat in self._seats if seat.child}

    def ended(self) -> list[str]:
        """The members that have ended and are not yet started again."""
        return [
            seat.member.name
            for seat in self._seats
            if seat.child is None or seat.child.exit_code() is not None
        ]

    def log_tail(self, name: str) -> str:
        """The end of a member's log."""
        for seat in self._seats:
            if seat.member.name == name and seat.child:
                return seat.child.log_tail()
        return ""

    def look(self) -> bool:
        """Bury the dead, start what is due; whether any process changed."""
        changed = False
        for seat in self._seats:
            if seat.child and seat.child.exit_code() is not None:
                dead = seat.incarnation
                self._report(seat.bury(seat.child))
                seat.member.died(dead)
                changed = True
            if seat.child is None and time.monotonic() >= seat.start_at:
                seat.start()
                changed = True
        return changed

    def stop(self) -> None:
        """Ask all at once, then wait for each; the last ones are killed after their grace."""
        children = [seat.child for seat in self._seats if seat.child]
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.stop()


def kill_strangers(known: Sequence[int]) -> None:
    """End processes we inherited because the worker that started them is dead."""
    strangers = [pid for pid in kernel.children(os.getpid()) if pid not in known]
    kill_all([pid for stranger in strangers for pid in kernel.descendants(stranger)])
    kill_all(strangers)
    for pid in strangers:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


class StopRequest:
    """Ctrl-C, SIGTERM and a closed terminal as one flag a loop can sleep on."""

    def __init__(self) -> None:
        self.asked = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def sleep(self, seconds: float) -> bool:
        """Sleep until a signal arrives (a child's end is one) or the time is over; `asked`."""
        ready, _, _ = select.select([self._reader], [], [], seconds)
        if ready:
            os.read(self._reader, 4096)
        return self.asked
