"""The figures of a queue.

Names in brackets are client-go's tests (queue_test.go, delaying_queue_test.go, ...).
"""

from __future__ import annotations

import asyncio
from typing import ParamSpec, TypeVar

import pytest

from kinformer.workqueue import RateLimitingQueue, WorkQueue
from tests.unit.workqueue.queue_probes import Counts, arrivals

P = ParamSpec("P")
T = TypeVar("T")


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
