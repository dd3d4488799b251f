"""The product on durable servers of its own, a worker process per core, as `make up` starts it."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from config.env import DatabaseRole
from config.supervisor import backends, keys, ports, roles
from config.supervisor.fleet import Fleet, Member
from config.supervisor.layout import Installation
from config.supervisor.processes import Child, Command

_MODULES = {"config.worker": "bench.worker", "config.web": "bench.web"}


@dataclass(frozen=True, kw_only=True)
class House:
    """Servers with an empty, migrated database; `staffed` brings it to life."""

    installation: Installation

    @property
    def owner_url(self) -> str:
        """For the floor and the counters: row security does not concern them."""
        return self.installation.backends.urls.owner

    @property
    def app_url(self) -> str:
        """What the web may do."""
        return self.installation.backends.urls.app

    def server_pids(self) -> list[int]:
        """PostgreSQL and Redis, where they are ours."""
        servers = (self.installation.backends.cluster, self.installation.backends.redis)
        return [server.pid for server in servers if server]

    @contextmanager
    def staffed(self, *, with_web: bool = False) -> Iterator[Fleet]:
        """Its processes, as the supervisor starts them, until the block ends."""
        wanted = ("worker", "web") if with_web else ("worker",)
        fleet = Fleet(
            [
                _with_bench(member)
                for member in self.installation.members(report=_ignore)
                if member.name.startswith(wanted)
            ],
            report=_ignore,
        )
        fleet.start()
        try:
            yield fleet
        finally:
            fleet.stop()


@contextmanager
def built() -> Iterator[House]:
    """Durable servers (or those the environment names), a database, migrations."""
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(
            prefix="nstarx-bench-", dir=os.environ.get("BENCH_DATA"), ignore_cleanup_errors=True
        )
        directory = Path(stack.enter_context(made))
        source = dict(os.environ)
        if source.get("DATABASE_URL"):
            source = stack.enter_context(roles.throwaway_database(source))
        servers = stack.enter_context(backends.running(directory, durable=True, source=source))
        installation = Installation(
            directory=directory,
            web=stack.enter_context(ports.hold()),
            workers=int(os.environ.get("BENCH_WORKERS") or os.cpu_count() or 1),
            backends=servers,
            keys=keys.ensure(directory / "keys"),
        )
        keys.private_directory(directory / "log")
        migrate = Child(
            installation.manage("migrate", "--skip-checks", role=DatabaseRole.OWNER, name="migrate")
        )
        if migrate.wait():
            raise RuntimeError(migrate.log_tail())
        yield House(installation=installation)


def _with_bench(member: Member) -> Member:
    def command(incarnation: UUID) -> Command:
        made = member.command(incarnation)
        argv = [_MODULES.get(part, part) for part in made.argv]
        return dataclasses.replace(made, argv=argv)

    return dataclasses.replace(member, command=command)


def _ignore(line: str) -> None:
    """The bench's own lines are all that is printed."""
