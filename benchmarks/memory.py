"""Question: how much memory does a cached object take, and a relist of what is unchanged?

Resident memory of this process, by the kernel's count, before and after a cache is filled, per object and as a multiple
of the objects' own JSON; then the peak while the whole is listed again. Its bias: no network, so no buffers of one;
and neither index nor handler decodes anything, which would leave pieces of what it decoded in the heap.
"""

from __future__ import annotations

import asyncio
import gc

import psutil

from benchmarks.objects import Memory, pods
from benchmarks.table import Row, plain
from kinformer.informer import SharedInformer

OBJECTS = 20_000


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


async def measure(objects: int = OBJECTS) -> list[Row]:
    raws = pods(objects)
    size = sum(map(len, raws))
    calls = 0

    def handler(event: object) -> None:
        nonlocal calls
        del event
        calls += 1

    gc.collect()
    before = resident()
    source = Memory(raws)
    async with SharedInformer(source) as informer:
        informer.add_indexers({"by-namespace": lambda obj: [obj.namespace]})
        registration = informer.add_event_handler(handler)
        await registration.synced()
        gc.collect()
        held = resident() - before
        steady = resident()
        calls = 0
        peak = steady

        async def watch_peak() -> None:
            nonlocal peak
            while True:
                peak = max(peak, resident())
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(watch_peak())
            await informer.relist(timeout=120)
            watcher.cancel()
    ratio = held / size
    # The JSON that the source keeps was there before; only what the cache added counts as steady.
    growth = (peak - steady + held) / held
    return [
        Row("memory per object held", f"{held / objects / 1e3:.1f} kB", "", None),
        Row("the same, of its JSON", f"{ratio:.2f} ×", "≤ 1.25 ×", ratio <= 1.25),
        Row(f"handler calls by a relist of {objects:,} unchanged", f"{calls}", "0", calls == 0),
        Row("peak memory while relisting, of the steady", f"{growth:.2f} ×", "≤ 1.30 ×", growth <= 1.3),
    ]


def main() -> list[Row]:
    return asyncio.run(measure())


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
