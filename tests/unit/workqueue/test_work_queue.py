"""`WorkQueue`: keys in order, each in one worker at a time; waiting; the shut-down.

Names in brackets are client-go's tests (queue_test.go, delaying_queue_test.go, ...).
"""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from typing import ParamSpec, TypeVar

import pytest

from kinformer.errors import StoppedError
from kinformer.workqueue import RateLimitingQueue, WorkQueue
from tests.unit.workqueue.queue_probes import now, turns

P = ParamSpec("P")
T = TypeVar("T")


# adding, taking, being done


def test_needs_no_event_loop_until_somebody_waits() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("one")
    queue.add("two")
    assert queue.get_nowait() == "one"
    queue.done("one")
    limited: RateLimitingQueue[str] = RateLimitingQueue()
    limited.add_after("now", 0)
    assert limited.get_nowait() == "now"


def test_len_counts_what_waits_and_nothing_else() -> None:
    """[TestLen]"""
    queue: WorkQueue[str] = WorkQueue()
    for key in ["foo", "bar", "foo"]:
        queue.add(key)
    assert len(queue) == 2
    queue.get_nowait()
    assert len(queue) == 1


def test_keys_come_out_in_the_order_they_went_in() -> None:
    queue: WorkQueue[int] = WorkQueue()
    for key in [3, 1, 2, 1, 3]:
        queue.add(key)
    assert [queue.get_nowait() for _ in range(3)] == [3, 1, 2]


def test_a_key_added_again_before_it_is_taken_comes_once() -> None:
    """[TestCollapse]"""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("foo")
    queue.add("foo")
    assert queue.get_nowait() == "foo"
    queue.done("foo")
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()


def test_a_key_added_while_it_is_processed_comes_again_once_when_done() -> None:
    """[TestAddWhileProcessing, TestReinsert, TestCollapseWhileProcessing]"""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("foo")
    assert queue.get_nowait() == "foo"
    queue.add("foo")
    queue.add("foo")
    assert len(queue) == 0
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
    queue.done("foo")
    assert queue.get_nowait() == "foo"
    queue.done("foo")
    assert len(queue) == 0


@pytest.mark.looptime
async def test_a_worker_waits_for_a_key_that_another_is_processing() -> None:
    """[TestCollapseWhileProcessing]"""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("foo")
    assert await queue.get() == "foo"
    queue.add("foo")
    async with asyncio.TaskGroup() as group:
        second = group.create_task(queue.get())
        await asyncio.sleep(10)
        assert not second.done()
        queue.done("foo")
        assert await second == "foo"


def test_done_with_a_key_nobody_has_is_an_error_and_changes_nothing() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("queued")
    for key in ["queued", "unknown"]:
        with pytest.raises(ValueError, match=f"'{key}' is not being processed"):
            queue.done(key)
    assert len(queue) == 1
    queue.done(queue.get_nowait())
    with pytest.raises(ValueError, match="once for each key"):
        queue.done("queued")


def test_a_key_that_cannot_be_hashed_is_refused() -> None:
    queue: WorkQueue[list[int]] = WorkQueue()  # type: ignore[type-var] # what a caller without mypy may do
    with pytest.raises(TypeError, match="unhashable"):
        queue.add([1])
    assert len(queue) == 0


def test_a_key_that_was_taken_and_done_is_not_held() -> None:
    """[TestGarbageCollection]"""

    class Key:
        pass

    queue: WorkQueue[Key] = WorkQueue()
    key = Key()
    reference = weakref.ref(key)
    queue.add(key)
    queue.done(queue.get_nowait())
    del key
    assert reference() is None


@pytest.mark.looptime
async def test_item_is_done_when_the_block_is_left_by_an_exception() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("foo")
    with pytest.raises(ZeroDivisionError):
        async with queue.item() as key:
            assert key == "foo"
            queue.add("foo")
            raise ZeroDivisionError
    assert queue.get_nowait() == "foo"


def test_repr_shows_counts_and_no_keys() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    queue.add("secret-name")
    queue.add("another")
    queue.get_nowait()
    assert repr(queue) == "<RateLimitingQueue queued=1 processing=1 delayed=0>"


# waiting and being cancelled


@pytest.mark.looptime
async def test_waiting_workers_get_one_key_each_in_turn() -> None:
    queue: WorkQueue[int] = WorkQueue()
    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(queue.get()) for _ in range(3)]
        await turns()
        for key in range(3):
            queue.add(key)
        assert [await worker for worker in workers] == [0, 1, 2]


@pytest.mark.looptime
async def test_a_cancelled_get_takes_nothing() -> None:
    queue: WorkQueue[str] = WorkQueue()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await queue.get()
    assert now() == 5
    queue.add("foo")
    assert await queue.get() == "foo"


@pytest.mark.looptime
async def test_a_get_cancelled_in_the_moment_a_key_comes_leaves_it_to_the_next() -> None:
    queue: WorkQueue[str] = WorkQueue()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(queue.get())
        second = group.create_task(queue.get())
        await turns()
        queue.add("foo")
        first.cancel()
        async with asyncio.timeout(1):
            assert await second == "foo"
    assert first.cancelled()


