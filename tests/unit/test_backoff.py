"""Delays between attempts (client-go tools/cache/reflector.go: 800 ms, factor 2, at most 30 s)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer import Backoff


def test_without_jitter_each_delay_is_twice_the_one_before_up_to_the_maximum() -> None:
    backoff = Backoff(jitter=0)
    delays = [backoff.delay(failures) for failures in range(1, 9)]
    assert delays == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    assert backoff.delay(0) == 0.8
    assert backoff.delay(10**9) == 30.0


@given(st.integers(1, 10**6), st.floats(0, 1), st.integers())
def test_jitter_only_shortens_a_delay(failures: int, jitter: float, seed: int) -> None:
    full = Backoff(jitter=0).delay(failures)
    delay = Backoff(jitter=jitter, rng=random.Random(seed)).delay(failures)
    assert full * (1 - jitter) <= delay <= full


def test_the_server_may_ask_for_more_and_never_for_less() -> None:
    backoff = Backoff(jitter=0)
    assert backoff.delay(1, retry_after=60) == 60
    assert backoff.delay(4, retry_after=1) == 6.4


@pytest.mark.parametrize("bad", [{"initial": 0}, {"initial": 40}, {"factor": 0.5}, {"jitter": 2}, {"jitter": -0.1}])
def test_figures_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="it needs 0 < initial <= maximum"):
        Backoff(**bad)  # type: ignore[arg-type]


def test_policies_share_one_source_of_randomness_that_a_fork_does_not_copy() -> None:
    assert Backoff().rng is Backoff().rng
    # Its numbers come from the operating system. The state of another one would be the same in both processes.
    assert isinstance(Backoff().rng, random.SystemRandom)
