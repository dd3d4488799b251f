"""A throw-away installation of the product, started and stopped as a person would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
OUTPUT = "up.out"
START_SECONDS = 240.0
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Login:
    """One member of one organization, as demo.json names it."""

    slug: str
    email: str
    password: str
    api_key: str


@dataclass(frozen=True)
class Product:
    """Where it is and who may enter."""

    directory: Path
    process_id: int
    graphql: str
    websocket: str
    url: str
    acme: Login
    globex: Login
    staff_email: str
    staff_password: str

    def processes(self) -> dict[str, int]:
        """The product's processes by name, at this moment."""
        found: dict[str, int] = json.loads((self.directory / "processes.json").read_text())
        return found


@contextmanager
def running(*, environment: Mapping[str, str], quiet: bool = False) -> Iterator[Product]:
    """`up` on free ports and a directory of its own; nothing of either is left afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="nstarx-demo-"))
    with (directory / OUTPUT).open("wb") if quiet else nullcontext() as output:
        up = subprocess.Popen(
            [
                *(sys.executable, "-m", "config.supervisor", "up"),
                *("--throwaway", "--data-dir", str(directory)),
            ],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        yield _read(directory, up.pid, _wait(up, directory))
    finally:
        up.send_signal(signal.SIGINT)
        try:
            up.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            up.kill()
            up.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _wait(up: subprocess.Popen[bytes], directory: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    file = directory / "demo.json"
    while not file.exists():
        if up.poll() is not None:
            output = directory / OUTPUT
            said = output.read_text() if output.exists() else ""
            raise SystemExit(f"The product did not start (exit code {up.returncode}). {said}")
        if time.monotonic() > deadline:
            raise SystemExit(f"The product was not ready after {START_SECONDS:.0f} s.")
        time.sleep(0.1)
    demo: dict[str, Any] = json.loads(file.read_text())
    return demo


def _read(directory: Path, process_id: int, demo: dict[str, Any]) -> Product:
    logins = {
        entry["slug"]: Login(entry["slug"], entry["email"], entry["password"], entry["apiKey"])
        for entry in demo["tenants"]
    }
    return Product(
        directory=directory,
        process_id=process_id,
        url=demo["url"],
        graphql=demo["graphql"],
        websocket=demo["websocket"],
        acme=logins["acme"],
        globex=logins["globex"],
        staff_email=demo["staff"]["email"],
        staff_password=demo["staff"]["password"],
    )
