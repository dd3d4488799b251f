"""The doorbell: wakes who sleeps, holds no backlog, and its absence delays nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import dramatiq
import pytest
import redis
from django.conf import settings

from apps.executions import bell
from config.broker import DOORBELL_CAP, DoorbellBroker, DoorbellConsumer, install_broker
from config.supervisor import ports

DATABASE = 9  # nobody else's


@pytest.fixture
def broker() -> Iterator[DoorbellBroker]:
    url = urlsplit(settings.REDIS_URL)._replace(path=f"/{DATABASE}").geturl()
    made = DoorbellBroker(url=url, middleware=[])
    made.namespace = f"test-{threading.get_native_id()}"
    made.declare_queue("io")
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


def consumer(broker: DoorbellBroker, *, timeout: int = 100) -> DoorbellConsumer:
    made = broker.consume("io", prefetch=4, timeout=timeout)
    assert isinstance(made, DoorbellConsumer)
    return made


def waiting(broker: DoorbellBroker) -> int:
    return int(str(broker.client.llen(f"{broker.namespace}:io")))


def test_a_ring_wakes_a_consumer_that_sleeps(broker: DoorbellBroker) -> None:
    # given a consumer that would sleep for a long while
    heard: list[object] = []
    sleeper = threading.Thread(target=lambda: heard.append(next(consumer(broker, timeout=60_000))))
    sleeper.start()

    ring(broker)

    sleeper.join(30)
    assert [
        message.actor_name for message in heard if isinstance(message, dramatiq.MessageProxy)
    ] == ["wake"]


def test_nobody_waits_for_delayed_messages(broker: DoorbellBroker) -> None:
    worker = dramatiq.Worker(broker, worker_threads=1)
    worker.start()
    try:
        assert set(worker.consumers) == {"io"}
    finally:
        worker.stop()


def test_many_rings_are_few_messages(broker: DoorbellBroker) -> None:
    ring(broker, times=100)

    assert waiting(broker) == DOORBELL_CAP
    assert broker.client.llen(broker.bell_of("io")) == DOORBELL_CAP


def test_a_quiet_bell_is_rung_without_asking_first(
    broker: DoorbellBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring(broker)
    monkeypatch.setattr(broker.bell, "llen", None)

    ring(broker)

    assert waiting(broker) == 2


def test_the_bell_is_heard_before_its_message(broker: DoorbellBroker) -> None:
    heard: list[int] = []

    class Loop:
        def ring(self, pool: str) -> None:
            heard.append(waiting(broker))

    def blocked() -> int:
        told: Any = broker.client.info("clients")
        return int(told["blocked_clients"])

    before = blocked()
    bell.install("io", Loop())
    try:
        sleeper = threading.Thread(target=lambda: next(consumer(broker, timeout=60_000)))
        sleeper.start()
        while blocked() <= before:
            time.sleep(0.01)
        ring(broker)
        sleeper.join(30)
        bell.ring("io")
        assert heard == [1], "while the message still waits, and not again for its echo"

        time.sleep(bell.ECHO_SECONDS * 1.5)
        bell.ring("io")
        assert len(heard) == 2
    finally:
        bell.install("io", None)


def test_a_drained_bell_rings_again(broker: DoorbellBroker) -> None:
    ring(broker, times=10)
    ears = consumer(broker)
    while (message := next(ears)) is not None:
        ears.ack(message)  # type: ignore[no-untyped-call]

    ring(broker)

    assert next(ears) is not None


def test_a_process_without_room_leaves_the_bell_to_others(broker: DoorbellBroker) -> None:
    ring(broker)
    broker.has_room = lambda _queue: False

    assert next(consumer(broker)) is None
    assert waiting(broker) == 1

    broker.has_room = lambda _queue: True
    assert next(consumer(broker)) is not None


def test_silence_is_none(broker: DoorbellBroker) -> None:
    assert next(consumer(broker)) is None


def test_a_redis_that_is_gone_does_not_fail_who_rings() -> None:
    nowhere = DoorbellBroker(url=f"redis://127.0.0.1:{ports.any_free()}/0", middleware=[])

    ring(nowhere)  # raises nothing

    with pytest.raises(dramatiq.errors.ConnectionClosed):
        next(consumer(nowhere))
    with pytest.raises(redis.ConnectionError):
        nowhere.client.ping()


def test_the_global_broker_is_the_doorbell_and_retries_nothing() -> None:
    install_broker()
    broker = dramatiq.get_broker()

    assert isinstance(broker, DoorbellBroker)
    retries = [part for part in broker.middleware if type(part).__name__ == "Retries"]
    assert [vars(part)["max_retries"] for part in retries] == [0]
