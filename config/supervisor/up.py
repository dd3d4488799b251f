"""The product on one machine, from nothing to a printed address, and back to nothing."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from config.env import DatabaseRole
from config.supervisor import backends, kernel, keys, ports, roles
from config.supervisor.failure import CannotStart
from config.supervisor.fleet import LOOK_SECONDS, Fleet, StopRequest, kill_strangers
from config.supervisor.layout import Installation
from config.supervisor.prepared import Preparation
from config.supervisor.processes import Child, Command

WEB_PORT: Final = 8000
MIGRATE_SECONDS: Final = 600.0
SEED_SECONDS: Final = 300.0
WEB_SECONDS: Final = 120.0
Work = Callable[[], int]

DEMO_FILE: Final = "demo.json"
PROCESSES_FILE: Final = "processes.json"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the caller asked for; without a directory a throw-away start makes and removes one."""

    directory: Path | None
    throwaway: bool
    web_port: int | None
    workers: int


def run(wish: Wish) -> int:
    """Start everything, watch it until asked to stop, stop everything."""
    since = time.monotonic()
    stop = StopRequest()
    kernel.adopt_orphans()
    with ExitStack() as stack:
        directory = stack.enter_context(_data_directory(wish))
        stack.enter_context(_alone(directory))
        source: Mapping[str, str] = os.environ
        if wish.throwaway and source.get("DATABASE_URL"):
            source = stack.enter_context(roles.throwaway_database(source))
        servers = stack.enter_context(
            backends.running(directory, durable=not wish.throwaway, report=say, source=source)
        )
        installation = Installation(
            directory=directory,
            web=stack.enter_context(_web(wish)),
            workers=wish.workers,
            backends=servers,
            keys=keys.ensure(directory / "keys"),
        )
        keys.private_directory(directory / "log")
        fleet = Fleet(installation.members(report=say), report=say)
        stack.callback(_forget, directory)
        stack.callback(fleet.stop)
        try:
            _prepare(installation, wish=wish, stop=stop)
            fleet.start()
            _await_web(installation, fleet=fleet, stop=stop)
            _announce(installation, fleet=fleet, seconds=time.monotonic() - since)
            _watch(installation, fleet=fleet, stop=stop)
        except _Asked:
            pass
        say("Stopping …")
    say("Stopped.")
    return 0


def say(line: str) -> None:
    """One progress line."""
    print(line, flush=True)


class _Asked(Exception):
    """Ctrl-C came while we were still starting."""


