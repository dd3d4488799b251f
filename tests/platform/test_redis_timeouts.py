"""A Redis that is frozen: every library gives up in time, and a quiet connection is no timeout."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import django_rq
import pytest
import redis
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings
from django_rq.connection_utils import get_redis_connection
from rq import SimpleWorker

from config.env import REDIS_TIMEOUTS
from config.supervisor import ports
from config.supervisor.redis import RedisServer
from tests.platform.test_env import environment_with_redis

# What a hang is cut off at; what is tested gives up after the tenths of a second of IMPATIENT.
HANG_SECONDS = 60.0
IMPATIENT = "socket_timeout=0.3&socket_connect_timeout=0.3&health_check_interval=1"

Answer = TypeVar("Answer")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    directory: Path = tmp_path_factory.mktemp("redis")
    started = RedisServer(directory, port=ports.any_free())
    started.start()
    yield started
    started.stop()


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    """It keeps its port and its connections, and says nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def run(work: Callable[[RedisPubSubChannelLayer], Awaitable[Answer]], url: str) -> Answer:
    async def whole() -> Answer:
        layer = RedisPubSubChannelLayer(hosts=[url])
        try:
            async with asyncio.timeout(HANG_SECONDS):
                return await work(layer)
        finally:
            await layer.flush()

    return asyncio.run(whole())


def impatient(server: RedisServer) -> str:
    return environment_with_redis(f"{server.url}?{IMPATIENT}").redis_with_timeouts(1)


def test_jobs_and_channels_are_configured_with_every_timeout() -> None:
    jobs = django_rq.get_connection("default").connection_pool.connection_kwargs
    assert {name: jobs[name] for name in REDIS_TIMEOUTS} == REDIS_TIMEOUTS

    layer: Any = settings.CHANNEL_LAYERS["default"]
    host = layer["CONFIG"]["hosts"][0]
    watchers = redis.ConnectionPool.from_url(host).connection_kwargs
    assert {name: watchers[name] for name in REDIS_TIMEOUTS} == REDIS_TIMEOUTS


def test_who_enqueues_a_job_does_not_wait_for_a_frozen_redis(server: RedisServer) -> None:
    connection: Any = get_redis_connection({"URL": impatient(server)})
    assert connection.ping()

    with frozen(server), pytest.raises(redis.TimeoutError):
        connection.ping()

    assert connection.ping()


def test_a_worker_of_jobs_waits_for_work_longer_than_that(server: RedisServer) -> None:
    connection: Any = get_redis_connection({"URL": impatient(server)})
    worker = SimpleWorker(["default"], connection=connection, worker_ttl=17)

    kept = connection.connection_pool.connection_kwargs["socket_timeout"]
    assert kept > worker.dequeue_timeout > 1
    # Two quiet seconds on the blocking pop are no error.
    assert worker.work(burst=False, max_idle_time=2, with_scheduler=False) is False


def test_who_tells_watchers_does_not_wait_for_a_frozen_redis(server: RedisServer) -> None:
    async def tell(layer: RedisPubSubChannelLayer) -> None:
        await layer.group_send("run.1", {"type": "run.hint"})
        with frozen(server), pytest.raises(redis.TimeoutError):
            await layer.group_send("run.1", {"type": "run.hint"})
        await layer.group_send("run.1", {"type": "run.hint"})

    run(tell, impatient(server))


def test_a_quiet_watcher_outlives_the_timeouts_and_hears_the_next_word(server: RedisServer) -> None:
    async def watch(layer: RedisPubSubChannelLayer) -> Any:
        channel = await layer.new_channel()
        await layer.group_add("run.2", channel)
        waiting = asyncio.create_task(layer.receive(channel))
        await asyncio.sleep(3)  # ten socket timeouts, three health checks
        assert not waiting.done()
        await layer.group_send("run.2", {"type": "run.hint", "head": 7})
        return await waiting

    assert run(watch, impatient(server)) == {"type": "run.hint", "head": 7}


def test_a_watcher_hears_again_after_a_frozen_redis_thawed(server: RedisServer) -> None:
    async def watch(layer: RedisPubSubChannelLayer) -> Any:
        channel = await layer.new_channel()
        await layer.group_add("run.3", channel)
        waiting = asyncio.create_task(layer.receive(channel))
        with frozen(server):
            await asyncio.sleep(3)
        await layer.group_send("run.3", {"type": "run.hint", "head": 9})
        return await waiting

    assert run(watch, impatient(server)) == {"type": "run.hint", "head": 9}
