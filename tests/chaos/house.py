"""Servers of our own for the long runs: durable, on a directory that goes with the process."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from django.db import connection

from config.supervisor import backends
from config.supervisor.backends import Backends
from config.supervisor.failure import CannotStart


def build() -> Backends:
    """PostgreSQL and Redis until this process ends, however it ends; told by the environment."""
    stack = ExitStack()
    atexit.register(stack.close)
    signal.signal(signal.SIGTERM, _leave)
    made = tempfile.TemporaryDirectory(prefix="nstarx-chaos-", ignore_cleanup_errors=True)
    directory = Path(stack.enter_context(made))
    servers = stack.enter_context(backends.running(directory, durable=True))
    os.environ.update(servers.environment())
    os.environ["NSTARX_DATA_DIR"] = str(directory / "data")
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"
    return servers


def everything(servers: Backends) -> str:
    """The login that row security does not bind, for counting across tenants."""
    if servers.cluster is None:
        raise CannotStart("Unset DATABASE_URL: storms need a PostgreSQL that they may restart.")
    return f"{servers.cluster.superuser_url.rpartition('/')[0]}/{connection.settings_dict['NAME']}"


def _leave(number: int, frame: object) -> NoReturn:
    """As an interrupt does: by way of everything that must be undone."""
    sys.exit(128 + number)
