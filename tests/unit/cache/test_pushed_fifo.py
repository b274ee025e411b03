"""A few changes go to a consumer that waits, without a turn of the loop; else they wait for it as in any queue."""

from __future__ import annotations

import asyncio

import pytest

from kinformer.cache._pushed_fifo import PushedFIFO
from tests.sources import pod

pytestmark = pytest.mark.looptime


class Consumer:
    """A task that waits for the queue, and a function that takes from it at once."""

    def __init__(self, *, takes: bool = True) -> None:
        self.fifo = PushedFIFO()
        self.fifo.consumer = self.take_now
        self.takes = takes
        self.at_once: list[str] = []
        self.by_task: list[str] = []

    def take_now(self, calls_handlers: bool, /) -> bool:
        assert calls_handlers
        if self.takes:
            self.at_once += self.taken()
        return self.takes

    def taken(self) -> list[str]:
        return [popped.key.name for popped in iter(self.fifo.pop_nowait, None)]

    async def run(self) -> None:
        while not self.fifo.closed:
            await self.fifo.wait()
            self.by_task += self.taken()

    def push(self, *names: str) -> None:
        self.fifo.held = True
        for name in names:
            self.fifo.add(pod(name))
        self.fifo.release()


@pytest.mark.parametrize("takes", [True, False])
async def test_what_is_pushed_goes_to_the_consumer_at_once_or_to_its_task(takes: bool) -> None:
    it = Consumer(takes=takes)
    async with asyncio.TaskGroup() as group:
        group.create_task(it.run())
        await asyncio.sleep(1)
        it.push("a", "b")
        assert it.at_once == (["a", "b"] if takes else [])
        await asyncio.sleep(1)
        assert it.by_task == ([] if takes else ["a", "b"])
        it.fifo.close()


async def test_what_is_pushed_stays_behind_what_the_task_was_woken_for() -> None:
    it = Consumer()
    async with asyncio.TaskGroup() as group:
        group.create_task(it.run())
        it.push("before the task")
        await asyncio.sleep(1)
        it.fifo.add(pod("a"))
        it.push("b")
        await asyncio.sleep(1)
        assert (it.at_once, it.by_task) == ([], ["before the task", "a", "b"])
        it.push("c")
        assert it.at_once == ["c"]
        it.fifo.close()


async def test_a_consumer_whose_task_has_ended_is_not_called() -> None:
    it = Consumer()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(it.run())
        await asyncio.sleep(1)
        task.cancel()
    it.push("a")
    assert it.at_once == []
    assert len(it.fifo) == 1
