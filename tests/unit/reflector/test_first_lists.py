"""Many reflectors that begin, or reconnect, at once: the limit on first lists, and the time that requests take."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kinformer.informer import SharedInformer
from tests.properties.world import Source, World
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from kinformer.listwatch import ListPage


class CountedSource(Source):
    """A source that counts the lists that are under way in its world."""

    active = 0
    most = 0

    async def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        CountedSource.active += 1
        CountedSource.most = max(CountedSource.most, CountedSource.active)
        try:
            async for page in super().list(resource_version=resource_version, limit=limit):
                yield page
        finally:
            CountedSource.active -= 1


@pytest.mark.looptime
@pytest.mark.parametrize("streams", [False, True])
async def test_no_more_first_lists_than_allowed_are_under_way_and_each_gets_its_turn(streams: bool) -> None:
    CountedSource.active = CountedSource.most = 0
    world = World(streams_lists=streams)
    world.write("a")
    world.list_errors.extend(["500", "refused"])
    starts = asyncio.Semaphore(3)
    async with AsyncExitStack() as stack:
        informers = [SharedInformer(CountedSource(world, None), starts=starts) for _ in range(20)]
        for informer in informers:
            await stack.enter_async_context(informer)
        for informer in informers:
            await informer.synced(60)
        assert CountedSource.most <= 3
        assert not starts.locked()
        # What comes after the first list waits for nobody.
        await asyncio.gather(*(informer.relist(60) for informer in informers))
        assert CountedSource.most > 3 or streams


class CostlySource(Source):
    """A source whose every request takes a millisecond of the loop's time, and notes the turn of the loop."""

    turn = 0
    at_turn: ClassVar[Counter[int]] = Counter()

    def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        self._take_time()
        return super().list(resource_version=resource_version, limit=limit)

    def watch(self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False) -> Any:
        self._take_time()
        return super().watch(
            resource_version=resource_version, timeout_seconds=timeout_seconds, send_initial_events=send_initial_events
        )

    def _take_time(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.take(0.001)
        CostlySource.at_turn[CostlySource.turn] += 1

    @classmethod
    async def sent(cls, number: int) -> None:
        """Count the turns of the loop until so many requests have been sent."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        while cls.at_turn.total() < number:
            cls.turn += 1
            loop.take(0.0001)
            await asyncio.sleep(0)


def test_other_tasks_have_their_turn_while_many_reflectors_begin_or_reconnect() -> None:
    async def play() -> None:
        async with AsyncExitStack() as stack:
            informers = [SharedInformer(CostlySource(World(streams_lists=True), None)) for _ in range(20)]
            for informer in informers:
                await stack.enter_async_context(informer)
            await asyncio.gather(*(informer.synced() for informer in informers), CostlySource.sent(20))
            await asyncio.sleep(1)
            for informer in informers:
                informer.reconnect()
            await CostlySource.sent(40)
        # A slice has room for two.
        assert max(CostlySource.at_turn.values()) == 2

    CostlySource.at_turn.clear()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play())
