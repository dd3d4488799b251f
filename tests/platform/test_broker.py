"""The doorbell: wakes who sleeps, holds no backlog, and its absence delays nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import dramatiq
import pytest
import redis
from django.conf import settings

from apps.executions import bell, tasks
from config.broker import DOORBELL_CAP, DoorbellBroker, DoorbellConsumer, install_broker
from config.supervisor import ports

DATABASE = 9  # nobody else's


@pytest.fixture
def broker() -> Iterator[DoorbellBroker]:
    url = urlsplit(settings.REDIS_URL)._replace(path=f"/{DATABASE}").geturl()
    made = DoorbellBroker(url=url, middleware=[])
    made.namespace = f"test-{threading.get_native_id()}"
    made.declare_queue("io")
    made.declare_actor(tasks.wake)
    yield made
    for key in made.client.scan_iter(f"{made.namespace}*"):
        made.client.delete(key)
    made.close()


def ring(broker: DoorbellBroker, *, times: int = 1) -> None:
    for _ in range(times):
        broker.enqueue(
            dramatiq.Message(
                queue_name="io", actor_name="wake", args=("io",), kwargs={}, options={}
            )
        )


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What reaches the loop of this process."""
    rings: list[str] = []

    class Loop:
        def ring(self, pool: str) -> None:
            rings.append(pool)

    bell.install("io", Loop())
    yield rings
    bell.install("io", None)


def consumer(broker: DoorbellBroker, *, timeout: int = 100) -> DoorbellConsumer:
    return broker.consume("io", prefetch=4, timeout=timeout)


def waiting(broker: DoorbellBroker) -> int:
    return int(str(broker.client.llen(broker.bell_of("io"))))


def test_a_ring_wakes_a_consumer_that_sleeps(broker: DoorbellBroker, heard: list[str]) -> None:
    # given a consumer that would sleep for a long while
    sleeper = threading.Thread(target=lambda: next(consumer(broker, timeout=60_000)))
    sleeper.start()

    ring(broker)

    sleeper.join(30)
    assert heard == ["io"]


def test_nobody_waits_for_delayed_messages(broker: DoorbellBroker) -> None:
    worker = dramatiq.Worker(broker, worker_threads=1)
    worker.start()
    try:
        assert set(worker.consumers) == {"io"}
    finally:
        worker.stop()


def test_many_rings_are_a_few(broker: DoorbellBroker) -> None:
    ring(broker, times=100)

    assert waiting(broker) == DOORBELL_CAP


def test_a_drained_bell_rings_again(broker: DoorbellBroker, heard: list[str]) -> None:
    ring(broker, times=10)
    ears = consumer(broker)
    while waiting(broker):
        next(ears)
    heard.clear()

    ring(broker)
    next(ears)

    assert heard == ["io"]


def test_a_process_without_room_leaves_the_bell_to_others(
    broker: DoorbellBroker, heard: list[str]
) -> None:
    ring(broker)
    broker.has_room = lambda _queue: False
    next(consumer(broker))
    assert (waiting(broker), heard) == (1, [])

    broker.has_room = lambda _queue: True
    next(consumer(broker))
    assert (waiting(broker), heard) == (0, ["io"])


def test_silence_tells_nobody(broker: DoorbellBroker, heard: list[str]) -> None:
    next(consumer(broker))

    assert heard == []


def test_a_redis_that_is_gone_does_not_fail_who_rings() -> None:
    nowhere = DoorbellBroker(url=f"redis://127.0.0.1:{ports.any_free()}/0", middleware=[])

    ring(nowhere)  # raises nothing

    with pytest.raises(dramatiq.errors.ConnectionClosed):
        next(consumer(nowhere))
    with pytest.raises(redis.ConnectionError):
        nowhere.client.ping()


def test_the_global_broker_is_the_doorbell() -> None:
    install_broker()

    assert isinstance(dramatiq.get_broker(), DoorbellBroker)