@pytest.mark.looptime
async def test_a_woken_worker_whose_key_was_snatched_waits_on() -> None:
    queue: WorkQueue[str] = WorkQueue()
    async with asyncio.TaskGroup() as group:
        worker = group.create_task(queue.get())
        await turns()
        queue.add("foo")
        assert queue.get_nowait() == "foo"
        await turns()
        assert not worker.done()
        queue.add("bar")
        assert await worker == "bar"


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.looptime
async def test_many_producers_and_workers_never_share_a_key_and_lose_none(drain: bool) -> None:
    """[TestBasic]"""
    queue: WorkQueue[int] = WorkQueue()
    processing: set[int] = set()
    worked: Counter[int] = Counter()

    async def produce(key: int) -> None:
        for _ in range(50):
            queue.add(key)
            await asyncio.sleep(0.001)

    async def work() -> None:
        while True:
            try:
                key = await queue.get()
            except StoppedError:
                return
            assert key != -1
            assert key not in processing
            processing.add(key)
            await asyncio.sleep(0.003)
            processing.discard(key)
            worked[key] += 1
            queue.done(key)

    async with asyncio.TaskGroup() as workers:
        for _ in range(10):
            workers.create_task(work())
        async with asyncio.TaskGroup() as producers:
            for key in range(50):
                producers.create_task(produce(key))
        await queue.shut_down(drain=drain)
        if drain:
            assert len(queue) == 0
            assert not processing
        queue.add(-1)
    assert set(worked) == set(range(50))
    assert min(worked.values()) >= 2
    assert len(queue) == 0


# shutting down


@pytest.mark.looptime
async def test_after_shut_down_what_is_queued_is_handed_out_then_workers_are_told_to_end() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("foo")
    await queue.shut_down()
    assert queue.shutting_down
    queue.add("late")
    assert await queue.get() == "foo"
    with pytest.raises(StoppedError, match="the worker should end"):
        await queue.get()
    with pytest.raises(StoppedError):
        queue.get_nowait()
    with pytest.raises(StoppedError):
        async with queue.item():
            raise AssertionError("not entered")


@pytest.mark.looptime
async def test_shut_down_wakes_every_waiting_worker() -> None:
    queue: WorkQueue[str] = WorkQueue()
    ended = 0

    async def work() -> None:
        nonlocal ended
        with pytest.raises(StoppedError):
            await queue.get()
        ended += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(work())
        await turns()
        assert ended == 0
        await queue.shut_down()
    assert ended == 3
    assert now() == 0


async def take(queue: WorkQueue[str], *keys: str) -> None:
    for key in keys:
        queue.add(key)
    for key in keys:
        assert await queue.get() == key


@pytest.mark.looptime
async def test_draining_waits_until_all_that_was_taken_is_done() -> None:
    """[TestQueueDrainageUsingShutDownWithDrain]"""
    queue: WorkQueue[str] = WorkQueue()
    await take(queue, "foo", "bar")
    async with asyncio.TaskGroup() as group:
        drain = group.create_task(queue.shut_down(drain=True))
        await turns()
        queue.done("foo")
        await turns()
        assert not drain.done()
        queue.done("bar")
        await drain
    with pytest.raises(StoppedError):
        await queue.get()


@pytest.mark.looptime
async def test_draining_waits_for_what_is_still_queued() -> None:
    """Unlike client-go, whose loop looks only at what is being processed."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("foo")
    async with asyncio.TaskGroup() as group:
        drain = group.create_task(queue.shut_down(drain=True))
        await asyncio.sleep(60)
        assert not drain.done()
        assert await queue.get() == "foo"
        queue.done("foo")
        await drain


@pytest.mark.looptime
async def test_draining_takes_a_key_along_that_was_added_while_it_was_processed() -> None:
    """[TestQueueDrainageUsingShutDownWithDrainWithDirtyItem]"""
    queue: WorkQueue[str] = WorkQueue()
    await take(queue, "foo")
    queue.add("foo")
    async with asyncio.TaskGroup() as group:
        drain = group.create_task(queue.shut_down(drain=True))
        await turns()
        queue.done("foo")
        await turns()
        assert not drain.done()
        assert await queue.get() == "foo"
        await turns()
        assert not drain.done()
        queue.done("foo")
        await drain


@pytest.mark.looptime
async def test_without_drain_nothing_is_waited_for() -> None:
    """[TestNoQueueDrainageUsingShutDown]"""
    queue: WorkQueue[str] = WorkQueue()
    await take(queue, "foo", "bar")
    await queue.shut_down()
    with pytest.raises(StoppedError):
        queue.get_nowait()
    queue.done("foo")
    queue.done("bar")


@pytest.mark.looptime
async def test_a_plain_shut_down_ends_the_draining() -> None:
    """[TestForceQueueShutdownUsingShutDown]"""
    queue: WorkQueue[str] = WorkQueue()
    await take(queue, "foo")
    async with asyncio.TaskGroup() as group:
        drains = [group.create_task(queue.shut_down(drain=True)) for _ in range(2)]
        await asyncio.sleep(60)
        assert not any(drain.done() for drain in drains)
        await queue.shut_down()
    assert now() == 60
    # Whoever wants to drain after all, waits again.
    async with asyncio.TaskGroup() as group:
        again = group.create_task(queue.shut_down(drain=True))
        await turns()
        assert not again.done()
        queue.done("foo")


@pytest.mark.looptime
async def test_a_cancelled_draining_leaves_the_queue_shut_down() -> None:
    queue: WorkQueue[str] = WorkQueue()
    await take(queue, "foo")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await queue.shut_down(drain=True)
    queue.add("bar")
    queue.done("foo")
    with pytest.raises(StoppedError):
        await queue.get()


@pytest.mark.looptime
async def test_an_idle_queue_is_drained_at_once() -> None:
    await WorkQueue[str]().shut_down(drain=True)
    await RateLimitingQueue[str]().shut_down(drain=True)
