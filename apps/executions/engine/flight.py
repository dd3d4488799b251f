"""One attempt that a slice has under way."""

from __future__ import annotations

import datetime as dt

from apps.executions.engine.plan import Step


class Flight:
    """One attempt in the air."""

    __slots__ = ("announced", "attempt", "deadline_at", "interrupted", "started_at", "step")

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
        self.announced = interrupted
