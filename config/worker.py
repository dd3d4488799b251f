"""The module a Dramatiq worker process loads: Django, the actors, the engine's loop."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import Any, Final

import django
import dramatiq
from dramatiq.middleware import Middleware

from config.supervisor import kernel

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.development")
os.environ.setdefault("NSTARX_DATABASE_ROLE", "engine")
django.setup()

from django.conf import settings  # noqa: E402

from apps.executions import process as engine  # noqa: E402
from apps.executions import tasks  # noqa: E402 - after setup; registers the actors

DRAIN_SECONDS: Final = 8.0
SWITCH_SECONDS: Final = 0.0005


class EngineInWorker(Middleware):
    """Starts the engine's loop beside the Dramatiq threads and drains it before they end."""

    def after_worker_boot(self, broker: dramatiq.Broker, worker: Any) -> None:
        """The process is ready: claim."""
        # What is loaded by now stays: no collection shall look at it again.
        gc.collect()
        gc.freeze()
        engine.start(
            settings.ENV.worker_pools,
            settings.ENV.worker_id,
            ring=tasks.ring,
            labels=settings.ENV.worker_labels,
        )

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        """Finish or give back what is claimed."""
        engine.drain(DRAIN_SECONDS)


# A step that comes back from the database waits so long, at most, for a thread that computes.
sys.setswitchinterval(SWITCH_SECONDS)
for _pool in settings.ENV.worker_pools:
    dramatiq.get_broker().declare_queue(_pool)
# This process is a fork of Dramatiq's master: without it nobody would restart or stop us.
kernel.die_with_parent(signal.SIGKILL, parent=os.getppid())
dramatiq.get_broker().add_middleware(EngineInWorker())
