"""Fair queues: groups take turns, none has all workers, and a closed group leaves nothing behind."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TypeAlias

import pytest

from kinformer import StoppedError
from kinformer.workqueue import Debounce, FairQueue

Key: TypeAlias = tuple[str, int]


def group_of(key: Key) -> str:
    return key[0]


def fair(per_group: int = 2) -> FairQueue[Key]:
    return FairQueue(group_of, per_group=per_group, name="test")


def test_a_group_with_one_key_waits_for_one_key_of_each_other_group() -> None:
    queue = fair(per_group=100)
    for number in range(1000):
        queue.add(("many", number))
    for name in "xyz":
        queue.add((name, 0))
    assert {group_of(queue.get_nowait()) for _ in range(4)} == {"many", "x", "y", "z"}


def test_workers_have_at_most_so_many_keys_of_a_group() -> None:
    queue = fair(per_group=2)
    for number in range(5):
        queue.add(("a", number))
    first, second = queue.get_nowait(), queue.get_nowait()
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
    queue.add(("b", 0))
    assert queue.get_nowait() == ("b", 0)
    queue.done(first)
    assert queue.get_nowait() == ("a", 2)
    queue.done(second)
    assert len(queue) == 2


async def test_a_worker_that_waits_for_a_full_group_is_woken_when_that_has_room() -> None:
    queue = fair(per_group=1)
    queue.add(("a", 0))
    queue.add(("a", 1))
    first = queue.get_nowait()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(queue.get())
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.done(first)
        assert await waiting == ("a", 1)


def test_priorities_count_within_a_group() -> None:
    queue = fair()
    queue.add(("a", 0), priority=-100)
    queue.add(("a", 1))
    queue.add(("b", 0), priority=-100)
    assert queue.depth == {-100: 2, 0: 1}
    assert [queue.get_nowait() for _ in range(3)] == [("a", 1), ("b", 0), ("a", 0)]


async def test_a_closed_group_has_no_key_in_any_state_and_takes_none() -> None:
    queue = fair(per_group=1)
    queue.hold_back(lambda key: key == ("a", 7))
    queue.add(("a", 7))
    queue.add(("a", 0))
    taken = queue.get_nowait()
    queue.add(taken)
    queue.add(("a", 1))
    queue.add_after(("a", 2), 0.001)
    queue.add_rate_limited(("a", 3))
    queue.add_debounced(("a", 4), Debounce(0.001, 0.001))
    queue.add(("b", 0))
    queue.close_group("a")
    queue.add(("a", 5))
    queue.add_rate_limited(taken)
    assert (len(queue), queue.delayed, queue.held) == (1, 0, frozenset())
    queue.done(taken)
    await asyncio.sleep(0.01)
    assert queue.get_nowait() == ("b", 0)
    assert len(queue) == 0
    assert queue.num_requeues(("a", 3)) == 0


def test_a_group_is_closed_until_no_worker_has_a_key_of_it() -> None:
    queue = fair()
    queue.add(("a", 0))
    key = queue.get_nowait()
    queue.close_group("a")
    queue.forget_group("a")
    queue.add(key)
    queue.done(key)
    assert len(queue) == 0
    queue.add(key)
    assert len(queue) == 1


def test_an_opened_group_takes_keys_again() -> None:
    queue = fair()
    queue.close_group("a")
    queue.open_group("a")
    queue.add(("a", 0))
    assert queue.get_nowait() == ("a", 0)


async def test_a_draining_end_is_not_held_up_by_a_closed_group() -> None:
    queue = fair(per_group=1)
    queue.add(("a", 0))
    queue.add(("a", 1))
    first = queue.get_nowait()

    async def take() -> None:
        with pytest.raises(StoppedError):
            await queue.get()

    async with asyncio.TaskGroup() as group:
        group.create_task(take())
        group.create_task(queue.shut_down(drain=True))
        await asyncio.sleep(0)
        queue.close_group("a")
        queue.done(first)


def test_at_least_one_key_of_a_group_can_be_worked_on() -> None:
    with pytest.raises(ValueError, match="per_group=0"):
        fair(per_group=0)


@pytest.mark.parametrize("seed", range(20))
def test_random_histories_keep_the_rules_of_a_queue(seed: int) -> None:
    chance = random.Random(seed)
    queue, waiting, again, taken = fair(per_group=2), set[Key](), set[Key](), set[Key]()
    for _ in range(2000):
        key = (chance.choice("abc"), chance.randrange(5))
        match chance.choice(["add", "add", "get", "get", "done", "close"]):
            case "add":
                queue.add(key, priority=chance.choice([-100, 0, 0, 5]))
                (again if key in taken else waiting).add(key)
            case "get":
                room = {one for one in waiting if Counter(map(group_of, taken))[one[0]] < 2}
                if room:
                    got = queue.get_nowait()
                    assert got in room
                    waiting.remove(got)
                    taken.add(got)
                else:
                    with pytest.raises(asyncio.QueueEmpty):
                        queue.get_nowait()
            case "done" if taken:
                got = chance.choice(sorted(taken))
                queue.done(got)
                taken.remove(got)
                if got in again:
                    again.remove(got)
                    waiting.add(got)
            case "close":
                queue.close_group(key[0])
                queue.open_group(key[0])
                waiting = {one for one in waiting if one[0] != key[0]}
                again = {one for one in again if one[0] != key[0]}
        assert len(queue) == len(waiting)
        assert sum(queue.depth.values()) == len(waiting)
