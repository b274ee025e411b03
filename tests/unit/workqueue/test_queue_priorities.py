"""The priorities of keys in a queue."""

from __future__ import annotations

import asyncio
from typing import ParamSpec, TypeVar

import pytest

from kinformer.errors import StoppedError
from kinformer.workqueue import LOW_PRIORITY, RateLimitingQueue, WorkQueue
from tests.unit.workqueue.queue_probes import arrivals, now, turns

P = ParamSpec("P")
T = TypeVar("T")


def test_the_higher_priority_comes_first() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key, priority in [("listed", LOW_PRIORITY), ("changed", 0), ("urgent", 5), ("changed too", 0)]:
        queue.add(key, priority=priority)
    assert queue.depth == {LOW_PRIORITY: 1, 0: 2, 5: 1}
    assert [queue.get_nowait() for _ in range(4)] == ["urgent", "changed", "changed too", "listed"]
    assert [queue.priority(key) for key in ["urgent", "listed", "unknown"]] == [5, LOW_PRIORITY, None]


def test_a_key_that_is_added_with_a_higher_priority_is_raised_and_never_lowered() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ["first", "second", "third"]:
        queue.add(key, priority=LOW_PRIORITY)
    queue.add("third")
    queue.add("third", priority=LOW_PRIORITY)
    assert len(queue) == 3
    assert [queue.get_nowait() for _ in range(3)] == ["third", "first", "second"]
    assert queue.priority("third") == 0


def test_what_is_added_while_processed_comes_again_with_the_highest_priority_it_was_added_with() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("foo", priority=9)
    queue.get_nowait()
    for priority in (-5, 3, 0):
        queue.add("foo", priority=priority)
    assert queue.priority("foo") == 9
    queue.done("foo")
    queue.get_nowait()
    assert queue.priority("foo") == 3


@pytest.mark.looptime
async def test_a_delayed_key_comes_with_the_highest_priority_and_at_the_earliest_moment() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    queue.add_after("foo", 5, priority=LOW_PRIORITY)
    queue.add_after("foo", 9, priority=4)
    queue.add_after("foo", 3, priority=0)
    assert await arrivals(queue, 1) == [(3, "foo")]
    queue.add_after("foo", 5, priority=4)
    queue.add_after("foo", 9, priority=LOW_PRIORITY, replace=True)
    assert await queue.get() == "foo"
    assert (now(), queue.priority("foo")) == (12, LOW_PRIORITY)


@pytest.mark.looptime
async def test_low_priority_gets_its_turn_while_urgent_work_never_ends() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for number in range(10):
        queue.add(f"listed{number}", priority=LOW_PRIORITY)
    taken = []
    for number in range(80):
        queue.add(f"urgent{number}")
        queue.add(f"urgent{number} too")
        async with queue.item() as key:
            taken.append(key)
    assert [key for key in taken if key.startswith("listed")] == [f"listed{number}" for number in range(10)]
    assert taken.index("listed0") == 7


def test_what_is_given_back_comes_again_with_its_priority_also_after_shut_down() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("foo", priority=LOW_PRIORITY)
    queue.give_back(queue.get_nowait())
    queue.get_nowait()
    assert queue.priority("foo") == LOW_PRIORITY
    asyncio.run(queue.shut_down())
    queue.give_back("foo")
    assert queue.get_nowait() == "foo"
    queue.done("foo")
    with pytest.raises(ValueError, match="'foo' is not being processed"):
        queue.give_back("foo")


class Held:
    """A queue that holds back the keys of a set."""

    def __init__(self, *keys: str) -> None:
        self.keys = {*keys}
        self.queue: WorkQueue[str] = WorkQueue()
        self.queue.hold_back(lambda key: key in self.keys)

    def let_go(self, key: str) -> None:
        self.keys.discard(key)
        self.queue.release(key)


def test_a_key_that_must_wait_is_not_handed_out_before_it_is_released_and_others_are() -> None:
    it = Held("held")
    it.queue.add("held", priority=5)
    it.queue.add("other")
    assert it.queue.get_nowait() == "other"
    assert (set(it.queue.held), len(it.queue), it.queue.idle) == ({"held"}, 0, False)
    it.queue.done("other")
    with pytest.raises(asyncio.QueueEmpty):
        it.queue.get_nowait()
    assert not it.queue.idle
    it.queue.release("held")
    with pytest.raises(asyncio.QueueEmpty):
        it.queue.get_nowait()
    it.let_go("held")
    assert it.queue.get_nowait() == "held"
    assert it.queue.priority("held") == 5
    it.queue.done("held")
    it.queue.release("held")
    it.queue.release("unknown")
    assert it.queue.idle


def test_a_key_that_is_held_waits_once_with_its_highest_priority() -> None:
    it = Held("held")
    it.queue.add("held", priority=LOW_PRIORITY)
    with pytest.raises(asyncio.QueueEmpty):
        it.queue.get_nowait()
    it.queue.add("held", priority=7)
    it.queue.add("held", priority=3)
    it.let_go("held")
    assert it.queue.get_nowait() == "held"
    assert it.queue.priority("held") == 7
    assert len(it.queue) == 0


@pytest.mark.looptime
async def test_a_queue_that_is_shut_down_still_hands_out_the_held_keys_and_then_ends_all_getters() -> None:
    it = Held("one", "two")
    ended = []

    async def work() -> None:
        while True:
            try:
                key = await it.queue.get()
            except StoppedError:
                return
            ended.append(key)
            it.queue.done(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(work())
        it.queue.add("one")
        it.queue.add("two")
        await turns()
        drain = group.create_task(it.queue.shut_down(drain=True))
        await turns()
        assert not drain.done()
        it.let_go("one")
        await turns()
        it.let_go("two")
    assert ended == ["one", "two"]


def test_a_function_that_raises_holds_no_key_back(caplog: pytest.LogCaptureFixture) -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.hold_back(lambda key: bool(1 / len(key[1:])))
    queue.add("a")
    assert queue.get_nowait() == "a"
    assert "ZeroDivisionError" in caplog.text


def test_a_queue_asks_one_function_only() -> None:
    queue = Held().queue
    with pytest.raises(ValueError, match="give each controller a queue of its own"):
        queue.hold_back(lambda _: False)
