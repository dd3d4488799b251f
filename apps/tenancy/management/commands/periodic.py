"""`manage.py periodic`: ticks once a second; as many of these may run as wished."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import structlog
from django.core.management.base import BaseCommand
from django.db import OperationalError, close_old_connections
from redis.exceptions import RedisError

from apps.tenancy.periodic import tick

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    """Starts the platform's periodic jobs when they are due."""

    help = "Start the platform's periodic jobs when they are due, until SIGTERM."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Tick until told to stop; a database or Redis that is away is waited for."""
        stopped = threading.Event()

        def stop(_signal: int, _frame: FrameType | None) -> None:
            stopped.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        while not stopped.wait(1.0):
            try:
                tick()
            except (OperationalError, RedisError) as error:
                log.warning("periodic.waiting", reason=type(error).__name__)
                stopped.wait(2.0)
            finally:
                close_old_connections()
