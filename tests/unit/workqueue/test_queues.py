"""The queue of keys. Names in brackets are client-go's tests (queue_test.go, delaying_queue_test.go, ...)."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kinformer.errors import StoppedError
from kinformer.workqueue import LOW_PRIORITY, RateLimitingQueue, WorkQueue
from kinformer.workqueue.rate_limiters import ItemExponential
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.metrics import ControllerGauges, ControllerMetrics, QueueGauges

P = ParamSpec("P")
T = TypeVar("T")


def now() -> float:
    return asyncio.get_running_loop().time()


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


# --- adding, taking, being done --------------------------------------------------------------------------------------


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


# --- waiting and being cancelled -------------------------------------------------------------------------------------


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


# --- shutting down ---------------------------------------------------------------------------------------------------


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


# --- adding later ----------------------------------------------------------------------------------------------------


async def arrivals(queue: WorkQueue[str], number: int) -> list[tuple[float, str]]:
    """When which key comes, each done at once."""
    seen = []
    for _ in range(number):
        async with queue.item() as key:
            seen.append((now(), key))
    return seen


@pytest.mark.looptime
async def test_a_delayed_key_comes_when_its_time_has_come() -> None:
    """[TestSimpleQueue]"""
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    queue.add_after("foo", 50)
    assert len(queue) == 0
    assert await arrivals(queue, 1) == [(50, "foo")]
    await asyncio.sleep(1000)
    assert len(queue) == 0


@pytest.mark.parametrize("delays", [(50, 70), (70, 50)])
@pytest.mark.looptime
async def test_of_several_moments_the_earliest_counts_and_the_key_comes_once(delays: tuple[float, float]) -> None:
    """[TestDeduping]"""
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    for delay in delays:
        queue.add_after("foo", delay)
    assert await arrivals(queue, 1) == [(50, "foo")]
    await asyncio.sleep(1000)
    assert len(queue) == 0
    queue.add_after("foo", 5)
    assert await arrivals(queue, 1) == [(1055, "foo")]


@pytest.mark.looptime
async def test_keys_come_in_the_order_of_their_times() -> None:
    """[TestAddTwoFireEarly, TestCopyShifting]"""
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    queue.add_after("first", 1)
    queue.add_after("second", 0.5)
    queue.add_after("third", 0.3)
    assert await arrivals(queue, 2) == [(0.3, "third"), (0.5, "second")]
    queue.add_after("fourth", 2)
    assert await arrivals(queue, 2) == [(1, "first"), (2.5, "fourth")]


@pytest.mark.looptime
async def test_keys_of_one_moment_come_in_the_order_they_were_added() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    for key in "zamb":
        queue.add_after(key, 3)
    assert await arrivals(queue, 4) == [(3, key) for key in "zamb"]


@pytest.mark.parametrize("delay", [0, -1, -0.001])
@pytest.mark.looptime
async def test_without_a_delay_the_key_is_added_now_and_a_delayed_entry_stays(delay: float) -> None:
    """client-go row W4."""
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    queue.add_after("foo", 5)
    queue.add_after("foo", delay)
    assert await arrivals(queue, 2) == [(0, "foo"), (5, "foo")]


@pytest.mark.looptime
async def test_a_delayed_key_whose_time_comes_while_it_waits_or_is_processed_is_not_doubled() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    for key in ["waiting", "processed"]:
        queue.add_after(key, 1)
    queue.add("processed")
    assert await queue.get() == "processed"
    queue.add("waiting")
    await asyncio.sleep(2)
    assert len(queue) == 1
    queue.done("processed")
    assert len(queue) == 2


@pytest.mark.parametrize("delay", [math.nan, math.inf, -math.inf])
@pytest.mark.looptime
async def test_a_delay_that_is_no_time_is_refused(delay: float) -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    with pytest.raises(ValueError, match="cannot add 'foo' after"):
        queue.add_after("foo", delay)
    assert repr(queue) == "<RateLimitingQueue queued=0 processing=0 delayed=0>"


@pytest.mark.looptime
async def test_delayed_keys_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    handles: list[asyncio.TimerHandle] = []
    call_at = loop.call_at

    def spy(when: float, callback: Callable[..., object], *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        handle = call_at(when, callback, *args, **kwargs)
        handles.append(handle)
        return handle

    monkeypatch.setattr(loop, "call_at", spy)
    queue: RateLimitingQueue[int] = RateLimitingQueue()
    for key in range(100):
        queue.add_after(key, 10 + key)
    assert len(handles) == 1
    queue.add_after(1000, 5)
    assert [handle.cancelled() for handle in handles] == [True, False]
    for key in range(50):
        queue.add_after(1000, 4 - key / 100)
    assert sum(not handle.cancelled() for handle in handles) == 1
    await queue.shut_down()
    assert all(handle.cancelled() for handle in handles)


@pytest.mark.looptime
async def test_a_key_put_forward_again_and_again_costs_no_memory() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    for step in range(10_000):
        queue.add_after("foo", 20_000 - step)
    assert len(queue._delays._heap) < 100
    assert await arrivals(queue, 1) == [(10_001, "foo")]


@pytest.mark.looptime
async def test_a_late_timer_that_finds_both_moments_of_a_key_past_adds_it_once() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    # The clock of the test has ticks of 1 µs: at the first one both moments are past.
    queue.add_after("foo", 0.999_999_8)
    queue.add_after("foo", 0.999_999_6)
    queue.add_after("bar", 5)
    assert await arrivals(queue, 2) == [(1, "foo"), (5, "bar")]


@pytest.mark.looptime
async def test_many_keys_that_become_due_together_do_not_hold_the_loop() -> None:
    queue: RateLimitingQueue[int] = RateLimitingQueue()
    for key in range(2500):
        queue.add_after(key, 1)
    await asyncio.sleep(0.5)
    seen = set()
    async with asyncio.timeout(10):
        while len(queue) < 2500:
            # Between two slices others have their turn.
            await asyncio.sleep(0 if len(queue) else 0.5)
            seen.add(len(queue))
    assert now() == 1
    assert {1000, 2000, 2500} <= seen
    assert [queue.get_nowait() for _ in range(2500)] == list(range(2500))


@pytest.mark.looptime
async def test_rate_limited_keys_wait_as_their_failures_say() -> None:
    """[TestRateLimitingQueue]"""
    queue: RateLimitingQueue[str] = RateLimitingQueue(ItemExponential(base=1, cap=60))
    times = []
    for _ in range(8):
        queue.add_rate_limited("one")
        start = now()
        ((at, _),) = await arrivals(queue, 1)
        times.append(at - start)
    assert times == [1, 2, 4, 8, 16, 32, 60, 60]
    assert queue.num_requeues("one") == 8
    queue.add_rate_limited("two")
    assert queue.num_requeues("two") == 1
    queue.forget("one")
    assert queue.num_requeues("one") == 0
    start = now()
    queue.add_rate_limited("one")
    assert await arrivals(queue, 2) == [(start + 1, "two"), (start + 1, "one")]


@pytest.mark.looptime
async def test_the_default_limiter_is_client_gos_and_each_queue_has_its_own() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    other: RateLimitingQueue[str] = RateLimitingQueue()
    for _ in range(3):
        queue.add_rate_limited("foo")
    assert await arrivals(queue, 1) == [(0.005, "foo")]
    assert (queue.num_requeues("foo"), other.num_requeues("foo")) == (3, 0)


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.looptime
async def test_shut_down_drops_what_is_delayed_and_ignores_what_would_be(drain: bool) -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    queue.add_after("foo", 5)
    await queue.shut_down(drain=drain)
    queue.add_after("bar", 5)
    queue.add_after("baz", 0)
    queue.add_rate_limited("qux")
    await asyncio.sleep(100)
    assert repr(queue) == "<RateLimitingQueue queued=0 processing=0 shutting down delayed=0>"
    assert queue.num_requeues("qux") == 0


# --- putting off, and giving up --------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_a_delayed_key_can_be_put_off_put_forward_and_be_added_now_and_not_once_more() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    for key in ["later", "sooner", "now"]:
        queue.add_after(key, 50)
    queue.add_after("later", 70, replace=True)
    queue.add_after("sooner", 30, replace=True)
    queue.add_after("now", 0, replace=True)
    assert queue.delayed == 2
    assert await arrivals(queue, 3) == [(0, "now"), (30, "sooner"), (70, "later")]
    await asyncio.sleep(100)
    assert len(queue) == 0


@pytest.mark.looptime
async def test_a_delayed_key_that_is_cancelled_never_comes() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    queue.add_after("foo", 5)
    queue.add_after("bar", 5)
    assert queue.cancel_delayed("foo")
    assert not queue.cancel_delayed("foo")
    assert await arrivals(queue, 1) == [(5, "bar")]
    queue.add_after("foo", 5)
    assert queue.cancel_delayed("foo")
    await asyncio.sleep(100)
    assert len(queue) == 0


@pytest.mark.looptime
async def test_cancelling_leaves_alone_what_is_queued_or_processed() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    for key in ["processed", "queued"]:
        queue.add(key)
    assert queue.get_nowait() == "processed"
    assert not queue.cancel_delayed("processed")
    assert not queue.cancel_delayed("queued")
    assert repr(queue) == "<RateLimitingQueue queued=1 processing=1 delayed=0>"


@pytest.mark.looptime
async def test_a_key_put_off_again_and_again_costs_no_memory() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    for step in range(10_000):
        queue.add_after("foo", 1000 + step, replace=True)
        if step % 3 == 0:
            queue.cancel_delayed("foo")
    assert len(queue._delays._heap) < 100


# --- priorities ------------------------------------------------------------------------------------------------------


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


# --- what is measured ------------------------------------------------------------------------------------------------


class Counts:
    """Metrics that note what they are told; `gauges` is what can be read."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []

    def kinds(self) -> Counter[str]:
        return Counter(what for what, _ in self.told)

    def queue(self, name: str, gauges: QueueGauges) -> Counts:
        self.name, self.gauges = name, gauges
        return self

    def controller(self, name: str, gauges: ControllerGauges) -> ControllerMetrics:
        raise AssertionError("a queue is no controller")

    def added(self) -> None:
        try:
            self.told.append(("added", now()))
        except RuntimeError:
            self.told.append(("added", math.nan))

    def taken(self, waited: float) -> None:
        self.told.append(("taken", waited))

    def finished(self, worked: float) -> None:
        self.told.append(("finished", worked))

    def retried(self) -> None:
        self.told.append(("retried", now()))


