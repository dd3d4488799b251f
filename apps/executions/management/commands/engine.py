"""`manage.py engine status|drain|verify`: what operators ask of the engine."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from apps.executions.verify import verify

_WORKERS = """
    SELECT id::text, host, pid, array_to_string(pools, ','), slots, draining,
           extract(epoch FROM lease_until - clock_timestamp())::int,
           (SELECT count(*) FROM work_item i WHERE i.worker_id = w.id)
      FROM worker w ORDER BY booted_at LIMIT 200
"""
_POOLS = """
    SELECT pool, count(*) FILTER (WHERE worker_id IS NULL),
           count(*) FILTER (WHERE worker_id IS NOT NULL),
           coalesce(extract(epoch FROM clock_timestamp()
             - min(sort_key) FILTER (WHERE worker_id IS NULL))::int, 0)
      FROM work_item GROUP BY pool ORDER BY pool
"""


class Command(BaseCommand):
    """Run it with NSTARX_DATABASE_ROLE=engine: only that role sees all lanes and workers."""

    help = "Show, drain or verify the engine."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do."""
        parser.add_argument("what", choices=("status", "drain", "verify"))

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        """Do it."""
        {"status": self._status, "drain": self._drain, "verify": self._verify}[what]()

    def _status(self) -> None:
        for worker_id, host, pid, pools, slots, draining, lease, items in _rows(_WORKERS):
            state = "draining" if draining else "claiming"
            self.stdout.write(
                f"worker {worker_id} {host}:{pid} pools={pools} slots={slots} {state}"
                f" lease={lease}s items={items}"
            )
        for pool, ready, leased, oldest in _rows(_POOLS):
            self.stdout.write(f"pool {pool}: {ready} ready (oldest {oldest}s), {leased} leased")
        due = _rows("SELECT count(*) FROM outbox")[0][0]
        timers = _rows("SELECT count(*) FROM timer")[0][0]
        self.stdout.write(f"outbox: {due} to announce; timers: {timers}")

    def _drain(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE worker SET draining = true WHERE NOT draining")
            self.stdout.write(
                f"{cursor.rowcount} workers start nothing more and end when their steps have."
            )

    def _verify(self) -> None:
        violations = verify()
        for violation in violations:
            self.stdout.write(f"{violation.invariant}: {', '.join(violation.rows)}")
        if violations:
            raise CommandError(f"{len(violations)} invariants do not hold.")
        self.stdout.write("every invariant holds")


def _rows(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
