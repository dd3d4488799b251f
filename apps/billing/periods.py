"""The billing period: a calendar month in UTC."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Period:
    """A month. `ends` is the first instant that is not in it any more."""

    begins: dt.datetime
    ends: dt.datetime

    @property
    def key(self) -> dt.date:
        """The month's first day, as entries carry it."""
        return self.begins.date()


def period_at(instant: dt.datetime) -> Period:
    """The month that holds an aware instant."""
    begins = instant.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return Period(begins=begins, ends=(begins + dt.timedelta(days=32)).replace(day=1))


def projected(used: int, *, period: Period, at: dt.datetime) -> int | None:
    """What `used` becomes by the period's end at the same pace; None in its first day."""
    passed = (at - period.begins).total_seconds()
    if passed < dt.timedelta(days=1).total_seconds():
        return None
    return round(used * (period.ends - period.begins).total_seconds() / passed)
