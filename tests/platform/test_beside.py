"""Management commands beside a running product."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from config.supervisor.beside import environment_of, manage
from config.supervisor.failure import CannotStart
from config.supervisor.up import PROCESSES_FILE


def test_a_command_gets_what_a_worker_was_started_with(tmp_path: Path) -> None:
    given = {**os.environ, "DATABASE_ENGINE_URL": "postgresql://engine@127.0.0.1/x?a=b"}
    with subprocess.Popen(["sleep", "60"], env=given) as worker:
        try:
            while b"DATABASE_ENGINE_URL" not in Path(f"/proc/{worker.pid}/environ").read_bytes():
                time.sleep(0.01)  # The kernel is still about to start it.
            told = {"web": 1, "worker-1": worker.pid}
            (tmp_path / PROCESSES_FILE).write_text(json.dumps(told))
            environment = environment_of(tmp_path)
        finally:
            worker.kill()
    assert environment["DATABASE_ENGINE_URL"] == given["DATABASE_ENGINE_URL"]


def test_without_a_product_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="make up"):
        manage(tmp_path, ["engine", "status"])
