"""Question: does a cache become slower as it grows?

CPU time per event with 1,000 and with 100,000 objects in the cache, of a lookup by index with both, and of a list by
labels over 10,000. Its bias: there is no wire, whose cost would hide the growth of the rest.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.objects import Memory, later, pods
from benchmarks.table import Row, plain
from kinformer.informer import SharedInformer

EVENTS = 20_000

PICTURES = {"benchmarks-growth": "CPU time per watch event with 1,000, 10,000 and 100,000 objects in the cache"}


async def costs(objects: int) -> tuple[float, float, float]:
    """CPU µs per event, µs per object found by index, and ms for a list by labels."""
    source = Memory(pods(objects))
    seen = 0
    done = asyncio.Event()

    def handler(event: object) -> None:
        nonlocal seen
        del event
        seen += 1
        if seen % EVENTS == 0:
            done.set()

    async with SharedInformer(source) as informer:
        await informer.synced()
        informer.add_event_handler(on_update=lambda _, new: handler(new))
        await source.watched.wait()
        best = float("inf")
        for turn in range(3):
            # Spread over the whole cache.
            raws = [
                later(source.raws[(number * 7919) % objects], turn * 100 + 10 + number // objects)
                for number in range(EVENTS)
            ]
            done.clear()
            began = time.process_time()
            for start in range(0, EVENTS, 30):
                source.send(raws[start : start + 30])
            await done.wait()
            best = min(best, (time.process_time() - began) / EVENTS * 1e6)
        informer.add_indexers({"node": lambda obj: [obj["spec"].get("nodeName", "")]})
        began = time.process_time()
        found = 0
        for turn in range(200):
            found += len(informer.lister.by_index("node", f"node-{turn:04}"))
        lookup = (time.process_time() - began) / max(found, 1) * 1e6
        began = time.process_time()
        informer.lister.list(selector="app=web,tier!=cache")
        return best, lookup, (time.process_time() - began) * 1e3


def main() -> list[Row]:
    small = asyncio.run(costs(1_000))
    middle = asyncio.run(costs(10_000))
    large = asyncio.run(costs(100_000))
    ratio = large[0] / small[0]
    return [
        Row(
            "CPU per event with 1,000 objects (no wire)",
            f"{small[0]:.1f} µs",
            points=((1_000, small[0]), (10_000, middle[0]), (100_000, large[0])),
        ),
        Row("the same with 100,000", f"{ratio:.2f} ×", "≤ 1.2 ×", ratio <= 1.2),
        Row("lookup by index, per object found, 1,000", f"{small[1]:.2f} µs"),
        Row("the same with 100,000", f"{large[1]:.2f} µs", "independent of size", large[1] <= 1.5 * small[1]),
        Row("list by labels over 10,000 objects", f"{middle[2]:.1f} ms", "≤ 15 ms", middle[2] <= 15),
    ]


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
