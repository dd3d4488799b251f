"""What happens to a process at its crash points: death, a stop, an exception, a lost reply."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psycopg

MUTE_SECONDS: Final = 0.5
"""So long a zombie writes before its heartbeat tells it that it is dead."""


class Action(StrEnum):
    """What is done to a process."""

    KILL = "kill"
    STOP = "stop"
    RAISE = "raise"
    LOST = "lost"
    HANG = "hang"
    TERM = "term"


class Struck(Exception):
    """The exception of a crash point."""


@dataclass(frozen=True, kw_only=True)
class Blow:
    """At the `nth` pass of a point; a sequence of them is dealt in order."""

    point: str
    action: Action
    nth: int = 1


class Strike:
    """Deals its blows in order, each once; says where it is before."""

    def __init__(self, blows: Sequence[Blow], *, say: Callable[[str], None]) -> None:
        self.blows = list(blows)
        self.say = say
        self.passed = 0
        self.mute_until = 0.0
        self.lock = threading.Lock()

    def __call__(self, name: str) -> None:
        """Called by every crash point of the process."""
        if name in ("beat.begun", "claim.begun") and time.monotonic() < self.mute_until:
            raise psycopg.OperationalError("a process that has just come back knows nothing yet")
        if not self.blows and name == "turn.dropped":
            self.mute_until = 0.0
            self.say("fenced")
        action = self._next(name)
        if action is not None:
            self.say(f"at {name}")
            self._deal(action)

    def _next(self, name: str) -> Action | None:
        with self.lock:
            if not self.blows or self.blows[0].point != name:
                return None
            self.passed += 1
            if self.passed < self.blows[0].nth:
                return None
            self.passed = 0
            return self.blows.pop(0).action

    def _deal(self, action: Action) -> None:
        match action:
            case Action.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(3600)
            case Action.STOP:
                self.mute_until = time.monotonic() + 3600
                os.kill(os.getpid(), signal.SIGSTOP)
                time.sleep(0.02)  # A thread may run on for a moment.
                self.mute_until = time.monotonic() + MUTE_SECONDS
                self.say("resumed")
            case Action.RAISE:
                raise Struck
            case Action.LOST:
                raise psycopg.OperationalError("the reply was lost")
            case Action.HANG:
                time.sleep(3600)
            case Action.TERM:
                os.kill(os.getpid(), signal.SIGTERM)
