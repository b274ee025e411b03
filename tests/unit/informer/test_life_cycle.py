"""An informer in its event loop, and calls from another one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import set_time_slice
from kinformer.errors import WrongLoopError
from kinformer.informer import SharedInformer
from kinformer.objects import ObjectKey
from tests.sources import FakeSource, pod

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

pytestmark = pytest.mark.usefixtures("storage")

CALLS: dict[str, Callable[[SharedInformer], Awaitable[Any]]] = {
    "synced": lambda pods: pods.synced(1),
    "wait_for": lambda pods: pods.wait_for(ObjectKey("default", "a"), timeout=1),
    "caught_up": lambda pods: pods.caught_up(timeout=1),
    "relist": lambda pods: pods.relist(1),
    "stop": lambda pods: pods.stop(),
    "events": lambda pods: anext(pods.events()),
    "add_event_handler": lambda pods: asyncio.sleep(0, pods.add_event_handler(print)),
}


@pytest.fixture
def loops() -> Iterator[tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop]]:
    pair = asyncio.new_event_loop(), asyncio.new_event_loop()
    yield pair
    for loop in pair:
        loop.close()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("synced", [False, True])
def test_a_call_in_another_loop_is_an_error_and_never_a_hang(
    loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop], call: str, synced: bool
) -> None:
    home, other = loops
    pods = SharedInformer(FakeSource(pod("a", 3)))

    async def start() -> None:
        pods.start()
        if synced:
            await pods.synced(5)

    async def use() -> None:
        await asyncio.wait_for(CALLS[call](pods), 60)

    home.run_until_complete(start())
    with pytest.raises(WrongLoopError, match="another event loop and can only be used there.*loop_scope"):
        other.run_until_complete(use())
    home.run_until_complete(pods.stop())
    assert pods.stopped


def test_a_loop_that_is_closed_is_named_as_such(
    loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop],
) -> None:
    home, other = loops
    pods = SharedInformer(FakeSource())

    async def start() -> None:
        pods.start()

    home.run_until_complete(start())
    tasks = asyncio.all_tasks(home)
    for task in tasks:
        task.cancel()
    record = pods.status
    home.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    assert record.state != pods.status.state
    assert pods.stopped, "an informer whose tasks were cancelled has ended; reads and stop work in any loop"
    other.run_until_complete(pods.stop())


async def test_informers_that_start_together_share_the_time_slice() -> None:
    set_time_slice(1e-9)
    sources = [FakeSource(pod("a")) for _ in range(30)]
    informers = [SharedInformer(source) for source in sources]
    turns = 0
    for informer in informers:
        informer.start()
    while not all(source.lists for source in sources):
        await asyncio.sleep(0)
        turns += 1
    for informer in informers:
        await informer.stop()
    assert turns >= len(sources), "each start used up the slice of its turn"
