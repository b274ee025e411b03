"""Question: how much memory does a cached object take, in either storage, and a relist of unchanged objects?

Resident memory of a process, by the kernel's count, before and after a cache is filled with different pods, per object
and as a multiple of the objects' own JSON; then the peak while the whole is listed again. Each storage has a process of
its own. "In objects" is the sum of the sizes that Python reports: the rest is the allocator's, and the
compressor's 0.7 MB. Its bias: no network, so no buffers of one; and neither index nor handler decodes anything, which
would leave decoded pieces in the heap.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.objects import Memory, pods
from benchmarks.table import Row, plain
from kinformer.cache._compact.packed_object import PackedObject
from kinformer.cache.storage import checked_storage
from kinformer.informer import SharedInformer

if TYPE_CHECKING:
    from kinformer.cache.indexer import Indexer
    from kinformer.cache.storage import Storage

OBJECTS = 20_000


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def accounted(indexer: Indexer) -> int:
    """Return the size that Python reports for a cache: each object once, rounded up as by its allocator."""
    parts: dict[int, int] = {}

    def add(*found: Any) -> None:
        for part in found:
            parts[id(part)] = (sys.getsizeof(part) + 15) // 16 * 16

    stored = indexer.copy()
    add(indexer._objects, indexer._by_namespace)
    add(*indexer._by_namespace.values())
    for index in indexer._indexes.values():
        add(index.values_by_key, *index.values_by_key.values(), *index.keys_by_value.values())
    for key, obj in stored.items():
        add(obj, key, obj.key, key.name, key.namespace)
        if isinstance(obj, PackedObject):
            add(*obj.packed)
            continue
        head, labels = obj.metadata, obj.metadata.labels or {}
        add(obj.raw, head, labels, head.uid, head.resource_version, *labels, *labels.values())
    return sum(parts.values())


async def fill(storage: Storage, objects: int = OBJECTS) -> dict[str, float]:
    """Fill a cache, list again, and read; sizes are per object, in bytes, and times in microseconds."""
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
    began = time.process_time()
    async with SharedInformer(source, storage=storage) as informer:
        informer.add_indexers({"by-namespace": lambda obj: [obj.namespace]})
        registration = informer.add_event_handler(handler)
        await registration.synced()
        took = time.process_time() - began
        await asyncio.sleep(1.5)  # whatever is to be done in the background
        gc.collect()
        steady = resident()
        held = steady - before
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
        some = informer.lister.list()[:2000]
        began = time.process_time()
        for obj in some:
            obj["status"]
        read = time.process_time() - began
        return {
            "json": size / objects,
            "held": held / objects,
            "accounted": accounted(informer.indexer) / objects,
            "stored": informer.status.storage.stored_bytes / objects,
            "calls": calls,
            # The JSON that the source keeps was there before; only what the cache added counts as steady.
            "peak": (peak - steady + held) / held,
            "more at the peak": peak - steady,
            "sync": took / objects * 1e6,
            "read": read / len(some) * 1e6,
        }


def _in_its_own_process(storage: Storage) -> dict[str, float]:
    run = [sys.executable, "-m", "benchmarks.memory", storage]
    done = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> list[Row]:
    default, compact = _in_its_own_process("plain"), _in_its_own_process("compact")
    ratio, small = default["held"] / default["json"], compact["held"] / compact["json"]
    return [
        Row("JSON of an object", f"{default['json'] / 1e3:.2f} kB"),
        Row("memory per object held", f"{default['held'] / 1e3:.2f} kB", number=default["held"]),
        Row("… of its JSON", f"{ratio:.2f} ×", "≤ 1.25 ×", ratio <= 1.25),
        Row("… in objects", f"{default['accounted'] / default['json']:.2f} ×"),
        Row('memory per object held, storage="compact"', f"{compact['held'] / 1e3:.2f} kB", number=compact["held"]),
        Row("… of its JSON", f"{small:.3f} ×", "≤ 0.12 ×", small <= 0.12),
        Row("… in objects", f"{compact['accounted'] / compact['json']:.3f} ×"),
        Row("… of which compressed", f"{compact['stored']:.0f} B"),
        Row("… CPU time of the first list, more per object", f"{compact['sync'] - default['sync']:.1f} µs"),
        Row("… CPU time of a read of an object's status, more", f"{compact['read'] - default['read']:.1f} µs"),
        Row(
            f"handler calls by a relist of {OBJECTS:,} unchanged",
            f"{default['calls']:.0f} and {compact['calls']:.0f}",
            "0",
            default["calls"] == compact["calls"] == 0,
        ),
        Row(
            "peak memory while relisting, of the steady", f"{default['peak']:.2f} ×", "≤ 1.30 ×", default["peak"] <= 1.3
        ),
        Row('… more than the steady, storage="compact"', f"{compact['more at the peak'] / 1e6:.0f} MB"),
    ]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(fill(checked_storage(sys.argv[1])))))
    else:
        print(__doc__)
        print(plain(main()))
