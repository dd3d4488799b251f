"""The Dramatiq broker: a doorbell, so it blocks instead of polling and never holds a backlog."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, cast

import dramatiq
import redis
from django.conf import settings
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from dramatiq.message import Message
from dramatiq.middleware import AgeLimit, Middleware, Retries

from apps.executions import bell as doorbell
from config.env import REDIS_TIMEOUTS

logger = logging.getLogger(__name__)

# A message only says "look": a few of them wake every idle process, more would be a backlog of
# looks. PostgreSQL holds the work.
DOORBELL_CAP: Final = 4
BUSY_LOOK_SECONDS: Final = 0.05
BUSTLE_SECONDS: Final = 0.005
STALE_MILLISECONDS: Final = 60_000


def _always_room(_queue: str) -> bool:
    return True


class DoorbellConsumer(_RedisConsumer):
    """Blocks on the bell of its queue; an idle process wakes in about two milliseconds."""

    broker: DoorbellBroker
    _heard_at = 0.0

    def __next__(self) -> Any:
        if not self.message_cache and not self.broker.has_room(self.queue_name):
            # Somebody with free slots shall hear the bell.
            time.sleep(BUSY_LOOK_SECONDS)
            return None
        try:
            if not self._fetch():
                self._listen()
                if not self._fetch():
                    return None
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        return super().__next__()  # type: ignore[no-untyped-call]

    def _listen(self) -> None:
        """Until the bell rings. Many rings in a row are one: each look finds all that is there."""
        pause = self._heard_at + BUSTLE_SECONDS - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        bell = self.broker.bell_of(self.queue_name)
        if self.broker.bell.blpop([bell], self.timeout / 1000):
            self._heard_at = time.monotonic()
            doorbell.hear(self.queue_name)

    def _fetch(self) -> bool:
        """Whether a message is at hand, looking into the queue when none is."""
        if not self.message_cache:
            room = self.prefetch - self.outstanding_message_count
            if room <= 0:
                return False
            self.message_cache = self.broker.do_fetch(self.queue_name, room)
        return bool(self.message_cache)


class DoorbellBroker(RedisBroker):
    """A Redis broker whose queues hold at most a few messages and whose loss loses nothing."""

    def __init__(self, *, url: str, middleware: list[Middleware]) -> None:
        timeouts: dict[str, Any] = dict(REDIS_TIMEOUTS)
        client = redis.Redis.from_url(url, **timeouts)
        super().__init__(client=client, middleware=middleware)  # type: ignore[no-untyped-call]
        self.bell = redis.Redis.from_url(url, **timeouts)
        self._waiting: dict[str, int] = {}
        # The engine loop replaces this with a question about its free slots.
        self.has_room: Callable[[str], bool] = _always_room

    @property
    def consumer_class(self) -> type[DoorbellConsumer]:
        """The consumer that blocks."""
        return DoorbellConsumer

    def declare_queue(self, queue_name: str) -> None:
        """Without the queue for delayed messages: there are none, and it would have a consumer."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def bell_of(self, queue_name: str) -> str:
        """The Redis list that wakes the consumers of one queue."""
        return f"{self.namespace}:bell:{queue_name}"

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Ring, unless enough rings wait already; a Redis that is gone costs a second, not work."""
        queue = message.queue_name
        try:
            if delay is None and self._is_full(queue):
                return message
            sent = super().enqueue(message, delay=delay)
            pipeline = self.bell.pipeline(transaction=False)
            pipeline.lpush(self.bell_of(queue), 1)
            pipeline.ltrim(self.bell_of(queue), 0, DOORBELL_CAP - 1)
            pipeline.llen(f"{self.namespace}:{queue}")
            self._waiting[queue] = pipeline.execute()[-1]
        except (redis.ConnectionError, redis.TimeoutError) as error:
            logger.warning("doorbell unreachable, workers will look by themselves: %s", error)
            return message
        return sent

    def _is_full(self, queue: str) -> bool:
        """Whether enough messages wait; asked only where there were that many the last time."""
        if self._waiting.get(queue, DOORBELL_CAP) >= DOORBELL_CAP:
            self._waiting[queue] = cast(int, self.bell.llen(f"{self.namespace}:{queue}"))
        return self._waiting[queue] >= DOORBELL_CAP


def install_broker() -> None:
    """Make it the global broker; must run before any actor is imported."""
    dramatiq.set_broker(
        DoorbellBroker(
            url=settings.REDIS_BROKER_URL,
            middleware=[
                AgeLimit(max_age=STALE_MILLISECONDS),
                # Nothing is retried: a lost wake-up is found by the next look.
                Retries(max_retries=0),
            ],
        )
    )
