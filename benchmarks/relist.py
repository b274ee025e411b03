"""Question: what does a relist of unchanged objects cost?

50,000 pods from a server in another process into a cache with one index and one handler; then the whole list again, as
after an expired version: by streaming, as by default, and from a server that does not stream lists, which answers a
list from its cache in one page of 450 MB (as kube-apiserver 1.36 does where no limit is asked for, or version "0").
Calls of the handler, the peak of this process's resident memory, CPU time per object, and for how long the loop was
held meanwhile, in CPU time of its thread. Its bias: nothing has changed at all, where in a cluster a few objects have;
and the server answers at once.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from typing import Final

from benchmarks.api_replay import serving
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain
from kinformer import Client, ClusterConfig, SharedInformerFactory


class Watcher:
    """Looks, each time it has its turn, at memory and at how much CPU time the others took before."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self.peak = self.resident()
        self.longest = 0.0

    def resident(self) -> int:
        """Bytes."""
        return int(self._process.memory_info().rss)

    async def run(self) -> None:
        """Until cancelled."""
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest = max(self.longest, now - last)
            self.peak = max(self.peak, self.resident())
            last = time.thread_time()


async def measure(url: str, objects: int, *, streaming: bool) -> list[Row]:
    calls = 0

    def handler(event: object) -> None:
        nonlocal calls
        del event
        calls += 1

    async with Client(ClusterConfig.for_server(url)) as client:
        empty = Watcher().resident()
        factory = SharedInformerFactory(client, streaming_lists=streaming)
        pods = factory.core.v1.pods
        registration = pods.add_event_handler(handler)
        async with factory:
            await registration.synced()
            assert len(pods.lister) == objects
            gc.collect()
            watcher = Watcher()
            steady = watcher.resident()
            calls = 0
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watcher.run())
                began = time.process_time()
                await pods.relist(timeout=240)
                spent = time.process_time() - began
                watching.cancel()
            assert pods.status.relists
            assert bool(pods.status.streaming_off) is not streaming
    how = "by streaming" if streaming else "in one page"
    held = watcher.longest * 1e3
    growth = (watcher.peak - empty) / (steady - empty)
    return [
        Row(f"handler calls by a relist of {objects:,} unchanged, {how}", f"{calls}", "0", calls == 0),
        Row(f"peak memory while relisting {how}, of the steady", f"{growth:.2f} ×", "≤ 1.3 ×", growth <= 1.3, growth),
        Row(f"CPU time per object relisted {how}", f"{spent / objects * 1e6:.1f} µs"),
        Row(f"loop held while relisting {how}, longest", f"{held:.1f} ms", "≤ 25 ms", held <= 25),
    ]


OBJECTS: Final = 50_000


def main() -> list[Row]:
    objects = OBJECTS // 5 if is_quick() else OBJECTS
    step(0, 2, f"{objects:,} pods, by streaming")
    with serving(objects, 0) as url:
        rows = asyncio.run(measure(url, objects, streaming=True))
    step(1, 2, f"{objects:,} pods, in one page")
    # In a process of its own: what the first left in the heap would hide what this one needs.
    program = (
        "import asyncio, json; from benchmarks import relist; from benchmarks.api_replay import serving\n"
        f"with serving({objects}, 0) as url:\n"
        f"    print(json.dumps(asyncio.run(relist.measure(url, {objects}, streaming=False))))"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    return rows + [Row(*row) for row in json.loads(done.stdout.splitlines()[-1])]


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
