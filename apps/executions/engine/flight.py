"""One attempt that a slice has under way."""

from __future__ import annotations

import datetime as dt
from typing import Final

from apps.executions.engine.plan import Step

GRACE: Final = dt.timedelta(seconds=5)
"""How long a step may overrun its deadline, or ignore a stop, before it is abandoned."""


class Flight:
    """One attempt in the air."""

    __slots__ = (
        "announced",
        "attempt",
        "deadline_at",
        "interrupted",
        "started_at",
        "step",
        "stop_at",
    )

    def __init__(
        self,
        step: Step,
        attempt: int,
        started_at: dt.datetime,
        deadline_at: dt.datetime,
        *,
        interrupted: bool,
    ) -> None:
        self.step = step
        self.attempt = attempt
        self.started_at = started_at
        self.deadline_at = deadline_at
        self.interrupted = interrupted
        self.stop_at: dt.datetime | None = None
        """When it was asked to stop."""
        self.announced = interrupted

    @property
    def abandon_at(self) -> dt.datetime:
        """When it is given up: it has ended neither in time nor when it was asked to."""
        return min(self.stop_at or self.deadline_at, self.deadline_at) + GRACE
