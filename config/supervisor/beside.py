"""A management command beside a running product, with the login of its workers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from config.env import ROOT
from config.supervisor.failure import CannotStart
from config.supervisor.up import PROCESSES_FILE


def manage(directory: Path, arguments: Sequence[str]) -> int:
    """`manage.py` with these arguments, as a worker of the product on this directory."""
    program = [sys.executable, str(ROOT / "manage.py"), *arguments]
    environment = environment_of(directory)
    return subprocess.run(program, cwd=ROOT, env=environment, check=False).returncode


def environment_of(directory: Path) -> dict[str, str]:
    """What a worker of the running product was started with; only its owner may read that."""
    try:
        processes = json.loads((directory / PROCESSES_FILE).read_text())
        worker = next(pid for name, pid in processes.items() if name.startswith("worker-"))
        told = Path(f"/proc/{worker}/environ").read_bytes().decode()
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        raise CannotStart(
            f"No product runs on {directory}: start it with `make up`, or name its directory with "
            "--data-dir. Elsewhere set DATABASE_ENGINE_URL and NSTARX_DATABASE_ROLE=engine, and "
            "call manage.py itself."
        ) from None
    except PermissionError:
        raise CannotStart(
            f"The product on {directory} is another user's: ask as that one."
        ) from None
    return dict(one.split("=", 1) for one in told.split("\0") if "=" in one)
