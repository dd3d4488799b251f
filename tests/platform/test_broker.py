"""The doorbell: wakes who sleeps, holds no backlog, and its absence delays nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import UUID, uuid4

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

        def expect(self, run_id: UUID, pool: str) -> None:
            rings.append(f"{pool} {run_id}")

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


def tell(broker: DoorbellBroker) -> UUID:
    """Of a run; Redis has answered by then."""
    run_id = uuid4()
    broker.forewarn("io", run_id)
    for _ in range(2):  # What came in one round with the first question is answered by the second.
        broker.client.ping()
    return run_id


def test_a_run_is_told_of_before_it_is_there(broker: DoorbellBroker, heard: list[str]) -> None:
    run_id = tell(broker)
    next(consumer(broker))
    assert heard == [f"io {run_id}"]
    assert broker.was_forewarned()


def test_what_nobody_hears_is_no_backlog(broker: DoorbellBroker) -> None:
    for _ in range(3 * DOORBELL_CAP):
        tell(broker)
    # Each word takes the answers to the one before, whether anybody asked for them or not.
    assert broker.was_forewarned()
    assert waiting(broker) == DOORBELL_CAP


def test_a_word_into_a_broken_line_counts_as_unsaid(broker: DoorbellBroker) -> None:
    tell(broker)
    assert broker.was_forewarned()
    broker.client.client_kill_filter(_type="normal", skipme=True)
    tell(broker)
    assert not broker.was_forewarned()
    # and the next opens a line of its own
    tell(broker)
    assert broker.was_forewarned()


def test_without_redis_nobody_is_told() -> None:
    nowhere = DoorbellBroker(url=f"redis://127.0.0.1:{ports.any_free()}/0", middleware=[])
    nowhere.forewarn("io", uuid4())
    assert not nowhere.was_forewarned()
    nowhere.close()
