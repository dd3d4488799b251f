"""How many retries a run, and a workflow in a process, may spend: no storm on what is broken."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

from apps.executions.engine.ports import StepFailed
from apps.executions.engine.step import Plan, Step

RETRY_BUDGET_SPENT: Final = "RETRY_BUDGET_SPENT"
BURST: Final = 1_000
PER_SECOND: Final = 10.0
SHARE: Final = 0.2


class Budget(StrEnum):
    """Whose retries are spent."""

    RUN = "run"
    WORKFLOW = "workflow"


class Throttle(Protocol):
    """What all runs of one workflow share."""

    def take(self, now: dt.datetime) -> bool:
        """One more retry; False when none is left."""


@dataclass(slots=True)
class TokenBucket:
    """A retry costs a token; they come with time, and one with every fifth attempt.

    So a workflow that stands still may retry at once, and one whose far side is broken sends it
    little more than it would without retries.
    """

    filled_at: dt.datetime
    tokens: float = BURST

    def earn(self, attempts: int) -> None:
        """So many attempts have ended, however they did."""
        self.tokens = min(BURST, self.tokens + attempts * SHARE)

    def take(self, now: dt.datetime) -> bool:
        """One token; clocks that go back bring nothing."""
        gone = max((now - self.filled_at).total_seconds(), 0.0)
        self.tokens = min(BURST, self.tokens + gone * PER_SECOND)
        self.filled_at = max(now, self.filled_at)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Spender(Protocol):
    """A run that retries: how often it has, and how often it may."""

    retries: int
    plan: Plan

    def retry_before(
        self, step: Step, *, now: dt.datetime, deadline_at: dt.datetime | None
    ) -> dt.datetime | None:
        """By when another attempt must come, if it comes."""


class Retries:
    """What is left for a run: its own count, and what it shares with others of its workflow."""

    __slots__ = ("_deadline_at", "_run", "_throttle")

    def __init__(
        self, run: Spender, *, deadline_at: dt.datetime | None, throttle: Throttle | None
    ) -> None:
        self._run = run
        self._deadline_at = deadline_at
        self._throttle = throttle

    def before(self, step: Step, now: dt.datetime) -> dt.datetime | None:
        """A retry comes before this (the run's deadline, or now when the run is stopping)."""
        return self._run.retry_before(step, now=now, deadline_at=self._deadline_at)

    def refusal(self, outcome: StepFailed, now: dt.datetime) -> StepFailed | None:
        """The failure as final, when no retry is left; None when one was taken from both."""
        limit = self._run.plan.retries
        if self._run.retries >= limit:
            return refused(outcome, Budget.RUN, limit=limit)
        if self._throttle is not None and not self._throttle.take(now):
            return refused(outcome, Budget.WORKFLOW, limit=limit)
        return None


def refused(outcome: StepFailed, budget: Budget, *, limit: int) -> StepFailed:
    """The failure that would have been retried, as final: what it was stands in its details."""
    whose = (
        f"the run's {limit:,} retries are spent (limits.retries)"
        if budget is Budget.RUN
        else "retries of this workflow are more than a fifth of its attempts"
    )
    return replace(
        outcome,
        code=RETRY_BUDGET_SPENT,
        message=f"{outcome.code}: {outcome.message} Not tried again: {whose}.",
        details={**outcome.details, "cause": outcome.code, "budget": budget.value},
    )


def cause_of(outcome: StepFailed) -> str:
    """The code by which rules and doubts go: a spent budget changes nothing about what happened."""
    if outcome.code != RETRY_BUDGET_SPENT:
        return outcome.code
    cause = outcome.details.get("cause")
    return cause if isinstance(cause, str) else outcome.code
