"""One token bucket, for keys that wait and for Events that are dropped."""

from __future__ import annotations

import random

import pytest

from kinformer._token_bucket import TokenBucket


def test_a_burst_comes_at_once_and_then_one_each_period() -> None:
    bucket = TokenBucket(rate=2, burst=3)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(at) for at in (0.4, 0.5, 0.6, 1.0)] == [False, True, False, True]


def test_a_reserved_token_says_when_it_is_there() -> None:
    bucket = TokenBucket(rate=2, burst=1)
    assert [bucket.reserve(0.0) for _ in range(3)] == [0.0, 0.5, 1.0]
    assert not bucket.take(1.0)
    assert bucket.take(1.5)


@pytest.mark.parametrize("seed", range(20))
def test_no_window_gives_more_than_the_burst_and_the_rate(seed: int) -> None:
    rng = random.Random(seed)
    bucket = TokenBucket(rate=1.5, burst=4)
    at = 0.0
    taken = []
    for _ in range(500):
        at += rng.expovariate(2)
        if bucket.take(at):
            taken.append(at)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= 4 + 1.5 * (taken[last] - taken[first]) + 1e-6


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=1)
    assert bucket.take(10.0)
    assert not bucket.take(0.0)
    assert not bucket.take(10.5)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (float("inf"), 1), (float("nan"), 1), (1, 0)])
def test_figures_without_a_meaning_are_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="expected a finite rate above 0 a second and a burst of at least 1"):
        TokenBucket(rate, burst)
