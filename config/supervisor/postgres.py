"""One PostgreSQL cluster of our own: made, started, known to be ready, stopped."""

from __future__ import annotations

import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import Final
from urllib.parse import quote

from config.supervisor import binaries, kernel, keys, ports
from config.supervisor.failure import CannotStart
from config.supervisor.processes import (
    NOBODY,
    Child,
    Command,
    must_leave_root,
    run_to_end,
)

SUPERUSER: Final = "postgres"
MINIMUM_MAJOR: Final = 15
BUILTIN_LOCALE_SINCE: Final = 17
READY_SECONDS: Final = 60.0
CHECKPOINT_SECONDS: Final = 30.0
# A killed postmaster that PID 1 has not reaped yet still owns its lock file.
LOCK_RETRIES: Final = 20
LOCKED: Final = 'lock file "postmaster.pid" already exists'


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """Where a cluster lives and how careful it is."""

    directory: Path
    port: int
    durable: bool
    max_connections: int = 200


class Cluster:
    """A PostgreSQL server as our child, on loopback, with passwords."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self._found = binaries.postgres()
        self._data = settings.directory / "data"
        self._log = settings.directory / "postgres.log"
        self._child: Child | None = None
        self.password = ""

    @property
    def superuser_url(self) -> str:
        """The login that makes the owner role; only the supervisor uses it."""
        return (
            f"postgresql://{SUPERUSER}:{quote(self.password, safe='')}"
            f"@{ports.LOOPBACK}:{self._settings.port}/postgres"
        )

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self._started().pid

    def _started(self) -> Child:
        if self._child is None:
            raise RuntimeError("PostgreSQL was not started")
        return self._child

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.exit_code() if self._child else None

    def start(self) -> None:
        """Make the cluster on first use, start it, wait until it takes connections."""
        keys.private_directory(self._settings.directory)
        self._own(self._settings.directory)
        self.password = keys.remembered(
            self._settings.directory / "superuser_password",
            fresh=secrets.token_urlsafe(24),
        )
        major = self._major()
        version_file = self._data / "PG_VERSION"
        if not version_file.exists():
            self._initialize(major)
        elif int(version_file.read_text()) != major:
            raise CannotStart(
                f"{self._data} was made by PostgreSQL {version_file.read_text().strip()}, and "
                f"{self._found.source} brings {major}: move the directory away to start afresh, "
                "or set DATABASE_URL to a server of that version."
            )
        for _ in range(LOCK_RETRIES):
            self._child = Child(self._command())
            if self._wait_until_ready():
                return
            time.sleep(0.5)
        raise CannotStart(
            f"Another PostgreSQL uses {self._data}: stop it (its process id is the first line of "
            f"{self._data / 'postmaster.pid'})."
        )

    def stop(self) -> None:
        """Disconnect everyone, write a checkpoint, end."""
        if self._child:
            self._child.stop()

    def _initialize(self, major: int) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        locale = ["--locale=C.UTF-8"]
        if major >= BUILTIN_LOCALE_SINCE:
            locale.insert(0, "--locale-provider=builtin")
        # initdb reads the password from a file it can open under its own identity.
        password_file = self._settings.directory / "initdb_password"
        password_file.touch(mode=keys.OWNER_ONLY)
        password_file.write_text(self.password)
        self._own(password_file)
        try:
            self._run(
                "initdb",
                *("-D", str(self._data), "-U", SUPERUSER, "-A", "scram-sha-256"),
                *(
                    f"--pwfile={password_file}",
                    "-E",
                    "UTF8",
                    "--no-instructions",
                    *locale,
                ),
                *(() if self._settings.durable else ("--no-sync",)),
            )
        finally:
            password_file.unlink()

    def _command(self) -> Command:
        durable = "on" if self._settings.durable else "off"
        options = {
            "listen_addresses": ports.LOOPBACK,
            "unix_socket_directories": "",
            "max_connections": str(self._settings.max_connections),
            "password_encryption": "scram-sha-256",
            "fsync": durable,
            "full_page_writes": durable,
            "synchronous_commit": durable,
            "timezone": "UTC",
            "log_line_prefix": "%m [%p] %u ",
        }
        return Command(
            name="postgres",
            argv=[
                str(self._found.path / "postgres"),
                *("-D", str(self._data), "-p", str(self._settings.port)),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ],
            log=self._log,
            stop_signal=SIGINT,
            stop_seconds=CHECKPOINT_SECONDS,
            refuses_root=True,
        )

    def _wait_until_ready(self) -> bool:
        """True when it takes connections; False when the lock file asks for another try."""
        child = self._started()
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if child.exit_code() is not None:
                tail = child.log_tail()
                if LOCKED in tail[-400:]:
                    return False
                raise CannotStart(
                    f"PostgreSQL ended while starting; {self._log} ends with:\n{tail}"
                )
            if self._says_ready():
                return True
            time.sleep(0.02)
        child.kill()
        raise CannotStart(
            f"PostgreSQL was not ready after {READY_SECONDS:.0f} s: read {self._log}, and try "
            "again when the machine is less busy."
        )

    def _says_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # The file of an earlier life says ready too: line one must be our child.
        return len(lines) > 7 and lines[7].strip() == "ready" and int(lines[0]) == self.pid

    def _major(self) -> int:
        version = self._run("postgres", "--version").split()[2]
        major = int(version.split(".")[0])
        if major < MINIMUM_MAJOR:
            raise CannotStart(
                f"{self._found.source} brings PostgreSQL {version}, older than {MINIMUM_MAJOR}: "
                f"{binaries.INSTALL}, or set DATABASE_URL to a newer server."
            )
        return major

    def _run(self, program: str, *arguments: str) -> str:
        command = Command(
            name=program,
            argv=[str(self._found.path / program), *arguments],
            refuses_root=True,
        )
        try:
            result = run_to_end(command, seconds=120)
        except PermissionError as error:
            raise CannotStart(
                f"User {NOBODY} cannot execute {self._found.path / program}, and PostgreSQL "
                "refuses to run as root: make the directories above it traversable (chmod o+x), "
                "or start as an ordinary user."
            ) from error
        if result.returncode:
            raise CannotStart(
                f"{program} failed: {(result.stderr or result.stdout).strip()[-1000:]}"
            )
        return result.stdout

    def _own(self, path: Path) -> None:
        """Where user namespaces are blocked, root gives the files to the user that runs it."""
        probe = Command(name="postgres", argv=(), refuses_root=True)
        if must_leave_root(probe) and not kernel.user_namespaces_work():
            shutil.chown(path, NOBODY, NOBODY)