@pytest.mark.looptime
async def test_a_queue_is_measured_as_client_gos_is() -> None:
    """[TestMetrics]"""
    counts = Counts()
    queue: WorkQueue[str] = WorkQueue(name="test", metrics=counts)
    gauges = counts.gauges
    assert counts.name == "test"
    assert (gauges.depth(), gauges.unfinished_work(), gauges.longest_running()) == ({}, 0, 0)
    queue.add("foo")
    queue.add("foo")
    assert gauges.depth() == {0: 1}
    await asyncio.sleep(50)
    assert await queue.get() == "foo"
    assert gauges.depth() == {}
    await asyncio.sleep(25)
    # Added while it is processed: counted, and it waits from then on.
    queue.add("foo")
    queue.add("bar")
    await queue.get()
    await asyncio.sleep(5)
    assert (gauges.unfinished_work(), gauges.longest_running()) == (35, 30)
    queue.done("foo")
    assert gauges.longest_running() == 5
    await asyncio.sleep(1)
    assert await queue.get() == "foo"
    assert counts.told == [
        ("added", 0),
        ("taken", 50),
        ("added", 75),
        ("added", 75),
        ("taken", 0),
        ("finished", 30),
        ("taken", 6),
    ]


@pytest.mark.looptime
async def test_each_delayed_adding_is_counted_as_a_retry_also_without_a_delay() -> None:
    """[client-go row W7]"""
    counts = Counts()
    queue: RateLimitingQueue[str] = RateLimitingQueue(name="test", metrics=counts)
    queue.add_after("foo", 0)
    queue.add_after("foo", 5)
    queue.add_rate_limited("foo")
    queue.add("foo")
    assert counts.kinds() == {"retried": 3, "added": 1}


