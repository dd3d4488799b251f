"""The product's processes on one machine: their commands and what each may know."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from config.env import QUARANTINE_POOLS, ROOT, WORKER_POOLS, DatabaseRole
from config.supervisor import worker_rows
from config.supervisor.backends import Backends
from config.supervisor.fleet import Member
from config.supervisor.processes import Command

RQ_QUEUE: Final = "default"
WORKER_STOP_SECONDS: Final = 12.0

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One running product: where its data, its servers and its web address are."""

    directory: Path
    web: socket.socket = field(repr=False)
    """Held from the choice of its port on; each web process inherits it."""
    workers: int
    backends: Backends
    keys: Mapping[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        """Where people and programs reach it."""
        host, port = self.web.getsockname()
        return f"http://{host}:{port}"

    def environment(self, role: DatabaseRole) -> dict[str, str]:
        """What a process may know: every key, and the one database login that is its own."""
        settings = {
            "DJANGO_SETTINGS_MODULE": "config.settings.development",
            "NSTARX_DEBUG": "0",
            "NSTARX_DATA_DIR": str(self.directory),
            "NSTARX_PUBLIC_URL": self.url,
            "PYTHONUNBUFFERED": "1",
        }
        urls = self.backends.urls.environment()
        own = {
            DatabaseRole.OWNER: "DATABASE_URL",
            DatabaseRole.APP: "DATABASE_APP_URL",
            DatabaseRole.ENGINE: "DATABASE_ENGINE_URL",
        }[role]
        inherited = {name: value for name, value in os.environ.items() if name not in urls}
        return {
            **settings,
            **inherited,
            **self.keys,
            "REDIS_URL": self.backends.redis_url,
            "NSTARX_DATABASE_ROLE": role.value,
            "NSTARX_DATA_DIR": str(self.directory),
            "NSTARX_PUBLIC_URL": self.url,
            own: urls[own],
        }

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.directory / "log" / f"{name}.log"

    def manage(self, *arguments: str, role: DatabaseRole, name: str) -> Command:
        """One of Django's management commands under one login."""
        return Command(
            name=name,
            argv=[sys.executable, str(ROOT / "manage.py"), *arguments],
            environment=self.environment(role),
            log=self.log(name),
            working_directory=ROOT,
        )

    def members(self, *, report: Report) -> list[Member]:
        """Web, an engine worker per core and one for quarantine, a worker and a clock for jobs."""
        return [
            Member(name="web", command=self._web),
            *(
                self._worker(f"worker-{number}", WORKER_POOLS, report=report)
                for number in range(1, self.workers + 1)
            ),
            self._worker("quarantine", QUARANTINE_POOLS, report=report),
            # Its socket timeout is ten seconds less than this: so long a silent Redis fools it.
            self._command("jobs", "rqworker", RQ_QUEUE, "--worker-ttl", "60"),
            self._command("periodic", "periodic"),
        ]

    def _command(self, name: str, *arguments: str) -> Member:
        return Member(
            name=name,
            command=lambda incarnation: self.manage(*arguments, role=DatabaseRole.APP, name=name),
        )

    def _web(self, incarnation: UUID) -> Command:
        return Command(
            name="web",
            argv=[
                *(sys.executable, "-m", "config.web", str(self.web.fileno())),
            ],
            inherits=(self.web.fileno(),),
            environment=self.environment(DatabaseRole.APP),
            log=self.log("web"),
            working_directory=ROOT,
        )

    def _worker(self, name: str, pools: Sequence[str], *, report: Report) -> Member:
        def command(incarnation: UUID) -> Command:
            return Command(
                name=name,
                argv=[
                    *(sys.executable, "-m", "dramatiq", "config.worker"),
                    *("--processes", "1", "--threads", "2", "--queues", *pools),
                    *("--path", str(ROOT), "--worker-shutdown-timeout", "10000"),
                ],
                environment={
                    **self.environment(DatabaseRole.ENGINE),
                    "NSTARX_WORKER_ID": str(incarnation),
                    "NSTARX_WORKER_POOLS": ",".join(pools),
                },
                log=self.log(name),
                working_directory=ROOT,
                stop_seconds=WORKER_STOP_SECONDS,
            )

        def died(incarnation: UUID) -> None:
            freed = worker_rows.expire(self.backends.urls.engine, incarnation, report=report)
            worker_rows.ring(self.backends.redis_url, freed)

        return Member(name=name, command=command, died=died)
