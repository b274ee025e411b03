"""The limit on first lists that are under way at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from kinformer.informer import SharedInformer
from tests.properties.world import Source, World

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
