"""The bounded cache keeps at least the last `size` entries, and never more than twice as many."""

from __future__ import annotations

import json
import random

import pytest

from kinformer._recent import MadeOnce, RecentCache


@pytest.mark.parametrize("seed", range(20))
def test_the_keys_that_were_used_last_are_there_and_the_size_is_bounded(seed: int) -> None:
    rng = random.Random(seed)
    cache: RecentCache[int, str] = RecentCache(8)
    used: list[int] = []
    for _ in range(2000):
        key = int(rng.expovariate(0.1))
        if rng.random() < 0.3:
            cache.put(key, str(key))
        else:
            assert cache.get_or_make(key, str) == str(key)
        used = [*(other for other in used if other != key), key][-8:]
        assert len(cache) <= 16
    # The look-ups themselves count as uses, so only the latest half is certain while they are made.
    assert all(cache.get(key) == str(key) for key in reversed(used))


def test_a_key_is_made_once_as_long_as_it_is_used() -> None:
    cache: RecentCache[int, str] = RecentCache(4)
    made = []

    def make(key: int) -> str:
        made.append(key)
        return str(key)

    for number in range(100):
        cache.get_or_make(-1, make)
        cache.get_or_make(number, make)
    assert made.count(-1) == 1
    assert len(made) == 101


def test_what_cannot_be_made_is_not_kept() -> None:
    cache: RecentCache[str, int] = RecentCache(4)
    with pytest.raises(ValueError, match="invalid literal"):
        cache.get_or_make("x", int)
    assert len(cache) == 0
    assert cache.get("x") is None


def test_equal_texts_share_one_decoded_value_also_when_they_are_used_again_late() -> None:
    cache: RecentCache[bytes, list[int]] = RecentCache(8)
    for number in range(100):
        assert cache.get_or_make(b"[%d]" % number, json.loads) == [number]
        assert cache.get_or_make(b"[7]", json.loads) is cache.get_or_make(b"[7]", json.loads)
    assert len(cache) <= 16


def test_what_is_made_once_is_bounded_and_is_made_once_as_long_as_it_is_asked_for() -> None:
    made = MadeOnce[int, str](4, str)
    for number in range(100):
        assert made[number] == str(number)
        assert made[number] is made[number]
        assert len(made) <= 4
        assert len(made._older) <= 4
    calls: list[int] = []
    counted = MadeOnce[int, None](4, calls.append)
    for _ in range(3):
        for number in range(8):
            assert counted[number] is None
    # Eight keys fit into the two generations, also where their value is None.
    assert len(calls) < 24
    assert counted.get(7, "absent") is None


def test_what_cannot_be_made_once_is_not_kept() -> None:
    made = MadeOnce[str, int](4, int)
    with pytest.raises(ValueError, match="invalid literal"):
        made["x"]
    assert len(made) == 0
    assert made["7"] == 7
