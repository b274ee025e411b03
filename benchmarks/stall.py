"""Question: for how long does kinformer hold the loop?

While 50,000 objects sync and while 100,000 events come in one burst, another task asks for its turn all the time and
notes how long it waited, in CPU time of this thread, so that the machine's other work does not show. The collector runs
as Python has it. Its bias: no network.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING

from benchmarks.objects import Memory, later, pods
from benchmarks.table import Row, plain
from kinformer.informer import SharedInformer

if TYPE_CHECKING:
    from collections.abc import Iterator

OBJECTS = 50_000
EVENTS = 100_000
BATCH = 117  # a megabyte of them


class Gaps:
    """Notes the pauses between its turns, in milliseconds."""

    def __init__(self) -> None:
        self.gaps: list[float] = []

    async def run(self) -> None:
        """Until cancelled."""
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.gaps.append((now - last) * 1e3)
            last = now

    def rows(self, what: str) -> list[Row]:
        """The 99th percentile, of the time, and the longest."""
        # Of the time and not of the turns: thousands of short turns must not hide the long ones.
        total, seen, p99 = sum(self.gaps), 0.0, 0.0
        for gap in sorted(self.gaps):
            seen += gap
            if seen >= 0.99 * total:
                p99 = gap
                break
        longest = max(self.gaps)
        return [
            Row(f"loop held {what}, p99", f"{p99:.1f} ms", "≤ 5 ms", p99 <= 5, p99),
            Row(f"loop held {what}, longest", f"{longest:.1f} ms", "≤ 25 ms", longest <= 25, longest),
        ]


def burst(source: Memory) -> Iterator[list[bytes]]:
    """Updates of all objects, one after the other; in batches as large as one read."""
    for start in range(0, EVENTS, BATCH):
        numbers = range(start, min(start + BATCH, EVENTS))
        yield [later(source.raws[number % OBJECTS], 3 + number // OBJECTS) for number in numbers]


async def measure() -> list[Row]:
    rows: list[Row] = []
    source = Memory(pods(OBJECTS))
    source.page_size = 100  # a page is decoded by the client, in slices of its own
    gaps = Gaps()
    async with asyncio.TaskGroup() as tasks, SharedInformer(source) as informer:
        registration = informer.add_event_handler(lambda event: event.key)
        watcher = tasks.create_task(gaps.run())
        await registration.synced()
        watcher.cancel()
        rows += gaps.rows(f"while {OBJECTS:,} objects sync")
        gc.collect()
        gaps = Gaps()
        watcher = tasks.create_task(gaps.run())
        source.send_burst(burst(source))
        while registration.waiting or informer.status.events < EVENTS:
            await asyncio.sleep(0.01)
        watcher.cancel()
        rows += gaps.rows(f"by a burst of {EVENTS:,} events")
    return rows


def main() -> list[Row]:
    return asyncio.run(measure())


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
