"""`RateLimitingQueue`: keys that come later, and keys that failed.

Names in brackets are client-go's tests (queue_test.go, delaying_queue_test.go, ...).
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import pytest

from kinformer.workqueue import RateLimitingQueue
from kinformer.workqueue.rate_limiters import ItemExponential
from tests.unit.workqueue.queue_probes import arrivals, now

if TYPE_CHECKING:
    from collections.abc import Callable


P = ParamSpec("P")
T = TypeVar("T")


# adding later


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


# putting off, and giving up


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
