"""Worker processes of tests: the product's own, and ones that do as a test tells them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apps.workflows.graph.document import to_json
from tests import database
from tests.executions.world import VERSIONS

SHORT = {"lease_seconds": 1.5, "beat_seconds": 0.3, "trust_seconds": 1.0}
END_SECONDS = 30


@contextmanager
def product(
    *, module: str = "config.worker", worker_id: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`dramatiq config.worker`, as the supervisor starts it; asked to stop at the end."""
    command = ["-m", "dramatiq", module, "--processes", "1", "--threads", "2", "--queues", "io"]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "NSTARX_DATABASE_ROLE": "engine",
        "DATABASE_ENGINE_URL": database.url("engine"),
        "NSTARX_WORKER_ID": worker_id or str(uuid.uuid4()),
    }
    with subprocess.Popen([sys.executable, *command], env=environment) as child:
        try:
            yield child
        finally:
            child.terminate()
            child.wait(END_SECONDS)


@contextmanager
def told(module: str, **words: Any) -> Iterator[subprocess.Popen[str]]:
    """A module's worker with short leases that knows the test's documents; it dies at the end."""
    documents = {str(key): to_json(value) for key, value in VERSIONS.documents.items()}
    given = json.dumps({"documents": documents, "settings": SHORT, **words})
    with subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "WORKER_CONNINFO": database.url("engine")},
    ) as child:
        try:
            assert child.stdin is not None
            # Not as an argument, which has a limit that the documents of many tests pass.
            child.stdin.write(f"{given}\n")
            child.stdin.flush()
            assert line(child) == "ready"
            yield child
        finally:
            child.kill()


def line(child: subprocess.Popen[str]) -> str:
    """What it says next."""
    assert child.stdout is not None
    return child.stdout.readline().strip()
