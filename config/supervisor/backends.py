"""PostgreSQL and Redis for one purpose: the servers the environment names, else our own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from config.supervisor import binaries, ports, roles
from config.supervisor.failure import CannotStart
from config.supervisor.postgres import Cluster, ClusterSettings
from config.supervisor.redis import RedisServer
from config.supervisor.roles import RoleUrls

POSTGRES_PORT: Final = 54_320
REDIS_PORT: Final = 56_379

Report = Callable[[str], None]


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

    def dead(self) -> str | None:
        """The name of a server of ours that has ended, if one has."""
        if self.cluster and self.cluster.exit_code() is not None:
            return "PostgreSQL"
        if self.redis and self.redis.exit_code() is not None:
            return "Redis"
        return None


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
            cluster = _start_cluster(
                directory / "postgres", durable=durable, report=report
            )
            stack.callback(cluster.stop)
            owner_url = roles.create_owner(cluster.superuser_url)
            values = {**values, "DATABASE_APP_URL": "", "DATABASE_ENGINE_URL": ""}
        urls = roles.ensure(owner_url, source=values)
        redis_url = values.get("REDIS_URL", "")
        redis = None
        if not redis_url:
            redis = _start_redis(directory / "redis", report=report)
            stack.callback(redis.stop)
            redis_url = redis.url
        yield Backends(urls=urls, redis_url=redis_url, cluster=cluster, redis=redis)


def _start_cluster(directory: Path, *, durable: bool, report: Report) -> Cluster:
    since = monotonic()
    port = ports.choose(POSTGRES_PORT) if durable else ports.any_free()
    cluster = Cluster(ClusterSettings(directory=directory, port=port, durable=durable))
    try:
        cluster.start()
    except CannotStart:
        cluster.stop()
        raise
    report(
        f"PostgreSQL from {binaries.postgres().source} on port {port} ({monotonic() - since:.1f} s)"
    )
    return cluster


def _start_redis(directory: Path, *, report: Report) -> RedisServer:
    since = monotonic()
    port = ports.choose(REDIS_PORT)
    redis = RedisServer(directory, port=port)
    redis.start()
    report(
        f"Redis from {binaries.redis().source} on port {port} ({monotonic() - since:.1f} s)"
    )
    return redis
