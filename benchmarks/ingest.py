"""Question: what does the whole pipeline cost per watch event?

From the socket through client, reflector, FIFO and cache to one plain handler that looks at names only, with one index
on the namespace: CPU time of this process per event, on what a real kube-apiserver sent (8.9 KB pods). Beside it the
scan limit: what msgspec needs to skip over the same bytes once, building nothing. The server runs in another process.
Then the same with a handler that reads `status.phase` and an index that reads `spec.nodeName`; and on uvloop.

Its bias: events come as fast as they are taken, a megabyte at a time, and a handler that decodes nothing is where
kinformer gains most; loopback costs less than a network.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import importlib.util
import logging
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.replay import EVENTS_PER_ROUND, OBJECTS, recorded_lines
from benchmarks.table import Row, plain
from kinformer import Client, ClusterConfig, SharedInformerFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 40
RUNS = 3


class Nothing(msgspec.Struct):
    """Has no fields, so that everything is skipped."""


def scan_limit() -> float:
    """CPU microseconds to skip over one event."""
    lines = recorded_lines()
    decode = msgspec.json.Decoder(Nothing).decode
    best = float("inf")
    for _ in range(10):
        began = time.process_time()
        for line in lines:
            decode(line)
        best = min(best, (time.process_time() - began) / len(lines))
    return best * 1e6


async def ingest(url: str, *, reading: bool = False) -> float:
    """CPU microseconds per event, from the first to the last."""
    total = OBJECTS + ROUNDS * EVENTS_PER_ROUND
    seen = 0
    began = ended = 0.0
    done = asyncio.Event()

    def handler(event: Any) -> None:
        nonlocal seen, began, ended
        assert event.obj["status"]["phase"] if reading else event.obj.name
        seen += 1
        if seen == OBJECTS:
            began = time.process_time()
        elif seen == total:
            ended = time.process_time()
            done.set()

    async with Client(ClusterConfig.for_server(url)) as client:
        factory = SharedInformerFactory(client)
        pods = factory.core.v1.pods
        if reading:
            pods.add_indexers({"node": lambda obj: [obj["spec"].get("nodeName", "")]})
        else:
            pods.add_indexers({"by-namespace": lambda obj: [obj.namespace]})
        pods.add_event_handler(handler)
        async with factory:
            await done.wait()
    return (ended - began) / (ROUNDS * EVENTS_PER_ROUND) * 1e6


@contextlib.contextmanager
def replaying(*more: str) -> Iterator[str]:
    """The replay server, in a process of its own; its address."""
    run = [sys.executable, "-m", "benchmarks.replay", str(ROUNDS), *more]
    server = subprocess.Popen(run, stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().decode().strip()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def measure(runs: int = RUNS) -> tuple[float, float]:
    """The scan limit, and what an event costs the whole way; CPU microseconds, the best of so many runs."""
    # That the replay server does not stream lists is no news here.
    logging.disable(logging.WARNING)
    limits, costs = [], []
    with replaying() as url:
        for _ in range(runs):
            gc.collect()
            limits.append(scan_limit())
            costs.append(asyncio.run(ingest(url)))
    return min(limits), min(costs)


def measure_others(runs: int = RUNS) -> tuple[float, float | None]:
    """Return the cost of an event that is read, and of one on uvloop if that is installed."""
    new_loop = importlib.import_module("uvloop").new_event_loop if importlib.util.find_spec("uvloop") else None
    reading, on_uvloop = [], []
    with replaying() as url:
        for _ in range(runs):
            gc.collect()
            reading.append(asyncio.run(ingest(url, reading=True)))
            if new_loop is not None:
                with asyncio.Runner(loop_factory=new_loop) as runner:
                    on_uvloop.append(runner.run(ingest(url)))
    return min(reading), min(on_uvloop, default=None)


def main() -> list[Row]:
    limit, cost = measure()
    reading, on_uvloop = measure_others()
    faster = "not installed" if on_uvloop is None else f"{on_uvloop:.1f} µs"
    return [
        Row("scan limit: msgspec skips over an event", f"{limit:.1f} µs", number=limit),
        Row("an event, from the socket to a handler", f"{cost:.1f} µs", number=cost),
        Row("… of the scan limit", f"{cost / limit:.2f} ×", "≤ 2.5 ×", cost / limit <= 2.5, cost / limit),
        Row("… events per second on one core", f"{1e6 / cost:,.0f}"),
        Row("… on uvloop", faster, number=on_uvloop),
        Row("… handler and index read obj['status']['phase'], obj['spec']", f"{reading:.1f} µs", number=reading),
    ]


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
