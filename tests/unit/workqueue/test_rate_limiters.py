"""How long a failed key waits. Names in brackets are client-go's tests of default_rate_limiters_test.go."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer.workqueue.rate_limiters import (
    Bucket,
    ItemExponential,
    ItemFastSlow,
    Jittered,
    MaxOf,
    MaxWait,
    default_rate_limiter,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MS = 0.001


def test_exponential_doubles_per_key_and_forget_resets() -> None:
    """[TestItemExponentialFailureRateLimiter]"""
    limiter = ItemExponential(base=1 * MS, cap=1)
    assert [limiter.when("one", 0) for _ in range(5)] == [1 * MS, 2 * MS, 4 * MS, 8 * MS, 16 * MS]
    assert limiter.num_requeues("one") == 5
    assert [limiter.when("two", 0) for _ in range(2)] == [1 * MS, 2 * MS]
    assert limiter.num_requeues("two") == 2
    limiter.forget("one")
    assert limiter.num_requeues("one") == 0
    assert limiter.when("one", 0) == 1 * MS
    assert limiter.num_requeues("two") == 2


@pytest.mark.parametrize("failures", [5, 1000, 5000])
def test_exponential_stays_at_its_cap_and_never_overflows(failures: int) -> None:
    """[TestItemExponentialFailureRateLimiterOverFlow]"""
    limiter = ItemExponential(base=1 * MS, cap=1000)
    waits = [limiter.when("key", 0) for _ in range(failures)]
    assert waits == sorted(waits)
    assert waits[-1] == min(1000, 1 * MS * 2 ** min(failures - 1, 100))
    overflowing = ItemExponential(base=1e300, cap=1.5e308)
    assert [overflowing.when("key", 0) for _ in range(2000)][-1] == 1.5e308


def test_exponential_defaults_are_client_gos() -> None:
    limiter = ItemExponential()
    waits = [limiter.when("key", 0) for _ in range(20)]
    assert waits[0] == 0.005
    assert waits[17] == 0.005 * 2**17
    assert waits[18] == 1000


def test_fast_slow_is_fast_so_often_then_slow() -> None:
    """[TestItemFastSlowRateLimiter]"""
    limiter = ItemFastSlow(fast=5 * MS, slow=10, fast_attempts=3)
    assert [limiter.when("one", 0) for _ in range(5)] == [5 * MS] * 3 + [10, 10]
    assert limiter.num_requeues("one") == 5
    assert limiter.when("two", 0) == 5 * MS
    limiter.forget("one")
    assert limiter.num_requeues("one") == 0
    assert limiter.when("one", 0) == 5 * MS


def test_max_of_takes_the_longest_and_counts_in_each() -> None:
    """[TestMaxOfRateLimiter]"""
    limiter = MaxOf(ItemFastSlow(fast=5 * MS, slow=3, fast_attempts=3), ItemExponential(base=1 * MS, cap=1))
    assert [limiter.when("one", 0) for _ in range(5)] == [5 * MS, 5 * MS, 5 * MS, 3, 3]
    assert limiter.num_requeues("one") == 5
    assert limiter.when("two", 0) == 5 * MS
    limiter.forget("one")
    assert limiter.num_requeues("one") == 0
    assert limiter.when("one", 0) == 5 * MS


def test_max_wait_cuts_the_wait_and_passes_the_rest_on() -> None:
    """[TestWithMaxWaitRateLimiter]"""
    limiter = MaxWait(MaxOf(ItemExponential(base=5 * MS, cap=1000), Bucket(rate=10, burst=100)), seconds=1)
    waits = [limiter.when("key", 0) for _ in range(100)]
    assert waits[:3] == [5 * MS, 10 * MS, 20 * MS]
    assert waits[7] == 640 * MS
    assert set(waits[8:]) == {1}
    assert limiter.num_requeues("key") == 100
    limiter.forget("key")
    assert limiter.num_requeues("key") == 0


def test_jitter_lengthens_each_wait_at_random_by_so_much_at_most_and_passes_the_rest_on() -> None:
    limiter = Jittered(ItemFastSlow(fast=10, slow=100, fast_attempts=500), factor=0.5, rng=random.Random(1))
    waits = [limiter.when("key", 0) for _ in range(500)]
    assert min(waits) >= 10
    assert max(waits) <= 15
    assert max(waits) - min(waits) > 4.5
    assert 100 <= limiter.when("key", 0) <= 150
    assert limiter.num_requeues("key") == 501
    limiter.forget("key")
    assert limiter.num_requeues("key") == 0
    assert Jittered(Bucket(rate=1, burst=1), factor=0).when("key", 0) == 0


def test_bucket_gives_its_burst_at_once_then_one_each_interval() -> None:
    limiter = Bucket(rate=10, burst=100)
    assert [limiter.when("key", 50) for _ in range(100)] == [0] * 100
    assert [limiter.when("key", 50) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])
    assert limiter.when("another", 50.4) == pytest.approx(0)
    assert limiter.when("another", 50.4) == pytest.approx(0.1)


def test_bucket_fills_to_its_burst_and_no_more() -> None:
    limiter = Bucket(rate=1, burst=2)
    assert [limiter.when("key", 0) for _ in range(3)] == [0, 0, 1]
    assert [limiter.when("key", 1000) for _ in range(3)] == [0, 0, 1]


def test_bucket_knows_no_keys() -> None:
    limiter = Bucket(rate=1, burst=1)
    assert [limiter.when("key", 0) for _ in range(2)] == [0, 1]
    limiter.forget("key")
    assert limiter.num_requeues("key") == 0
    assert limiter.when("key", 0) == 2


@given(
    rate=st.integers(1, 50),
    burst=st.integers(1, 20),
    steps=st.lists(st.floats(-1, 3), min_size=1, max_size=60),
)
def test_bucket_never_promises_more_than_burst_and_rate_allow(rate: int, burst: int, steps: list[float]) -> None:
    limiter = Bucket(rate=rate, burst=burst)
    now, latest = 0.0, -math.inf
    granted = []
    for step in steps:
        now += step
        latest = max(latest, now)
        granted.append(latest + limiter.when("key", now))
    granted.sort()
    for first in range(len(granted)):
        for last in range(first, len(granted)):
            assert last - first + 1 <= burst + rate * (granted[last] - granted[first]) + 1e-6


def test_the_default_is_the_longer_of_backoff_and_bucket() -> None:
    limiter = default_rate_limiter()
    assert [limiter.when("key", 0) for _ in range(3)] == [0.005, 0.01, 0.02]
    for number in range(97):
        assert limiter.when(number, 0) == 0.005
    assert limiter.when("hundred and first", 0) == pytest.approx(0.1)
    assert limiter.num_requeues("key") == 3


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ItemExponential(base=-1), "base=-1"),
        (lambda: ItemExponential(base=2, cap=1), "cap=1"),
        (lambda: ItemExponential(cap=math.inf), "cap=inf"),
        (lambda: ItemExponential(base=math.nan), "base=nan"),
        (lambda: ItemFastSlow(fast=-1, slow=1, fast_attempts=1), "fast=-1"),
        (lambda: ItemFastSlow(fast=1, slow=math.inf, fast_attempts=1), "slow=inf"),
        (lambda: ItemFastSlow(fast=1, slow=1, fast_attempts=-1), "fast_attempts=-1"),
        (lambda: Bucket(rate=0), "rate=0"),
        (lambda: Bucket(burst=0), "burst=0"),
        (lambda: Bucket(rate=math.nan), "rate=nan"),
        (lambda: MaxOf(), "at least one limiter"),
        (lambda: MaxWait(Bucket(), seconds=-1), "seconds=-1"),
        (lambda: Jittered(Bucket(), factor=-1), "factor=-1"),
        (lambda: Jittered(Bucket(), factor=math.inf), "factor=inf"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(make: Callable[[], object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()
