"""`manage.py engine …`: what operators ask of the engine, and tell it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.executions import operations, partitions, retention
from apps.executions.verify import verify


class Command(BaseCommand):
    """Run it with NSTARX_DATABASE_ROLE=engine: only that role sees all lanes and workers."""

    help = "Show, drain, brake or verify the engine; make and drop its months (as the owner)."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do."""
        what = parser.add_subparsers(dest="what", required=True)
        what.add_parser("status", help="Workers, pools, lanes, queues, months.")
        drain = what.add_parser("drain", help="Let workers start nothing more.")
        drain.add_argument("worker", nargs="?", help="The beginning of a worker's id.")
        drain.add_argument("--all", action="store_true", help="Every worker.")
        what.add_parser("verify", help="Print every invariant that does not hold.")
        brake = what.add_parser("brake", help="Slow a tenant's claims down, or let it go again.")
        brake.add_argument("tenant", help="The organization's id.")
        brake.add_argument("--per-second", type=float, help="Claims per second; none lets go.")
        brake.add_argument("--burst", type=int, default=1, help="Claims at once after a pause.")
        what.add_parser("partitions", help="As the owner: make months ahead, drop expired ones.")

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        """Do it."""
        act: dict[str, Callable[..., None]] = {
            "status": self._status,
            "drain": self._drain,
            "verify": self._verify,
            "brake": self._brake,
            "partitions": self._partitions,
        }
        act[what](**options)

    def _status(self, **_options: Any) -> None:
        for line in operations.status():
            self.stdout.write(line)

    def _drain(self, *, worker: str | None = None, all: bool = False, **_options: Any) -> None:
        if bool(worker) == all:
            raise CommandError("Name one worker (see `engine status`), or say --all.")
        told = operations.drain(worker)
        if not told:
            raise CommandError("No such worker is claiming; `engine status` lists them.")
        for worker_id in told:
            self.stdout.write(
                f"worker {worker_id} starts nothing more; stop it when its items are 0."
            )

    def _verify(self, **_options: Any) -> None:
        violations = verify()
        for violation in violations:
            self.stdout.write(f"{violation.invariant}: {', '.join(violation.rows)}")
        if violations:
            raise CommandError(f"{len(violations)} invariants do not hold.")
        self.stdout.write("every invariant holds")

    def _brake(self, *, tenant: str, per_second: float | None, burst: int, **_options: Any) -> None:
        if (per_second is not None and per_second <= 0) or burst < 1:
            raise CommandError("Claims per second and burst are greater than nothing.")
        if not operations.brake(tenant, per_second=per_second, burst=burst):
            raise CommandError("This organization has no lane: it has never started a run.")
        said = "is let go" if per_second is None else f"claims {per_second:g} a second"
        self.stdout.write(f"tenant {tenant} {said}")

    def _partitions(self, **_options: Any) -> None:
        try:
            made = partitions.make_partitions_ahead()
            dropped, blocked = retention.drop_expired()
        except PermissionError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{made} months made, {len(dropped)} dropped")
        for name in dropped:
            self.stdout.write(f"dropped {name}")
        for held in blocked:
            runs = ", ".join(map(str, held.open_runs)) or "none open"
            self.stdout.write(
                f"{held.month.part} stays: open runs {runs}; {held.ended_runs} ended and kept"
            )
