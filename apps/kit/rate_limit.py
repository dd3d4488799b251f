"""One token bucket in Redis for all that is counted per time: API cost, sign-in attempts."""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, assert_never

import redis
import structlog
from django.conf import settings

from apps.kit.errors import RateLimited

_LOG = structlog.get_logger(__name__)
_SOCKET_SECONDS: Final = 0.5
_RETRY_WHEN_BLIND_SECONDS: Final = 5

# Time is Redis's own, so that web processes whose clocks differ share one bucket.
# Kept: tokens left and when that was true. Gone when full again, so an idle caller costs no memory.
_TAKE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local capacity, rate, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(kept[1]) or capacity, tonumber(kept[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - at) * rate)
local allowed = 0
if cost <= tokens then
  allowed = 1
  tokens = tokens - cost
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens),
  'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], math.ceil((capacity - tokens) / rate) + 1)
return {allowed, string.format('%.6f', tokens)}
"""


class WhenBlind(StrEnum):
    """What holds while Redis does not answer."""

    ALLOW = "allow"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """`capacity` tokens at once, `per_second` coming back; `name` keeps kinds apart."""

    name: str
    capacity: int
    per_second: float
    when_blind: WhenBlind = WhenBlind.ALLOW

    def __post_init__(self) -> None:
        if self.capacity <= 0 or self.per_second <= 0:
            raise ValueError(f"Bucket {self.name} needs a positive capacity and rate.")


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What a bucket says to one request, in tokens and in whole seconds, rounded up."""

    allowed: bool
    limit: int
    remaining: int
    retry_after_seconds: int
    full_after_seconds: int


@functools.lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    # A limiter that hangs is worse than none; and a take that is tried again counts twice.
    return redis.Redis.from_url(
        settings.REDIS_LIMITS_URL,
        socket_timeout=_SOCKET_SECONDS,
        socket_connect_timeout=_SOCKET_SECONDS,
        retry=None,
        health_check_interval=30,
    )


class Asking:
    """Tokens that were asked for; `allowance` waits for the answer, the first time."""

    def __init__(self, bucket: Bucket, key: str, *, cost: int) -> None:
        if cost < 0:
            raise ValueError("A cost cannot be negative.")
        self._bucket = bucket
        self._cost = min(cost, bucket.capacity + 1)
        self._said: Allowance | None = None
        self._pool = _redis().connection_pool
        self._line: Any = None  # Half of a connection's methods have no types.
        try:
            self._line = self._pool.get_connection()
            place = place_of(bucket, key)
            given = (place, bucket.capacity, bucket.per_second, self._cost)
            self._line.send_command("EVAL", _TAKE, 1, *given)
        except redis.RedisError as error:
            self._said = _blind(bucket, error)

    def allowance(self) -> Allowance:
        """What the bucket has said."""
        if self._said is None:
            try:
                self._said = self._read(self._line.read_response())
            except redis.RedisError as error:
                self._said = _blind(self._bucket, error)
        return self._said

    def _read(self, answer: list[Any]) -> Allowance:
        allowed, tokens = answer
        left, bucket = float(tokens), self._bucket
        missing = max(0.0, min(self._cost, bucket.capacity) - left)
        return Allowance(
            allowed=bool(allowed),
            limit=bucket.capacity,
            remaining=math.floor(left),
            retry_after_seconds=0 if allowed else max(1, math.ceil(missing / bucket.per_second)),
            full_after_seconds=math.ceil((bucket.capacity - left) / bucket.per_second),
        )

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self.allowance()  # Whoever has the line next shall not read it.
            self._pool.release(self._line)


def take(bucket: Bucket, key: str, *, cost: int = 1) -> Allowance:
    """Take `cost` tokens from the bucket of `key`; refused, it takes none. `cost=0` looks."""
    with Asking(bucket, key, cost=cost) as asking:
        return asking.allowance()


def place_of(bucket: Bucket, key: str) -> str:
    """The Redis key: of one size, and without the address or name that `key` may hold."""
    return f"limit:{bucket.name}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def require(bucket: Bucket, key: str, *, cost: int = 1) -> Allowance:
    """`take`, or raise RateLimited."""
    allowance = take(bucket, key, cost=cost)
    if not allowance.allowed:
        raise RateLimited(retry_after_seconds=allowance.retry_after_seconds)
    return allowance


def _blind(bucket: Bucket, error: redis.RedisError) -> Allowance:
    _LOG.warning("rate_limit.blind", bucket=bucket.name, error=type(error).__name__)
    match bucket.when_blind:
        case WhenBlind.ALLOW:
            allowed = True
        case WhenBlind.REFUSE:
            allowed = False
        case _:
            assert_never(bucket.when_blind)
    return Allowance(
        allowed=allowed,
        limit=bucket.capacity,
        remaining=bucket.capacity if allowed else 0,
        retry_after_seconds=0 if allowed else _RETRY_WHEN_BLIND_SECONDS,
        full_after_seconds=0,
    )
