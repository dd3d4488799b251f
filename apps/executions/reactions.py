"""What executions does when it has spoken itself: wake a worker once the run is durable."""

from __future__ import annotations

from functools import partial

from django.db import transaction

from apps.executions import tasks
from apps.executions.events import RunReady
from apps.kit.events import on


@on(RunReady)
def wake_worker(event: RunReady) -> None:
    """Ring after the commit; a bell that is out of order delays the run by a second."""
    transaction.on_commit(partial(tasks.ring, event.pool), robust=True)
