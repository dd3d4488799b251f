"""A peer at work: its program in its own environment, its own database, asked line by line."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from bench.peers.catalogue import Peer
from bench.peers.installing import Installed
from bench.peers.processes import end
from config.supervisor import ports

_ROOT: Final = Path(__file__).parents[2]
_READY_SECONDS: Final = 300.0
_CASE_SECONDS: Final = 180.0
_LEAVING_SECONDS: Final = 30.0
_TAIL: Final = 600
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR")
"""Of our environment; the rest, our logins among it, is none of a peer's business."""


class PeerFailed(Exception):
    """It did not start, or could not do what it was asked."""


class Host:
    """Talks to one program."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._rest = b""
        told = self._answer(_READY_SECONDS)
        self.version: str = told["version"]
        self.cases: tuple[str, ...] = tuple(told["cases"])

    def ask(self, case: str, *, runs: int) -> float:
        """Seconds. Raises PeerFailed."""
        if self._process.stdin is None:
            raise PeerFailed("it hung up")
        self._process.stdin.write(json.dumps({"case": case, "runs": runs}).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answer(_CASE_SECONDS)
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return float(answer["seconds"])

    def _answer(self, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        stdout = self._process.stdout
        if stdout is None:
            raise PeerFailed("it hung up")
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise PeerFailed(f"no answer within {seconds:g} s")
                read = os.read(stdout.fileno(), 65_536)
                if not read:
                    said = self._log.read_text(errors="replace")[-_TAIL:]
                    raise PeerFailed(f"it ended: {said}")
                self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def hosted(peer: Peer, installed: Installed, *, owner_url: str) -> Iterator[Host]:
    """The peer from its start to its end; nothing of it remains but what was installed."""
    with (
        tempfile.TemporaryDirectory(
            prefix=f"nstarx-peer-{peer.key}-",
            dir=os.environ.get("BENCH_DATA"),
            ignore_cleanup_errors=True,
        ) as home,
        _database(owner_url, f"peer_{peer.key.replace('-', '_')}") as database,
    ):
        variables = _variables(peer, installed, home=home, database=database)
        command = [str(installed.python), "-m", peer.program]
        with program(command, env=variables, log=Path(home) / "log") as host:
            yield host


@contextmanager
def program(command: Sequence[str], *, env: Mapping[str, str], log: Path) -> Iterator[Host]:
    """One that speaks the protocol, from its first word until it has ended."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            start_new_session=True,
        )
    with process:
        try:
            yield Host(process, log)
        finally:
            if process.stdin is not None:
                process.stdin.close()  # it reads the end and ends what it started
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_LEAVING_SECONDS)
            end(process)


def _variables(peer: Peer, installed: Installed, *, home: str, database: str) -> dict[str, str]:
    chosen = [str(ports.any_free()) for _ in range(peer.ports)]
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    variables = {
        **kept,
        **peer.settings,
        "PEER_HOME": home,
        "PEER_DATABASE": database,
        "PEER_PORT": chosen[0],
        "PEER_PORTS": " ".join(chosen),
        "PEER_VERSION": ", ".join(name.rpartition("@")[2] for name in peer.packages[-1:]),
    }
    if peer.server is not None:
        variables["PEER_SERVER"] = str(installed.module_file(peer.server))
    if peer.interpreter is not None:
        variables["PEER_NODE"] = str(installed.module_file(peer.interpreter))
    return variables


@contextmanager
def _database(owner_url: str, name: str) -> Iterator[str]:
    """An empty database on the same server; its address."""
    identifier = sql.Identifier(name)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        try:
            yield urlunsplit(urlsplit(owner_url)._replace(path=f"/{name}", query=""))
        finally:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier)
            )
