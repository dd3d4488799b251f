"""The token bucket: what it grants, what comes back, and what holds while Redis is away."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings

from apps.kit import rate_limit
from apps.kit.errors import RateLimited
from apps.kit.rate_limit import Bucket, WhenBlind, place_of, require, take

SLOW = Bucket(name="slow", capacity=10, per_second=0.001)
FAST = Bucket(name="fast", capacity=10, per_second=1_000_000)


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody listens where Redis should be."""
    rate_limit._redis.cache_clear()
    monkeypatch.setattr(settings, "REDIS_LIMITS_URL", "redis://127.0.0.1:1/3")
    yield
    rate_limit._redis.cache_clear()


def test_a_bucket_is_full_at_first(key: str) -> None:
    allowance = take(SLOW, key, cost=10)
    assert (allowance.allowed, allowance.remaining) == (True, 0)


def test_an_empty_bucket_refuses_and_says_for_how_long(key: str) -> None:
    take(SLOW, key, cost=9)
    refused = take(SLOW, key, cost=3)
    assert not refused.allowed
    assert 1900 < refused.retry_after_seconds <= 2000
    assert 8900 < refused.full_after_seconds <= 9000


def test_a_refused_request_takes_nothing(key: str) -> None:
    take(SLOW, key, cost=9)
    take(SLOW, key, cost=3)
    assert take(SLOW, key, cost=1).allowed


def test_tokens_come_back(key: str) -> None:
    take(FAST, key, cost=10)
    assert take(FAST, key, cost=10).allowed


def test_looking_costs_nothing(key: str) -> None:
    for _ in range(20):
        assert take(SLOW, key, cost=0).remaining == 10


def test_more_than_the_bucket_holds_is_never_granted(key: str) -> None:
    assert not take(SLOW, key, cost=11).allowed
    assert take(SLOW, key, cost=10).allowed


def test_callers_and_kinds_do_not_share(key: str) -> None:
    take(SLOW, key, cost=10)
    assert take(SLOW, key + "b", cost=10).allowed
    assert take(Bucket(name="other", capacity=10, per_second=0.001), key, cost=10).allowed


def test_a_bucket_leaves_redis_once_it_is_full_again(key: str) -> None:
    take(SLOW, key, cost=1)
    server: Any = redis.Redis.from_url(settings.REDIS_LIMITS_URL)
    assert 900 < server.ttl(place_of(SLOW, key)) <= 1001


def test_require_refuses_by_name(key: str) -> None:
    require(SLOW, key, cost=10)
    with pytest.raises(RateLimited) as refusal:
        require(SLOW, key)
    assert refusal.value.retry_after_seconds > 0


@pytest.mark.usefixtures("blind")
def test_reads_go_on_without_redis(key: str) -> None:
    assert take(SLOW, key).allowed


@pytest.mark.usefixtures("blind")
def test_sign_in_does_not_go_on_without_redis(key: str) -> None:
    login = Bucket(name="login", capacity=5, per_second=1, when_blind=WhenBlind.REFUSE)
    with pytest.raises(RateLimited):
        require(login, key)


def test_a_bucket_without_a_rate_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="positive"):
        Bucket(name="stuck", capacity=1, per_second=0)