@pytest.mark.looptime
async def test_nothing_is_told_once_the_queue_is_shut_down_and_empty_and_nothing_is_left_running() -> None:
    """[TestMetricShutdown]"""
    counts = Counts()
    queue: RateLimitingQueue[str] = RateLimitingQueue(name="test", metrics=counts)
    queue.add("foo")
    await queue.get()
    await queue.shut_down()
    queue.done("foo")
    counts.told.clear()
    queue.add("foo")
    queue.add_after("foo", 5)
    await asyncio.sleep(100)
    assert counts.told == []
    assert counts.gauges.unfinished_work() == 0
    assert len(asyncio.all_tasks()) == 1


def test_what_was_added_without_a_loop_has_no_time_of_waiting() -> None:
    counts = Counts()
    queue: WorkQueue[str] = WorkQueue(name="test", metrics=counts)
    queue.add("foo")

    async def work() -> None:
        async with queue.item():
            await asyncio.sleep(0)

    asyncio.run(work())
    assert counts.kinds() == {"added": 1, "finished": 1}
    queue.add("foo")
    queue.get_nowait()
    assert (counts.gauges.unfinished_work(), counts.gauges.longest_running()) == (0, 0)


@pytest.mark.looptime
async def test_metrics_that_raise_lose_no_key_and_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Counts):
        def added(self) -> None:
            raise ZeroDivisionError

        def taken(self, waited: float) -> None:
            raise ZeroDivisionError

        def finished(self, worked: float) -> None:
            raise ZeroDivisionError

    queue: RateLimitingQueue[str] = RateLimitingQueue(name="test", metrics=Broken())
    queue.add_after("foo", 1)
    queue.add_after("bar", 1)
    assert await arrivals(queue, 2) == [(1, "foo"), (1, "bar")]
    assert [record.getMessage() for record in caplog.records] == [
        "work queue test: its metrics raised; its figures may be wrong from now on"
    ]