@contextmanager
def _data_directory(wish: Wish) -> Iterator[Path]:
    if wish.directory:
        wish.directory.mkdir(parents=True, exist_ok=True)
        yield wish.directory.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="nstarx-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two products in one directory would share files that have one owner."""
    with (directory / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotStart(
                f"The product already runs on {directory}: stop it first (Ctrl-C where it was "
                "started), or set NSTARX_DATA_DIR to another directory."
            ) from error
        _forget(directory)
        yield


def _forget(directory: Path) -> None:
    """Remove what says that a product is running."""
    for name in (DEMO_FILE, PROCESSES_FILE):
        (directory / name).unlink(missing_ok=True)


def _web(wish: Wish) -> socket.socket:
    if wish.web_port:
        return ports.demand(wish.web_port, what="the web", variable="NSTARX_WEB_PORT")
    return ports.hold(0 if wish.throwaway else WEB_PORT)


def _prepare(installation: Installation, *, wish: Wish, stop: StopRequest) -> None:
    preparation = None
    if installation.backends.cluster:
        preparation = Preparation(installation.directory / "postgres")
        if preparation.holds() and _credentials(installation).exists():
            say("Migrations and sample data: as prepared earlier today")
            return
    _step(
        installation.manage(
            "migrate", "--no-input", "--skip-checks", role=DatabaseRole.OWNER, name="migrate"
        ),
        what="Migrations",
        seconds=MIGRATE_SECONDS,
        stop=stop,
    )
    _step(
        installation.manage(
            *("seed_demo", str(_credentials(installation))),
            # The demo fills the shelf itself: that is its job.
            *(() if wish.throwaway else ("--shelf",)),
            role=DatabaseRole.APP,
            name="seed",
        ),
        what="Two organizations with members, keys and sample workflows",
        seconds=SEED_SECONDS,
        stop=stop,
    )
    if preparation:
        preparation.note()


def _credentials(installation: Installation) -> Path:
    return installation.directory / "keys" / "demo_logins.json"


def _step(command: Command, *, what: str, seconds: float, stop: StopRequest) -> None:
    """Run one command to its end, with a line about it; its failure shows the end of its log."""
    since = time.monotonic()
    child = Child(command)
    while child.exit_code() is None:
        if stop.asked:
            child.stop()
            raise _Asked
        if time.monotonic() - since > seconds:
            child.kill()
            raise CannotStart(f"{what}: not done after {seconds:.0f} s; its log: {command.log}")
        stop.sleep(1.0)
    if child.exit_code():
        raise CannotStart(f"{what}: failed; {command.log} ends with:\n{child.log_tail()}")
    say(f"{what} ({time.monotonic() - since:.1f} s)")


def _await_web(installation: Installation, *, fleet: Fleet, stop: StopRequest) -> None:
    deadline = time.monotonic() + WEB_SECONDS
    while not _answers(f"{installation.url}/readyz"):
        if stop.asked:
            raise _Asked
        if "web" in fleet.ended():
            raise CannotStart(
                f"The web ended while starting; {installation.log('web')} ends with:\n"
                f"{fleet.log_tail('web')}"
            )
        if time.monotonic() > deadline:
            raise CannotStart(
                f"The web did not get ready in {WEB_SECONDS:.0f} s: read {installation.log('web')}."
            )
        stop.sleep(0.2)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError, urllib.error.URLError), opener.open(url, timeout=5) as response:
        return bool(response.status == 200)
    return False


def _announce(installation: Installation, *, fleet: Fleet, seconds: float) -> None:
    logins: dict[str, Any] = json.loads(_credentials(installation).read_text())
    demo = {
        "url": installation.url,
        "graphql": f"{installation.url}/graphql",
        "websocket": f"{installation.url.replace('http', 'ws', 1)}/graphql",
        **logins,
    }
    _note_processes(installation, fleet)
    keys.write_private(installation.directory / DEMO_FILE, json.dumps(demo, indent=2) + "\n")
    tenant = logins["tenants"][0]
    say("")
    say(f"  {installation.url}   (ready in {seconds:.1f} s; Ctrl-C stops everything)")
    say(f"  Login    {tenant['email']}   password {tenant['password']}")
    say(f"  API key  {tenant['apiKey']}   for {installation.url}/graphql")
    say(f"  Staff    {logins['staff']['email']}   password {logins['staff']['password']}")
    say(f"  All logins: {installation.directory / DEMO_FILE}")
    say(f"  Logs:       {installation.directory / 'log'}")
    say("")


def _note_processes(installation: Installation, fleet: Fleet) -> None:
    keys.write_private(
        installation.directory / PROCESSES_FILE,
        json.dumps({**_server_processes(installation), **fleet.processes()}) + "\n",
    )


def _server_processes(installation: Installation) -> dict[str, int]:
    servers = installation.backends
    found = {"postgres": servers.cluster, "redis": servers.redis}
    return {name: server.pid for name, server in found.items() if server}


def _watch(installation: Installation, *, fleet: Fleet, stop: StopRequest) -> None:
    servers = installation.backends
    while not stop.sleep(LOOK_SECONDS):
        changed = servers.revive(report=say)
        if fleet.look() or changed:
            _note_processes(installation, fleet)
        kill_strangers([*_server_processes(installation).values(), *fleet.processes().values()])
