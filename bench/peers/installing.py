"""Peers come from the package registries, each into a directory of its own that is kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.peers.catalogue import Peer
from bench.progress import note

_LOCKS: Final = Path(__file__).parent / "locks"
_ROOT: Final = Path(__file__).parents[2]
_SECONDS: Final = 600
_MARK: Final = ".installed"


class NotInstalled(Exception):
    """The peer is left out, and why."""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """Where a peer's interpreter and npm packages are."""

    python: Path
    modules: Path | None

    def module_file(self, name: str) -> Path:
        """A file among the npm packages."""
        if self.modules is None:
            raise NotInstalled("it has no npm packages")
        return self.modules / name


def install(peer: Peer) -> Installed:
    """What is not there yet. Raises NotInstalled."""
    home = Path(os.environ.get("BENCH_PEERS", _ROOT / "var" / "peers"))
    python = Path(sys.executable)
    if peer.lock is not None:
        python = _environment(home / f"python-{peer.lock}", _LOCKS / f"{peer.lock}.txt")
    modules = None
    if peer.packages:
        modules = _packages(home, peer.packages)
    return Installed(python=python, modules=modules)


def _environment(directory: Path, lock: Path) -> Path:
    python = directory / "bin" / "python"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    mark = directory / _MARK
    if not mark.exists() or mark.read_text() != wanted:
        note(f"installing {lock.stem}")
        uv = str(Path(sys.executable).with_name("uv"))
        _run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, directory])
        _run([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock])
        mark.write_text(wanted)
    return python


def _packages(home: Path, packages: Sequence[str]) -> Path:
    wanted = " ".join(packages)
    directory = home / f"npm-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    mark = directory / _MARK
    if not mark.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise NotInstalled("npm is not on this machine")
        note(f"installing {wanted}")
        directory.mkdir(parents=True, exist_ok=True)
        flags = (
            "--ignore-scripts",
            "--legacy-peer-deps",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
        )
        _run([npm, "install", "--prefix", directory, *flags, *packages])
        mark.touch()
    return directory / "node_modules"


def _run(command: Sequence[str | Path]) -> None:
    try:
        subprocess.run(
            [str(part) for part in command], capture_output=True, timeout=_SECONDS, check=True
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()[-400:]
        raise NotInstalled(f"{command[0]} failed: {said}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from error
