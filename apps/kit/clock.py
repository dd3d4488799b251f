"""The platform's clock: aware UTC instants, in one place so that tests can see who asks."""

from __future__ import annotations

import datetime as dt


def now() -> dt.datetime:
    """The present instant, aware, UTC."""
    return dt.datetime.now(dt.UTC)
