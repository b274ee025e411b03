"""Question: what does one more handler cost?

100 handlers on one informer, plain and coroutine functions that do nothing: CPU time per delivery beyond what the cache
itself needs, measured with one handler beside. Its bias: handlers that do nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.objects import Memory, later, pods
from benchmarks.table import Row, plain
from kinformer.informer import SharedInformer

HANDLERS = 100
EVENTS = 3_000
BATCH = 30


class Counted:
    """Counts deliveries, and says when all are there."""

    def __init__(self, expected: int) -> None:
        self.left = expected
        self.done = asyncio.Event()

    def plain(self, event: Any) -> None:
        """A plain function."""
        del event
        self.left -= 1
        if not self.left:
            self.done.set()

    async def coroutine(self, event: Any) -> None:
        """A coroutine function."""
        self.plain(event)


async def cost(kind: str, count: int) -> float:
    """CPU seconds for the events with so many handlers."""
    source = Memory(pods(1000))
    counted = Counted(count * (1000 + EVENTS))
    async with SharedInformer(source) as informer:
        registrations = [informer.add_event_handler(getattr(counted, kind)) for _ in range(count)]
        for registration in registrations:
            await registration.synced()
        raws = [later(source.raws[number % 1000], 2 + number // 1000) for number in range(EVENTS)]
        await source.watched.wait()
        began = time.process_time()
        for start in range(0, EVENTS, BATCH):
            source.send(raws[start : start + BATCH])
        await counted.done.wait()
        return time.process_time() - began


def main() -> list[Row]:
    rows = []
    for what, limit in (("plain", 1.5), ("coroutine", 2.5)):
        alone = min(asyncio.run(cost(what, 1)) for _ in range(3))
        many = min(asyncio.run(cost(what, HANDLERS)) for _ in range(3))
        each = (many - alone) / (EVENTS * (HANDLERS - 1)) * 1e6
        rows.append(Row(f"delivery to a {what} function", f"{each:.2f} µs CPU", f"≤ {limit} µs", each <= limit))
    return rows


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
