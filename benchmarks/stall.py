"""Question: for how long does kinformer hold the loop?

While 50,000 objects sync and while 100,000 events come in one burst, another task asks for its turn all the time and
notes how long it waited, in CPU time of this thread, so that the machine's other work does not show. This is done with
handlers that read, with 100 handlers (and fewer events), and with 200 informers that are all busy at the same time. The
collector runs as Python has it. Its bias: no network; the source decodes within kinformer's time slices, as the client
does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.objects import Memory, later, pods
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain
from kinformer.informer import SharedInformer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kinformer.events import Event

OBJECTS = 50_000
EVENTS = 100_000
BATCH = 117  # a megabyte of them

HANDLERS: Final[dict[str, Callable[[Event], object]]] = {
    "names": lambda event: event.key,
    "status": lambda event: event.source["status"]["phase"],
    "three sections": lambda event: (
        event.source["status"]["phase"],
        event.source["metadata"].get("ownerReferences"),
        event.source["spec"].get("nodeName"),
    ),
    "to_dict": lambda event: event.source.to_dict(),
}

# The handler, then the numbers of handlers, informers, objects in all, and events in all.
RUNS: Final = (
    ("names", 1, 1, OBJECTS, EVENTS),
    ("status", 1, 1, OBJECTS, EVENTS),
    ("three sections", 1, 1, OBJECTS, EVENTS),
    ("to_dict", 1, 1, OBJECTS, EVENTS),
    ("status", 100, 1, 5_000, 10_000),
    ("status", 1, 200, OBJECTS, EVENTS),
)


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

    @property
    def p99(self) -> float:
        """The 99th percentile, of the time and not of the turns: many short turns must not hide the long ones."""
        total, seen = sum(self.gaps), 0.0
        for gap in sorted(self.gaps):
            seen += gap
            if seen >= 0.99 * total:
                return gap
        return 0.0


def burst(source: Memory, objects: int, events: int) -> Iterator[list[bytes]]:
    """Updates of all objects, one after the other; in batches as large as one read may bring."""
    for start in range(0, events, BATCH):
        numbers = range(start, min(start + BATCH, events))
        yield [later(source.raws[number % objects], 3 + number // objects) for number in numbers]


async def measure(reads: str, handlers: int, informers: int, objects: int, events: int) -> dict[str, list[float]]:
    """Return p99 and maximum of the time that the loop was held, in milliseconds, for "sync" and "burst"."""
    objects, events = objects // informers, events // informers
    raws = pods(objects)
    sources = [Memory(raws) for _ in range(informers)]
    found: dict[str, list[float]] = {}
    async with asyncio.TaskGroup() as tasks, contextlib.AsyncExitStack() as stack:
        running = [SharedInformer(source) for source in sources]
        registrations = []
        for source, informer in zip(sources, running, strict=True):
            source.page_size = 100
            if reads != "names":
                informer.add_indexers({"node": lambda pod: [pod["spec"].get("nodeName", "")]})
            registrations += [informer.add_event_handler(HANDLERS[reads]) for _ in range(handlers)]
        gaps = Gaps()
        watcher = tasks.create_task(gaps.run())
        for informer in running:
            await stack.enter_async_context(informer)
        for registration in registrations:
            await registration.synced()
        watcher.cancel()
        found["sync"] = [gaps.p99, max(gaps.gaps)]
        gc.collect()
        gaps = Gaps()
        watcher = tasks.create_task(gaps.run())
        for source in sources:
            source.send_burst(burst(source, objects, events))
        while any(r.waiting for r in registrations) or any(i.status.events < events for i in running):
            await asyncio.sleep(0.01)
        watcher.cancel()
        found["burst"] = [gaps.p99, max(gaps.gaps)]
    return found


def measured_apart(run: tuple[Any, ...]) -> dict[str, list[float]]:
    """`measure` in a process of its own, so that one run leaves nothing in the heap of the next."""
    command = [sys.executable, "-m", "benchmarks.stall", json.dumps(run)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=240)
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> list[Row]:
    """Rows by handler, number of handlers and informers."""
    rows: list[Row] = []
    runs = RUNS[:2] if is_quick() else RUNS
    for number, run in enumerate(runs):
        reads, handlers, informers, objects, events = run
        who = f"{handlers} handlers read {reads}" if handlers > 1 else f"the handler reads {reads}"
        if informers > 1:
            who += f", {informers} informers"
        step(number, len(runs), who)
        found = measured_apart(run)
        for what, (p99, longest) in found.items():
            when = f"while {objects:,} objects sync" if what == "sync" else f"by a burst of {events:,} events"
            rows += [
                Row(f"loop held {when}, p99; {who}", f"{p99:.1f} ms", "≤ 5 ms", p99 <= 5, p99),
                Row(f"loop held {when}, longest; {who}", f"{longest:.1f} ms", "≤ 25 ms", longest <= 25, longest),
            ]
    return rows


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(measure(*json.loads(sys.argv[1])))))
    else:
        print(__doc__)
        print(plain(main()))
