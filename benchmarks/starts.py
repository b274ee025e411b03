"""Question: what does the start of many informers cost at once?

200 informers, each of the pods of a namespace (20 pods of 8.9 KB), start together against a server that answers each
request after 10 ms: the time until all are in sync, CPU time per informer, the largest number of requests that waited
for their answers at once, and the connections afterwards. Meanwhile another task asks for its turn all the time and
notes the CPU time of this thread between two of its turns.

Its bias: the server answers all at once, where a busy one queues requests.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Final

from benchmarks.api_replay import serving
from benchmarks.peers.runs import ask
from benchmarks.progress import is_quick, step
from benchmarks.stall import Gaps
from benchmarks.table import Row, plain
from kinformer import Client, ClusterConfig, SharedInformerFactory

INFORMERS: Final = 200
PODS_EACH: Final = 20
DELAY: Final = 0.01  # seconds


async def measure(url: str, informers: int) -> dict[str, float]:
    """Seconds, CPU milliseconds per informer, and milliseconds held."""
    async with Client(ClusterConfig.for_server(url)) as client, asyncio.TaskGroup() as tasks:
        factory = SharedInformerFactory(client)
        for number in range(informers):
            factory.informer("pods", namespace=f"ns-{number:03}").add_event_handler(lambda event: event.key)
        gc.collect()
        gaps = Gaps()
        watcher = tasks.create_task(gaps.run())
        began, spent = time.perf_counter(), time.process_time()
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            found = {
                "seconds": time.perf_counter() - began,
                "cpu": (time.process_time() - spent) / informers * 1e3,
                "longest": max(gaps.gaps),
                "p99": gaps.p99,
            }
            watcher.cancel()
            # Not from this loop: the question waits for its answer.
            counts = await asyncio.to_thread(ask, url, "counts")
    return {**found, **counts}


def main() -> list[Row]:
    """Rows of one start, the best of some."""
    informers = INFORMERS // 4 if is_quick() else INFORMERS
    tries = 1 if is_quick() else 3
    best: dict[str, float] = {}
    with serving(PODS_EACH, 0) as url:
        for number in range(tries):
            step(number, tries, f"{informers} informers")
            ask(url, f"reset?objects={PODS_EACH}&delay={DELAY}")
            for name, value in asyncio.run(measure(url, informers)).items():
                best[name] = min(best.get(name, value), value)
    longest, p99 = best["longest"], best["p99"]
    return [
        Row(f"{informers} informers in sync", f"{best['seconds']:.2f} s", number=best["seconds"]),
        Row("CPU time per informer", f"{best['cpu']:.1f} ms"),
        Row("requests that waited for an answer at once", f"{best['waiting']:.0f}"),
        Row("connections afterwards", f"{best['connections']:.0f}"),
        Row("loop held, longest", f"{longest:.1f} ms", "≤ 25 ms", longest <= 25, longest),
        Row("loop held, p99", f"{p99:.1f} ms", "≤ 5 ms", p99 <= 5, p99),
    ]


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
