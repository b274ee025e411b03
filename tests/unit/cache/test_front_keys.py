"""`front_keys`: all keys of a dict that is emptied, in their order, with a copy of few of them at a time."""

from __future__ import annotations

import sys
from itertools import islice

import pytest

from kinformer.cache._front_keys import front_keys
from kinformer.objects import ObjectKey


def keys(count: int) -> list[ObjectKey]:
    return [ObjectKey("default", f"pod-{number}") for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 5000])
def test_the_keys_come_in_their_order(count: int) -> None:
    emptied = dict.fromkeys(keys(count))
    assert [key for key in front_keys(emptied) if emptied.pop(key, 0) is None] == keys(count)
    assert emptied == {}


def test_keys_that_are_added_meanwhile_come_last() -> None:
    emptied = dict.fromkeys(keys(2000))
    found = front_keys(emptied)
    first = [key for key in islice(found, 1500) if emptied.pop(key, 0) is None]
    late = ObjectKey("default", "late")
    emptied[late] = None
    assert [*first, *(key for key in found if emptied.pop(key, 0) is None)] == [*keys(2000), late]


def test_a_key_that_was_removed_otherwise_may_come_or_not() -> None:
    emptied = dict.fromkeys(keys(3000))
    found = front_keys(emptied)
    emptied.pop(next(found))
    for key in keys(3000)[::2]:
        emptied.pop(key, None)
    assert [key for key in found if emptied.pop(key, 0) is None] == keys(3000)[1::2]


def test_keys_that_were_taken_are_not_held() -> None:
    emptied = dict.fromkeys(keys(4000))
    held = next(iter(emptied))
    found = front_keys(emptied)
    for key in islice(found, 2000):
        del emptied[key]
    del key
    alone = ObjectKey("default", "alone")
    assert sys.getrefcount(held) == sys.getrefcount(alone)  # the count of a name differs by the version of Python
