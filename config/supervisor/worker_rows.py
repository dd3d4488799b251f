"""What the database and the other workers should know at once when a worker process is dead."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import redis

from config.env import BELLS, REDIS_TIMEOUTS
from config.supervisor import roles
from config.supervisor.failure import CannotStart

Report = Callable[[str], None]

STATEMENT_SECONDS: Final = 5
# Only what is certainly dead: others may have had no chance to beat since the database restarted.
GRACE_SECONDS: Final = 60.0


def expire(engine_url: str, worker: UUID, *, report: Report) -> set[str]:
    """End the lease of a dead worker and free its work; returns the pools where that waits now."""
    try:
        with roles.connect(engine_url) as connection:
            connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
            connection.execute("SELECT engine_worker_died_1(%s)", (worker,))
            freed = connection.execute("SELECT engine_reap_5(%s)", (GRACE_SECONDS,)).fetchall()
    except (psycopg.Error, CannotStart) as error:
        # The lease runs out by itself and others free the work, only later.
        report(f"Could not expire the lease of worker {worker}: {str(error).splitlines()[0]}")
        return set()
    return {pool for (pool,) in freed}


def ring(redis_url: str, pools: Collection[str]) -> None:
    """Wake a process of each pool. Without the bell they look once a second."""
    options: dict[str, Any] = dict(REDIS_TIMEOUTS)
    # The bells hang in the first of its databases, whichever the address names.
    url = urlsplit(redis_url)._replace(path="/0").geturl()
    try:
        with redis.Redis.from_url(url, **options) as client:
            for pool in pools:
                client.lpush(f"{BELLS}{pool}", 1)
    except (redis.RedisError, ValueError):
        return
