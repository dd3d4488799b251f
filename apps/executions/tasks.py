"""The one Dramatiq message: "look". It carries no run, so losing or doubling it changes nothing."""

from __future__ import annotations

import logging
from typing import Final

import dramatiq

from apps.executions import bell

logger = logging.getLogger(__name__)

DEFAULT_POOL: Final = "io"


@dramatiq.actor(queue_name=DEFAULT_POOL)
def wake(pool: str) -> None:
    """Let the loop of this process look for work."""
    bell.ring(pool)


def ring(pool: str) -> None:
    """Wake a process of the pool. Never raises: without the bell workers look once a second."""
    try:
        dramatiq.get_broker().enqueue(wake.message(pool).copy(queue_name=pool))
    except Exception as error:
        logger.warning("the doorbell of %s was not rung: %s", pool, error)
