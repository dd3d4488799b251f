"""The Dramatiq broker: a doorbell, so it blocks instead of polling and never holds a backlog."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, cast
from uuid import UUID

import dramatiq
import redis
from django.conf import settings
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from dramatiq.message import Message
from dramatiq.middleware import Middleware

from config.env import REDIS_TIMEOUTS

logger = logging.getLogger(__name__)

# A ring only says "look": a few of them wake every idle process, more would be a backlog of looks.
# PostgreSQL holds the work.
DOORBELL_CAP: Final = 4
BUSY_LOOK_SECONDS: Final = 0.05
BUSTLE_SECONDS: Final = 0.005
WAKE: Final = "wake"
LOOK: Final = b"1"
"""Says: look once. Any other word is a run that is about to be written."""


def _always_room(_queue: str) -> bool:
    return True


class DoorbellConsumer(dramatiq.Consumer):
    """Blocks on the bell of its queue; an idle process wakes in about a millisecond.

    What has been heard is done here, on this thread: it says "look", and to look is the engine's.
    Dramatiq's own threads get nothing to do.
    """

    def __init__(self, broker: DoorbellBroker, queue_name: str, timeout: int) -> None:
        self._broker = broker
        self._queue_name = queue_name
        self._seconds = timeout / 1000
        self._heard_at = 0.0

    def __next__(self) -> None:
        if not self._broker.has_room(self._queue_name):
            # Somebody with free slots shall hear the bell.
            time.sleep(BUSY_LOOK_SECONDS)
            return
        pause = self._heard_at + BUSTLE_SECONDS - time.monotonic()
        if pause > 0:
            # Many rings in a row are one: each look finds all that is there.
            time.sleep(pause)
        try:
            rung = self._broker.client.blpop(
                [self._broker.bell_of(self._queue_name)], self._seconds
            )
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        if not rung:
            return
        _, word = cast(tuple[bytes, bytes], rung)
        if word == LOOK:
            self._heard_at = time.monotonic()
            self._broker.get_actor(WAKE).fn(self._queue_name)
        else:
            self._broker.get_actor(WAKE).fn(self._queue_name, expected=word.decode())


class Herald:
    """Says into a bell that a run is about to be written, and hears later whether Redis took it."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool = pool
        self._line: Any = None  # Half of a connection's methods have no types.
        self._owed = 0

    def tell(self, bell: str, word: str) -> None:
        """Sent on return, no more. Raises redis.RedisError."""
        if self._owed:
            self.was_heard()  # Its run was refused, so nobody asked.
        if self._line is None:
            fresh: Any = self._pool.make_connection()
            fresh.connect()
            self._line = fresh
        line = self._line
        said = [("LPUSH", bell, word), ("LTRIM", bell, 0, DOORBELL_CAP - 1)]
        try:
            line.send_packed_command(line.pack_commands(said), check_health=False)
        except redis.RedisError:
            self.hang_up()
            raise
        self._owed = len(said)

    def was_heard(self) -> bool:
        """Whether Redis has answered; it is not waited for."""
        line = self._line
        if line is None:
            return False
        try:
            if line.can_read(0):
                while self._owed:
                    line.read_response()
                    self._owed -= 1
                return True
        except redis.RedisError as error:
            logger.warning("a run was not announced: %s", error)
        self.hang_up()
        return False

    def hang_up(self) -> None:
        """The next word opens a line of its own."""
        if self._line is not None:
            self._line.disconnect()
        self._line, self._owed = None, 0


class DoorbellBroker(RedisBroker):
    """A Redis broker whose queues are bells: a few rings at most, and their loss loses nothing."""

    def __init__(self, *, url: str, middleware: list[Middleware]) -> None:
        timeouts: dict[str, Any] = dict(REDIS_TIMEOUTS)
        client = redis.Redis.from_url(url, **timeouts)
        super().__init__(client=client, middleware=middleware)  # type: ignore[no-untyped-call]
        # The engine loop replaces this with a question about its free slots.
        self.has_room: Callable[[str], bool] = _always_room
        self._herald = Herald(client.connection_pool)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> DoorbellConsumer:
        """The consumer that blocks."""
        return DoorbellConsumer(self, queue_name, timeout)

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
        """Ring; a Redis that is gone costs a second, not work."""
        bell = self.bell_of(message.queue_name)
        try:
            if cast(int, self.client.lpush(bell, LOOK)) > DOORBELL_CAP:
                self.client.ltrim(bell, 0, DOORBELL_CAP - 1)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            logger.warning("doorbell unreachable, workers will look by themselves: %s", error)
        return message

    def forewarn(self, queue_name: str, run_id: UUID) -> None:
        """Wake a process for a run that is about to be written; never waits, never raises."""
        try:
            self._herald.tell(self.bell_of(queue_name), run_id.hex)
        except redis.RedisError as error:
            logger.warning("a run was not announced: %s", error)

    def was_forewarned(self) -> bool:
        """Whether what was said last has been taken."""
        return self._herald.was_heard()

    def close(self) -> None:
        """Hang up."""
        self._herald.hang_up()
        super().close()


def install_broker() -> None:
    """Make it the global broker; must run before any actor is imported."""
    dramatiq.set_broker(
        DoorbellBroker(
            url=settings.REDIS_BROKER_URL,
            middleware=[],  # Nothing is stored, so nothing ages or is tried again.
        )
    )
