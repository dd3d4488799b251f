"""An early pytest plugin: PostgreSQL and Redis for the whole run, before any settings are read.

xdist's workers inherit the addresses. The caller's DATABASE_URL and REDIS_URL are used as they are.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from config.supervisor import backends

_stack = ExitStack()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Start what is missing and tell everybody through the environment."""
    if "PYTEST_XDIST_WORKER" in os.environ or "NSTARX_TEST_SERVICES" in os.environ:
        return
    directory = Path(_stack.enter_context(tempfile.TemporaryDirectory(prefix="nstarx-test-")))
    running = _stack.enter_context(backends.running(directory, durable=False))
    os.environ.update(running.environment())
    os.environ["NSTARX_TEST_SERVICES"] = str(os.getpid())
    os.environ["NSTARX_DATA_DIR"] = str(directory / "data")


def pytest_unconfigure() -> None:
    """Stop what this process started."""
    if os.environ.get("NSTARX_TEST_SERVICES") == str(os.getpid()):
        _stack.close()
