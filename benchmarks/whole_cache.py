"""Question: for how long do whole-cache steps hold the loop?

A cache of 100,000 small pods (0.7 KB), and steps that go over all of them: a handler that is added late, an iteration
over events, a new index, a relist, and reads of the lister. Another task asks for its turn all the time and notes the
CPU time of this thread between two of its turns. The collector runs as Python has it: a full collection of this heap
alone takes some 10 ms. The step with deletions lasts until their memory is given back. The memory that this source
itself has freed is given back before. `lister.list()` is a plain call that returns a list, so it cannot let others have
their turn; the iteration over the lister does.

Its bias: no network, and handlers that do nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from typing import TYPE_CHECKING, Final

from benchmarks.objects import Memory
from benchmarks.progress import is_quick, step
from benchmarks.stall import Gaps
from benchmarks.table import Row, plain
from kinformer.cache._compact.malloc_trim import give_back_free_memory
from kinformer.informer import SharedInformer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from kinformer.cache.storage import Storage

OBJECTS: Final = 100_000
BOUND: Final = 5.0  # milliseconds of CPU time, by the project's target


def small(number: int, version: int = 1) -> bytes:
    """A pod of 0.7 KB."""
    return (
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"pod-%06d","namespace":"ns-%02d","uid":"u-%06d",'
        b'"resourceVersion":"%d","labels":{"app":"a%d"}},"spec":{"nodeName":"node-%d","ballast":"%s"},'
        b'"status":{"phase":"Running"}}'
    ) % (number, number % 50, number, 100_000_000 + version, number % 7, number % 1000, b"x" * 500)


class Held:
    """Measures steps, one after the other."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    @contextlib.asynccontextmanager
    async def step(self, what: str, *, target: bool = True) -> AsyncIterator[None]:
        """Note for how long the body held the loop."""
        gc.collect()
        gaps = Gaps()
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(gaps.run())
            await asyncio.sleep(0.01)
            gaps.gaps.clear()
            began = time.thread_time()
            yield
            await asyncio.sleep(0)
            spent = (time.thread_time() - began) * 1e3
            await asyncio.sleep(0.01)
            watcher.cancel()
        longest = max(gaps.gaps)
        value = f"{longest:.1f} ms, p99 {gaps.p99:.1f} ms, of {spent:,.0f} ms"
        bound = f"≤ {BOUND:g} ms" if target else ""
        self.rows.append(Row(what, value, bound, gaps.p99 <= BOUND if target else None, longest))


async def measure(objects: int, storage: Storage = "plain") -> list[Row]:
    """Rows of all steps."""
    source = Memory([small(number) for number in range(objects)])
    held = Held()
    async with SharedInformer(source, storage=storage) as informer:
        await informer.synced()
        for name, add in _handlers(informer).items():
            async with held.step(name):
                await add()
        async with held.step("async for … in events()"):
            await _taken(informer.events(), objects)
        async with held.step("async for … in lister"):
            async for _ in informer.lister:
                pass
        async with held.step("async for … in lister.each(selector=…)"):
            async for _ in informer.lister.each(selector="app=a1"):
                pass
        async with held.step("lister.list(), a plain call", target=False):
            informer.lister.list()
        async with held.step("snapshot()"):
            informer.snapshot()
        async with held.step("add_indexers() to the full cache"):
            await informer.add_indexers({"node": lambda pod: [pod["spec"]["nodeName"]]})
        async with held.step("relist, nothing changed"):
            await informer.relist(timeout=200)
        source.raws = tuple(small(number, 2 if number % 100 == 0 else 1) for number in range(objects))
        give_back_free_memory()
        async with held.step("relist, 1 % changed"):
            await informer.relist(timeout=200)
        source.raws = source.raws[: objects // 10]
        give_back_free_memory()
        async with held.step("relist, 90 % deleted"):
            await informer.relist(timeout=200)
            await asyncio.sleep(1.5)
    return held.rows


def _handlers(informer: SharedInformer) -> dict[str, Callable[[], Awaitable[None]]]:
    async def coroutine(_: object) -> None:
        """Do nothing."""

    async def every() -> None:
        await informer.add_event_handler(lambda _: None).synced()

    async def latest() -> None:
        await informer.add_event_handler(lambda _: None, delivery="latest").synced()

    async def awaited() -> None:
        registration = informer.add_event_handler(coroutine)
        await registration.synced()
        await registration.remove()

    return {"late handler": every, "late coroutine handler": awaited, 'late handler, delivery="latest"': latest}


async def _taken(events: AsyncIterator[object], count: int) -> None:
    async for _ in events:
        count -= 1
        if not count:
            return


def main() -> list[Row]:
    """A row for each step."""
    objects = OBJECTS // 5 if is_quick() else OBJECTS
    step(0, 2, f"{objects:,} objects, plain")
    rows = asyncio.run(measure(objects))
    step(1, 2, f"{objects:,} objects, compact")
    compact = {row.what: row for row in asyncio.run(measure(objects, "compact"))}
    kept = ("late handler", "add_indexers() to the full cache", "relist, 1 % changed")
    return rows + [compact[what]._replace(what=f"{what}, compact storage") for what in kept]


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
