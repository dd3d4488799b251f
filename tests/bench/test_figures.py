"""Medians, percentiles and ratios, on numbers whose answer is known."""

from __future__ import annotations

import pytest

from bench.figures import (
    Cost,
    Timing,
    median_cost,
    median_seconds,
    median_starting,
    paired_ratio,
    percentile,
)


def timings(*seconds: float) -> list[Timing]:
    return [Timing(seconds=each, starting=each / 10) for each in seconds]


def test_the_median_is_the_middle_one_and_not_the_mean() -> None:
    assert median_seconds(timings(1, 100, 2)) == 2
    assert median_seconds(timings(1, 3)) == 2
    assert median_starting(timings(1, 100, 2)) == 0.2


def test_a_ratio_is_taken_within_each_repetition() -> None:
    # A load that trebles everything for one repetition leaves the ratio alone.
    assert paired_ratio(timings(2, 6, 2), timings(1, 3, 1)) == 2
    # The ratio of the medians would be 1.
    assert paired_ratio(timings(1, 2, 4), timings(4, 2, 1)) == 1
    assert paired_ratio(timings(9, 1, 1), timings(1, 9, 9)) == pytest.approx(1 / 9)
    with pytest.raises(ValueError, match="shorter"):
        paired_ratio(timings(1, 2), timings(1))


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.95, 10), (0.9, 9), (0.0, 1), (1, 10)])
def test_a_percentile_is_a_value_that_occurred(share: float, expected: int) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == expected


def test_one_value_is_every_percentile() -> None:
    assert {percentile([7], share) for share in (0, 0.5, 0.95, 1)} == {7}


def test_the_parts_of_a_cost_have_medians_of_their_own() -> None:
    costs = [
        Cost(cpu_ms=cpu, transactions=transactions, wal_bytes=wal)
        for cpu, transactions, wal in ((1, 9, 5), (2, 8, 4), (3, 7, 6))
    ]
    assert median_cost(costs) == Cost(cpu_ms=2, transactions=8, wal_bytes=5)
