"""Question: what does the first list cost, per object?

5,000 pods from a server in another process into a cache with one index, and to one handler, called for each: by
pages of 500, and by a streaming list. CPU time per object, beside the scan limit. Its bias: as that of `ingest`.
"""

from __future__ import annotations

import asyncio
import gc
import time

from benchmarks.ingest import replaying, scan_limit
from benchmarks.table import Row, plain
from kinformer import Client, ClusterConfig, SharedInformerFactory

OBJECTS = 5_000
RUNS = 4


async def cost(url: str, *, streaming: bool) -> float:
    """CPU microseconds per object, from the start to the last call of the handler."""
    async with Client(ClusterConfig.for_server(url)) as client:
        factory = SharedInformerFactory(client, streaming_lists=streaming)
        pods = factory.core.v1.pods
        pods.add_indexers({"by-namespace": lambda obj: [obj.namespace]})
        registration = pods.add_event_handler(lambda event: event.obj.name)
        gc.collect()
        began = time.process_time()
        async with factory:
            await registration.synced()
            spent = time.process_time() - began
            assert len(pods.lister) == OBJECTS
            assert bool(pods.status.streaming_off) is not streaming
    return spent / OBJECTS * 1e6


def main() -> list[Row]:
    limit = scan_limit()
    with replaying(str(OBJECTS)) as url:
        paged = min(asyncio.run(cost(url, streaming=False)) for _ in range(RUNS))
        streamed = min(asyncio.run(cost(url, streaming=True)) for _ in range(RUNS))
    return [
        Row("an object of the first list, by pages", f"{paged:.1f} µs"),
        Row("… of the scan limit", f"{paged / limit:.1f} ×", "≤ 4.5 ×", paged / limit <= 4.5),
        Row("the same by a streaming list", f"{streamed:.1f} µs"),
        Row("… of that by pages", f"{streamed / paged:.2f} ×", "≤ 1.3 ×", streamed / paged <= 1.3),
    ]


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
