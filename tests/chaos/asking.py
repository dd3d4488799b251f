"""Questions to a database that may be restarting."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg


class Outage(Exception):
    """The database did not come back in time."""


def ask(url: str, query: str, given: Sequence[Any] = (), *, seconds: float = 300) -> list[Any]:
    """The rows, from a server that may be restarting."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(url, autocommit=True, connect_timeout=5) as direct,
        ):
            cursor = direct.execute(query.encode(), given)
            return cursor.fetchall() if cursor.description else []
        time.sleep(0.1)
    raise Outage(query)
