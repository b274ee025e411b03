"""A key whose `__hash__` or `__eq__` raises since it was added is dropped, and no other key waits for that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import pytest

from kinformer.workqueue import FairQueue, WorkQueue
from kinformer.workqueue._delays import Delays
from kinformer.workqueue._faulty_keys import removed

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.looptime


class Key:
    """A key that can be made to fail.

    Attributes:
        fails: the method that raises from now on.
    """

    def __init__(self) -> None:
        self.fails: Literal["", "hash", "eq", "changed hash"] = ""

    def __hash__(self) -> int:
        if self.fails == "hash":
            raise ZeroDivisionError
        return 7 if self.fails == "changed hash" else 1

    def __eq__(self, other: object) -> bool:
        if self.fails == "eq":
            raise ZeroDivisionError
        return self is other


def queues() -> list[Callable[[], WorkQueue[object]]]:
    return [WorkQueue, lambda: FairQueue(lambda key: type(key).__name__, per_group=10)]


@pytest.mark.parametrize("make", queues(), ids=["plain", "fair"])
@pytest.mark.parametrize("before", [0, 3, 7, 8])
@pytest.mark.parametrize("after", [0, 20])
async def test_a_key_whose_hash_raises_while_it_waits_is_dropped(
    make: Callable[[], WorkQueue[object]], before: int, after: int, caplog: pytest.LogCaptureFixture
) -> None:
    queue, bad = make(), Key()
    # The eighth key is handed out by age, the others by priority: both ways must work.
    expected = [f"before {number}" for number in range(before)] + [f"after {number}" for number in range(after)]
    for key in expected[:before]:
        queue.add(key)
    queue.add(bad)
    for key in expected[before:]:
        queue.add(key)
    bad.fails = "hash"
    taken = []
    while len(queue):
        try:
            taken.append(queue.get_nowait())
        except asyncio.QueueEmpty:
            break
        queue.done(taken[-1])
    assert taken == expected
    assert queue.idle
    assert "whose __hash__ or __eq__ raises" in caplog.text


@pytest.mark.parametrize("fails", ["hash", "eq", "changed hash"])
@pytest.mark.parametrize("make", queues(), ids=["plain", "fair"])
async def test_a_key_that_fails_while_a_worker_has_it_is_done_all_the_same(
    make: Callable[[], WorkQueue[object]], fails: Literal["hash", "eq", "changed hash"]
) -> None:
    queue, bad = make(), Key()
    queue.add(bad)
    queue.add("good")
    assert queue.get_nowait() is bad
    assert queue.get_nowait() == "good"
    bad.fails = fails
    queue.done(bad)
    queue.done("good")
    assert queue.idle


def test_a_key_that_compares_with_an_error_is_taken_without_a_comparison() -> None:
    queue: WorkQueue[object] = WorkQueue()
    bad = Key()
    queue.add(bad)
    queue.add("a", priority=5)
    bad.fails = "eq"
    assert queue.get_nowait() == "a"
    assert queue.get_nowait() is bad
    queue.done(bad)
    queue.done("a")
    assert queue.idle


def test_removed_keeps_the_order_of_the_others() -> None:
    bad, other = Key(), Key()
    kept: dict[object, int] = {"a": 1, bad: 2, "b": 3, other: 4, "c": 5}
    bad.fails = other.fails = "hash"
    assert removed(kept, bad)
    assert [*kept.items()] == [("a", 1), ("b", 3), ("c", 5)]
    assert not removed(kept, bad)


@pytest.mark.parametrize("number", [1, 2])
async def test_a_key_whose_hash_raises_while_it_is_delayed_is_dropped_and_the_others_come_in_time(number: int) -> None:
    released: list[object] = []
    delays: Delays[object] = Delays(lambda key, _: released.append(key))
    bad = [Key() for _ in range(number)]
    for key in (*bad, "a", "b"):
        delays.put(key, asyncio.get_running_loop().time() + (20 if key == "b" else 10), 0)
    for key in bad:
        key.fails = "hash"
    delays.put("c", asyncio.get_running_loop().time() + 5, 0)
    await asyncio.sleep(11)
    assert released == ["c", "a"]
    assert delays.keys() == ["b"]
    await asyncio.sleep(10)
    assert released == ["c", "a", "b"]


async def test_a_key_whose_hash_raises_when_all_delayed_keys_are_released_holds_up_no_other() -> None:
    released: list[object] = []

    def release(key: object, _: int) -> None:
        hash(key)
        released.append(key)

    delays: Delays[object] = Delays(release)
    bad = Key()
    for key in ("a", bad, "b"):
        delays.put(key, asyncio.get_running_loop().time() + 10, 0)
    bad.fails = "hash"
    delays.release_all()
    assert released == ["a", "b"]


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("make", queues(), ids=["plain", "fair"])
async def test_a_key_of_the_same_hash_as_one_that_compares_with_an_error_is_refused_loudly_until_that_is_done(
    make: Callable[[], WorkQueue[object]], taken: bool
) -> None:
    queue, bad, other = make(), Key(), Key()
    queue.add(bad)
    if taken:
        assert queue.get_nowait() is bad
    bad.fails = "eq"
    with pytest.raises(ZeroDivisionError):
        queue.add(other)
    queue.add("another")
    if not taken:
        assert queue.get_nowait() is bad
    queue.done(bad)
    queue.add(other)
    found = [queue.get_nowait(), queue.get_nowait()]
    assert "another" in found
    assert any(key is other for key in found)