def test_a_queue_that_is_measured_needs_a_name() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        WorkQueue(metrics=Counts())


# --- anything in any order -------------------------------------------------------------------------------------------

KEYS = st.integers(0, 4)
PRIORITIES = st.sampled_from([LOW_PRIORITY, 0, 0, 7])
OLDEST_EVERY = 3


class QueueMachine(RuleBasedStateMachine):
    """Any sequence of calls, moments and cancellations, compared with a queue made of plain lists.

    No key is lost, none is with two workers, none is queued twice, and each comes in its turn and at its time: by
    priority, but each so manyth time the one that has waited longest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.counts = Counts()
        self.queue: RateLimitingQueue[int] = RateLimitingQueue(
            ItemExponential(base=1, cap=8), name="machine", metrics=self.counts, oldest_every=OLDEST_EVERY
        )
        self.getters: list[asyncio.Task[int]] = []
        self.drains: list[tuple[asyncio.Task[None], list[bool]]] = []
        # The model.
        # What waits, the oldest first: priority, and when it got that.
        self.queued: dict[int, tuple[int, int]] = {}
        self.entered = 0
        self.turns = 0
        self.processing: dict[int, int] = {}
        self.dirty: dict[int, int] = {}
        self.due: dict[int, tuple[float, int, int]] = {}
        self.adds = self.takes = self.dones = self.retries = 0
        self.failures: Counter[int] = Counter()
        self.stopped = False
        self.expected: list[int] = []

    def teardown(self) -> None:
        async def end() -> None:
            await self.queue.shut_down()
            tasks = [*self.getters, *(task for task, _ in self.drains)]
            await asyncio.gather(*tasks, return_exceptions=True)

        try:
            self.loop.run_until_complete(end())
        finally:
            self.loop.close()

    def within(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async def run() -> T:
            return call(*args, **kwargs)

        return self.loop.run_until_complete(run())

    def model_queue(self, key: int, priority: int) -> None:
        self.entered += 1
        self.queued[key] = (priority, self.entered)

    def model_add(self, key: int, priority: int = 0) -> None:
        if self.stopped:
            return
        if key in self.queued:
            if priority > self.queued[key][0]:
                self.model_queue(key, priority)
            return
        if key in self.processing:
            self.adds += key not in self.dirty
            self.dirty[key] = max(priority, self.dirty.get(key, priority))
        else:
            self.adds += 1
            self.model_queue(key, priority)

    def model_take(self) -> int:
        oldest = next(iter(self.queued))
        if self.turns + 1 >= OLDEST_EVERY:
            key = oldest
        else:
            key = min(self.queued, key=lambda key: (-self.queued[key][0], self.queued[key][1]))
        self.turns = 0 if key == oldest else self.turns + 1
        assert key not in self.processing
        self.processing[key] = self.queued.pop(key)[0]
        self.takes += 1
        return key

    def model_serve(self) -> None:
        """Workers that wait take what is queued."""
        while self.queued and len(self.expected) < len(self.getters):
            self.expected.append(self.model_take())

    def model_release(self, until: float) -> None:
        for moment in sorted({due for due, _, _ in self.due.values() if due <= until}):
            together = [key for key, (due, _, _) in self.due.items() if due == moment]
            for key in sorted(together, key=lambda key: self.due[key][1]):
                self.model_add(key, self.due.pop(key)[2])
            self.model_serve()

    def settle(self) -> None:
        """Let everything that is to happen now happen, and compare what the workers got."""
        self.loop.run_until_complete(turns(6))
        self.model_serve()
        finished = [getter for getter in self.getters if getter.done()]
        self.getters = [getter for getter in self.getters if not getter.done()]
        if self.stopped:
            told_to_end = [getter for getter in finished if isinstance(getter.exception(), StoppedError)]
            finished = [getter for getter in finished if getter not in told_to_end]
            assert not self.getters
        assert Counter(getter.result() for getter in finished) == Counter(self.expected)
        self.expected = []

    @initialize(keys=st.lists(KEYS, max_size=5))
    def begin(self, keys: list[int]) -> None:
        # Without any loop running.
        for key in keys:
            self.queue.add(key)
            self.model_add(key)

    @rule(key=KEYS, priority=PRIORITIES)
    def add(self, key: int, priority: int) -> None:
        self.within(self.queue.add, key, priority=priority)
        self.model_add(key, priority)
        self.settle()

    @rule()
    def get_nowait(self) -> None:
        if self.queued:
            assert self.within(self.queue.get_nowait) == self.model_take()
        else:
            with pytest.raises(StoppedError if self.stopped else asyncio.QueueEmpty):
                self.within(self.queue.get_nowait)

    @rule()
    def wait(self) -> None:
        self.getters.append(self.loop.create_task(self.queue.get()))
        self.settle()

    @precondition(lambda self: self.getters)
    @rule(data=st.data())
    def cancel_a_waiting_worker(self, data: st.DataObject) -> None:
        getter = self.getters.pop(data.draw(st.integers(0, len(self.getters) - 1)))
        getter.cancel()
        self.settle()
        assert getter.cancelled()

    @precondition(lambda self: self.getters)
    @rule(key=KEYS)
    def cancel_the_worker_whose_turn_it_is(self, key: int) -> None:
        def add_and_cancel(getter: asyncio.Task[int]) -> None:
            self.queue.add(key)
            getter.cancel()

        getter = self.getters.pop(0)
        self.within(add_and_cancel, getter)
        self.model_add(key)
        self.settle()
        assert getter.cancelled()

    @precondition(lambda self: self.processing)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.processing)))
        self.within(self.queue.done, key)
        self.model_done(key)

    def model_done(self, key: int) -> None:
        del self.processing[key]
        self.dones += 1
        if key in self.dirty:
            self.model_queue(key, self.dirty.pop(key))
        self.settle()

    @precondition(lambda self: self.processing)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.processing)))
        self.within(self.queue.give_back, key)
        self.adds += key not in self.dirty
        self.dirty[key] = max(self.processing[key], self.dirty.get(key, LOW_PRIORITY))
        self.model_done(key)

    @rule(key=KEYS)
    def done_with_what_nobody_has(self, key: int) -> None:
        if key not in self.processing:
            with pytest.raises(ValueError, match="not being processed"):
                self.within(self.queue.done, key)

    def model_add_after(self, key: int, delay: float, priority: int = 0, replace: bool = False) -> None:
        if self.stopped:
            return
        self.retries += 1
        if replace:
            self.due.pop(key, None)
        if delay <= 0:
            self.model_add(key, priority)
            return
        due = self.loop.time() + delay
        known = self.due.get(key)
        if known is not None and known[0] <= due:
            self.due[key] = (known[0], known[1], max(priority, known[2]))
        else:
            self.entered += 1
            self.due[key] = (due, self.entered, priority if known is None else max(priority, known[2]))

    @rule(key=KEYS, delay=st.integers(-1, 12), priority=PRIORITIES, replace=st.booleans())
    def add_after(self, key: int, delay: int, priority: int, replace: bool) -> None:
        self.within(self.queue.add_after, key, delay, priority=priority, replace=replace)
        self.model_add_after(key, delay, priority, replace)
        self.settle()

    @rule(key=KEYS)
    def cancel_delayed(self, key: int) -> None:
        assert self.within(self.queue.cancel_delayed, key) is (self.due.pop(key, None) is not None)

    @rule(key=KEYS, priority=PRIORITIES)
    def add_rate_limited(self, key: int, priority: int) -> None:
        self.within(self.queue.add_rate_limited, key, priority=priority)
        if not self.stopped:
            self.model_add_after(key, min(8, 2 ** self.failures[key]), priority)
            self.failures[key] += 1

    @rule(key=KEYS)
    def forget(self, key: int) -> None:
        self.within(self.queue.forget, key)
        self.failures[key] = 0

    @rule(seconds=st.integers(1, 20))
    def let_time_pass(self, seconds: int) -> None:
        until = self.loop.time() + seconds
        self.loop.run_until_complete(asyncio.sleep(seconds))
        assert self.loop.time() == until
        self.model_release(until)
        self.settle()

    @precondition(lambda self: self.stopped or len(self.processing) + len(self.queued) > 2)
    @rule(drain=st.booleans())
    def shut_down(self, drain: bool) -> None:
        self.stopped = True
        self.due = {}
        if drain:
            self.drains.append((self.loop.create_task(self.queue.shut_down(drain=True)), [False]))
        else:
            self.loop.run_until_complete(self.queue.shut_down())
            for _, forced in self.drains:
                forced[0] = True
        self.settle()

    @invariant()
    def counts_agree(self) -> None:
        state = " shutting down" if self.stopped else ""
        assert repr(self.queue) == (
            f"<RateLimitingQueue queued={len(self.queued)} processing={len(self.processing)}{state}"
            f" delayed={len(self.due)}>"
        )
        assert self.queue.depth == Counter(priority for priority, _ in self.queued.values())
        for key in range(5):
            assert self.queue.num_requeues(key) == self.failures[key]
            assert self.queue.priority(key) == self.processing.get(key)

    @invariant()
    def what_is_measured_agrees(self) -> None:
        kinds = self.counts.kinds()
        assert (kinds["added"], kinds["finished"], kinds["retried"]) == (self.adds, self.dones, self.retries)
        # What was added before there was a loop has no time of waiting.
        assert self.takes - 5 <= kinds["taken"] <= self.takes

    @invariant()
    def draining_ends_when_all_is_done_or_it_is_forced(self) -> None:
        idle = not self.queued and not self.processing
        for task, forced in self.drains:
            assert task.done() == (idle or forced[0])


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
