"""What an informer is for Python's garbage collector: the longest holds of the loop are its collections."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from kinformer.informer import SharedInformer
from tests.sources import FakeSource, pod

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_PER_INFORMER = 160
"""Objects that the collector visits, the source of this test included; 142 on CPython 3.11."""


@pytest.fixture
def without_the_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.usefixtures("without_the_collector")
async def test_a_running_informer_is_few_objects_and_its_cache_is_none() -> None:
    visited = []
    async with asyncio.timeout(10):
        for objects in (10, 10, 10, 500):
            informer = SharedInformer(FakeSource(*(pod(f"a{number}") for number in range(objects))))
            informer.add_event_handler(lambda event: event.key)
            informer.start()
            await informer.synced()
            await asyncio.sleep(0.1)
            visited.append((informer, len(gc.get_objects())))
    counts = [count for _, count in visited]
    few, many = counts[2] - counts[1], counts[3] - counts[2]
    for informer, _ in visited:
        await informer.stop()
    assert few <= MOST_PER_INFORMER
    assert many <= few + 10, "no object of the cache is one for the collector"
