"""What the database should know at once when a worker process is dead."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import psycopg

from config.supervisor import roles
from config.supervisor.failure import CannotStart

Report = Callable[[str], None]


def expire(engine_url: str, worker: UUID, *, report: Report) -> None:
    """End the lease of a dead worker now, so that others take its work without waiting for it."""
    try:
        with roles.connect(engine_url) as connection:
            connection.execute("SELECT engine_worker_died_1(%s)", (worker,))
    except (psycopg.Error, CannotStart) as error:
        # The lease runs out by itself, only later.
        report(f"Could not expire the lease of worker {worker}: {str(error).splitlines()[0]}")
