"""Which failures are tried again, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.executions.engine.retry import RETRY_AFTER_LIMIT, RetryPolicy


@pytest.mark.parametrize(
    ("retry_on", "code", "retryable", "covered"),
    [
        (("*",), "HTTP_503", True, True),
        (("*",), "HTTP_503", False, False),
        (("HTTP_5*",), "HTTP_503", True, True),
        (("HTTP_5*",), "HTTP_404", True, False),
        (("HTTP_5*",), "HTTP_503", False, False),
        (("NODE_CRASHED",), "NODE_CRASHED", False, True),
        ((), "HTTP_503", True, False),
    ],
)
def test_codes(retry_on: tuple[str, ...], code: str, retryable: bool, covered: bool) -> None:
    assert RetryPolicy(retry_on=retry_on).covers(code, retryable=retryable) is covered


def test_attempts_are_counted() -> None:
    policy = RetryPolicy(max_attempts=3)
    assert [policy.has_left(after_attempt=n) for n in (1, 2, 3)] == [True, True, False]
    assert not RetryPolicy(max_attempts=10_000).has_left(after_attempt=100)


def test_backoff_grows_and_retry_after_wins() -> None:
    policy = RetryPolicy(backoff_seconds=1, multiplier=2, max_backoff_seconds=5)
    delays = [policy.delay_seconds(after_attempt=n, fraction=1.0) for n in (1, 2, 3, 4)]
    assert delays == [1, 2, 4, 5]
    assert policy.delay_seconds(after_attempt=1, fraction=0.0, retry_after_seconds=7) == 7
    assert policy.delay_seconds(after_attempt=1, fraction=0.0, retry_after_seconds=-7) == 0
    far = policy.delay_seconds(after_attempt=1, fraction=0.0, retry_after_seconds=1e12)
    assert far == RETRY_AFTER_LIMIT


@given(
    st.floats(0, 86_400),
    st.floats(1, 10),
    st.floats(0, 86_400),
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
)
def test_a_delay_never_leaves_its_bounds(
    backoff: float, multiplier: float, most: float, attempt: int, fraction: float
) -> None:
    policy = RetryPolicy(backoff_seconds=backoff, multiplier=multiplier, max_backoff_seconds=most)
    assert 0 <= policy.delay_seconds(after_attempt=attempt, fraction=fraction) <= most
