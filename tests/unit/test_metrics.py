"""The histogram that costs next to nothing."""

from __future__ import annotations

import pytest

from kinformer.metrics import Histogram


def test_a_value_is_counted_in_the_first_bucket_that_holds_it() -> None:
    times = Histogram((0.1, 1.0))
    for value in (0.0, 0.1, 0.2, 1.0, 1.1, 50):
        times.observe(value)
    assert times.counts == [2, 2, 2]
    assert times.total == pytest.approx(52.4)
