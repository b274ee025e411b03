"""Question: what does a key cost on its way through the queue and a controller?

The queue: 100,000 keys are added, then each is taken and done; CPU time per key for the three together, with keys of
one priority and of three, and measured by metrics that do nothing. Its bias: keys whose hash is known, as those of a
cache are, and no work between taking and done.

The controller: 10,000 ConfigMaps on `kinformer serve-api`, a process of its own, and a controller with 20 workers.
First its reconcile only reads the object from the cache; then it writes a label to the server where that is missing,
until all have it. Each write comes back as an event, and is reconciled again. CPU time is that of the process with the
controller, which also watches; the server, in Python and on the same machine, sets the pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks import progress
from benchmarks.table import Row, plain
from kinformer import Client, ClusterConfig, Controller, ObjectKey, RateLimitingQueue, SharedInformerFactory
from kinformer.resources import CONFIGMAPS
from kinformer.workqueue import LOW_PRIORITY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer.metrics import ControllerGauges, ControllerMetrics, QueueGauges, QueueMetrics

KEYS = 100_000
OBJECTS = 10_000
WORKERS = 20
LABEL = "seen"


class Deaf:
    """Metrics that do nothing: what remains is what measuring costs."""

    def queue(self, name: str, gauges: QueueGauges) -> QueueMetrics:
        """Itself."""
        del name, gauges
        return self

    def controller(self, name: str, gauges: ControllerGauges) -> ControllerMetrics:
        """There is none here."""
        raise NotImplementedError

    def added(self) -> None:
        """Do nothing."""

    def taken(self, waited: float) -> None:
        """Do nothing."""

    def finished(self, worked: float) -> None:
        """Do nothing."""

    def retried(self) -> None:
        """Do nothing."""


async def queue_cost(count: int, priorities: tuple[int, ...], *, measured: bool = False) -> float:
    """CPU seconds per key for add, get and done."""
    metrics = Deaf() if measured else None
    queue: RateLimitingQueue[ObjectKey] = RateLimitingQueue(name="benchmark", metrics=metrics)
    keys = [ObjectKey("default", f"object-{number}") for number in range(count)]
    wanted = [priorities[number % len(priorities)] for number in range(count)]
    for key in keys:
        hash(key)
    gc.collect()
    began = time.process_time()
    for key, priority in zip(keys, wanted, strict=True):
        queue.add(key, priority=priority)
    for _ in range(count):
        queue.done(await queue.get())
    return (time.process_time() - began) / count


@contextlib.asynccontextmanager
async def server_of_its_own() -> AsyncIterator[str]:
    """The address of a `kinformer serve-api`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kinformer", "serve-api"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        yield line.rpartition(" ")[2].strip()
    finally:
        process.terminate()
        await process.wait()


async def fill(client: Client, count: int) -> None:
    """Create the objects, twenty at a time."""
    numbers = iter(range(count))

    async def create() -> None:
        for number in numbers:
            name = f"object-{number}"
            await client.create(CONFIGMAPS, {"metadata": {"name": name}, "data": {"n": name}}, namespace="default")

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(create())


async def reconciled(url: str, count: int, *, writing: bool) -> tuple[float, float, int]:
    """Seconds, CPU seconds and the number of reconciles until all objects are as they should be."""
    async with Client(ClusterConfig.for_server(url)) as client:
        factory = SharedInformerFactory(client)
        objects = factory.core.v1.configmaps
        missing = {ObjectKey("default", f"object-{number}") for number in range(count)}
        finished = asyncio.Event()
        reconciles = 0

        async def reconcile(key: ObjectKey) -> None:
            nonlocal reconciles
            reconciles += 1
            obj = objects.lister.get(key)
            if obj is None:
                return
            if writing and LABEL not in obj.labels:
                patch: dict[str, Any] = {"metadata": {"labels": {LABEL: "yes"}}}
                await client.patch(CONFIGMAPS, key.name, patch, namespace=key.namespace)
                return
            missing.discard(key)
            if not missing:
                finished.set()

        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            began, cpu = time.perf_counter(), time.process_time()
            async with Controller("benchmark", reconcile, workers=WORKERS).watches(objects):
                await finished.wait()
                return time.perf_counter() - began, time.process_time() - cpu, reconciles


async def controller_rows(count: int) -> list[Row]:
    """Both kinds of reconcile."""
    async with server_of_its_own() as url:
        async with Client(ClusterConfig.for_server(url)) as client:
            await fill(client, count)
        progress.step(4, 6, "reading")
        _, cpu, reconciles = await reconciled(url, count, writing=False)
        rows = [
            Row(f"{count:,} keys, {WORKERS} workers, reading from the cache", f"{cpu / reconciles * 1e6:.1f} µs CPU")
        ]
        progress.step(5, 6, "writing")
        seconds, cpu, reconciles = await reconciled(url, count, writing=True)
        rows += [
            Row(f"{count:,} keys, {WORKERS} workers, a write each", f"{seconds:.1f} s"),
            Row("… CPU of the controller's process per key", f"{cpu / count * 1e6:.0f} µs CPU"),
            Row("… reconciles", f"{reconciles:,}"),
        ]
    return rows


def main() -> list[Row]:
    count = KEYS // 10 if progress.is_quick() else KEYS
    rows = []
    cases: tuple[tuple[str, tuple[int, ...], bool], ...] = (
        ("of one priority", (0,), False),
        ("of three priorities", (LOW_PRIORITY, 0, 10), False),
        ("of one priority, measured", (0,), True),
    )
    for number, (what, priorities, measured) in enumerate(cases):
        progress.step(number, 6, what)
        each = min(asyncio.run(queue_cost(count, priorities, measured=measured)) for _ in range(5)) * 1e6
        rows.append(Row(f"add, get and done of {count:,} keys {what}", f"{each:.2f} µs CPU", "≤ 6 µs", each <= 6))
    progress.step(3, 6, "filling the server")
    return rows + asyncio.run(controller_rows(OBJECTS // 10 if progress.is_quick() else OBJECTS))


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
