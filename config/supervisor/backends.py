"""PostgreSQL and Redis for one purpose: the servers the environment names, else our own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final, TypeVar

from config.supervisor import binaries, ports, roles
from config.supervisor.failure import CannotStart
from config.supervisor.postgres import Cluster, ClusterSettings
from config.supervisor.redis import RedisServer
from config.supervisor.roles import RoleUrls

POSTGRES_PORT: Final = 54_320
REDIS_PORT: Final = 56_379

PORT_RETRIES: Final = 3

Report = Callable[[str], None]
Server = TypeVar("Server")


@dataclass(frozen=True, kw_only=True)
class Backends:
    """What runs and how to reach it."""

    urls: RoleUrls
    redis_url: str = field(repr=False)
    cluster: Cluster | None
    redis: RedisServer | None

    def environment(self) -> dict[str, str]:
        """As the variables config.env reads."""
        return {**self.urls.environment(), "REDIS_URL": self.redis_url}

    def revive(self, *, report: Report) -> bool:
        """Start a server of ours that has ended again, on its port; whether one had."""
        revived = False
        for name, server in (("PostgreSQL", self.cluster), ("Redis", self.redis)):
            if server and server.exit_code() is not None:
                report(f"{name} ended (exit code {server.exit_code()}); starting it again")
                server.start()
                revived = True
        return revived


@contextmanager
def running(
    directory: Path,
    *,
    durable: bool,
    report: Report = lambda line: None,
    source: Mapping[str, str] | None = None,
) -> Iterator[Backends]:
    """Both servers with their three logins; ours end with the block, in any case.

    `durable` False gives up safety against power cuts for speed: for throw-away data only.
    """
    values = os.environ if source is None else source
    with ExitStack() as stack:
        owner_url = values.get("DATABASE_URL", "")
        cluster = None
        if not owner_url:
            cluster = _start_cluster(directory / "postgres", durable=durable, report=report)
            stack.callback(cluster.stop)
            owner_url = roles.create_owner(cluster.superuser_url)
            values = {**values, "DATABASE_APP_URL": "", "DATABASE_ENGINE_URL": ""}
        urls = roles.ensure(owner_url, source=values)
        redis_url = values.get("REDIS_URL", "")
        redis = None
        if not redis_url:
            redis = _start_redis(directory / "redis", durable=durable, report=report)
            stack.callback(redis.stop)
            redis_url = redis.url
        yield Backends(urls=urls, redis_url=redis_url, cluster=cluster, redis=redis)


def _start_cluster(directory: Path, *, durable: bool, report: Report) -> Cluster:
    since = monotonic()

    def attempt(port: int) -> Cluster:
        cluster = Cluster(ClusterSettings(directory=directory, port=port, durable=durable))
        try:
            cluster.start()
        except CannotStart:
            cluster.stop()
            raise
        seconds = monotonic() - since
        report(f"PostgreSQL from {binaries.postgres().source} on port {port} ({seconds:.1f} s)")
        return cluster

    return _on_a_port(attempt, preferred=POSTGRES_PORT if durable else None)


def _start_redis(directory: Path, *, durable: bool, report: Report) -> RedisServer:
    since = monotonic()

    def attempt(port: int) -> RedisServer:
        redis = RedisServer(directory, port=port)
        redis.start()
        seconds = monotonic() - since
        report(f"Redis from {binaries.redis().source} on port {port} ({seconds:.1f} s)")
        return redis

    return _on_a_port(attempt, preferred=REDIS_PORT if durable else None)


def _on_a_port(attempt: Callable[[int], Server], *, preferred: int | None) -> Server:
    """Start on a port that looked free; once more when somebody took it in between."""
    for _ in range(PORT_RETRIES):
        port = ports.choose(preferred) if preferred else ports.any_free()
        try:
            return attempt(port)
        except CannotStart:
            if ports.is_free(port):
                raise
    return attempt(ports.any_free())
