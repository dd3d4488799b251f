"""What this machine has of what the product needs, one line each, and what to do about the rest."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.executions import sandbox
from apps.executions.runner.process import battery, confinement
from config.env import ROOT
from config.supervisor import binaries, kernel, ports, roles, up
from config.supervisor.failure import CannotStart

FREE_BYTES_WANTED: Final = 2 * 1024**3
PACKAGES: Final = {
    "django": "the product",
    "polars": "tables (extra data)",
    "duckdb": "SQL nodes (extra data)",
    "scikit-learn": "model nodes (extra ml)",
    "onnxruntime": "ONNX nodes (extra ml)",
    "pytest": "tests (developers)",
}


@dataclass(frozen=True)
class Finding:
    """One thing looked for; `blocks` when the product cannot start without it."""

    what: str
    answer: str
    good: bool
    blocks: bool = False


def run() -> int:
    """Print every finding; exit code 1 when something the product needs is missing."""
    findings = [*_machine(), *_servers(), *_sandbox(), *_packages(), *_ports()]
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark = "ok" if finding.good else "MISSING" if finding.blocks else "note"
        print(f"  {mark:<8} {finding.what:<{width}}  {finding.answer}")
    blocked = [finding.what for finding in findings if finding.blocks and not finding.good]
    print()
    print(f"Missing: {', '.join(blocked)}." if blocked else "Everything `make up` needs is here.")
    return 1 if blocked else 0


def _machine() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding(
        "Python", f"{version} ({sys.executable})", sys.version_info >= (3, 11), blocks=True
    )
    system = f"{platform.system()} {platform.machine()}"
    known = platform.system() == "Linux" and platform.machine() in {"x86_64", "aarch64"}
    yield Finding(
        "System", system if known else f"{system}: made for Linux x86_64 or aarch64", known
    )
    yield Finding("Cores", f"{os.cpu_count()}: as many engine workers", good=True)
    data = Path(os.environ.get("NSTARX_DATA_DIR") or ROOT / "var")
    nearest = next(path for path in (data, *data.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    yield Finding(
        "Data directory",
        f"{data}: {free / 1024**3:.1f} GB free"
        + ("" if os.access(nearest, os.W_OK) else ", NOT WRITABLE: set NSTARX_DATA_DIR"),
        free >= FREE_BYTES_WANTED and os.access(nearest, os.W_OK),
        blocks=not os.access(nearest, os.W_OK),
    )


def _servers() -> Iterator[Finding]:
    url = os.environ.get("DATABASE_URL")
    if url:
        yield _external_database(url)
    else:
        found = binaries.find_postgres()
        answer = f"{_version(found.path / 'postgres')} from {found.source}" if found else ""
        yield Finding("PostgreSQL", answer or binaries.INSTALL, bool(found), blocks=True)
    if os.environ.get("REDIS_URL"):
        yield Finding("Redis", "the server REDIS_URL names", good=True)
    else:
        server = binaries.find_redis()
        answer = f"{_version(server.path)} from {server.source}" if server else ""
        yield Finding("Redis", answer or binaries.INSTALL, bool(server), blocks=True)


def _external_database(url: str) -> Finding:
    try:
        with roles.connect(url) as connection:
            version = connection.info.server_version
            login = connection.info.user
    except CannotStart as error:
        return Finding("PostgreSQL", str(error), good=False, blocks=True)
    return Finding(
        "PostgreSQL",
        f"{version // 10_000}.{version % 10_000} at DATABASE_URL as {login}",
        version >= roles.MINIMUM_SERVER,
        blocks=True,
    )


def _version(program: Path) -> str:
    try:
        result = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except OSError as error:
        return f"{program} does not start: {error.strerror}"
    words = [word.removeprefix("v=") for word in result.stdout.split()]
    version = next((word for word in words if word[:1].isdecimal()), "unknown version")
    # Valkey is a Redis by another name; who reads this wants to know which of the two it is.
    return f"Valkey {version}" if words[:1] == ["Valkey"] else version


def _sandbox() -> Iterator[Finding]:
    namespaces = kernel.user_namespaces_work()
    yield Finding(
        "User namespaces",
        "work"
        if namespaces
        else "blocked: as root, PostgreSQL runs as user 65534 instead, and sandboxes are weaker",
        namespaces,
    )
    bubblewrap = shutil.which("bwrap")
    yield Finding(
        "bubblewrap",
        bubblewrap or "not installed: `apt-get install bubblewrap` adds a wall around sandboxes",
        bool(bubblewrap),
    )
    for what, report in (
        ("Sandbox of expressions", sandbox.detect()),
        ("Sandbox of step processes", confinement.detect()),
    ):
        yield Finding(what, f"{report.tier}: {report.reason}", good=True)
    try:
        problem = battery.verdict()
    except battery.UndecidedError as error:
        problem = str(error)
    yield Finding(
        "Sandbox of whole steps",
        "holds: Landlock, system calls filtered" if problem is None else f"refused: {problem}",
        good=problem is None,
    )
    monty = _installed("pydantic-monty")
    yield Finding(
        "Expressions", f"pydantic-monty {monty}" if monty else "run `make bootstrap`", bool(monty)
    )


def _packages() -> Iterator[Finding]:
    for name, purpose in PACKAGES.items():
        version = _installed(name)
        yield Finding(
            name, f"{version}: {purpose}" if version else f"absent: {purpose}", bool(version)
        )


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _ports() -> Iterator[Finding]:
    free = ports.is_free(up.WEB_PORT)
    answer = "free" if free else f"busy: `make up` takes {ports.choose(up.WEB_PORT)}"
    yield Finding(f"Port {up.WEB_PORT}", answer, good=True)
