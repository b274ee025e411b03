"""Question: what does one informer over 200 namespaces cost, and what does a change of its scope cost?

200 namespaces with 50 ConfigMaps of 1 KB each, on the embedded API server in a process of its own, which changes 200
objects a second. The same objects are watched by one informer whose scope names the namespaces, by the same with one
watch in the place of 200 (`widen_at=`), by 200 informers, and by one of the whole cluster. CPU time and memory are of
the watching process alone, one process for each; requests are those until all have synced.

Then 1,000 changes of the scope of one informer, one after another, under 500 events a second: each swaps 10 of 100
namespaces. Its loop is held for as long as the CPU time between two turns of another task. The program calls
`gc.freeze()` after the sync, as the manual says: otherwise each pass of the collector over the objects of the whole
program counts, too. Its bias: no TLS, small objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.progress import is_quick, step
from benchmarks.stall import Gaps
from benchmarks.table import Row, plain
from kinformer import Client, ClusterConfig, Namespaces, SharedInformerFactory
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACES: Final = 200
OBJECTS: Final = 50
FORMS: Final = ("one", "widened", "many", "cluster")
MOST_OWED: Final = 0.05
"""Seconds of changes that the server makes up for at most, after it could not run."""

_NAMES: Final = [f"n{number}" for number in range(NAMESPACES)]


def _config_map(namespace: str, name: str, value: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"text": "x" * 1000, "value": value}}


async def serve(rate: float) -> None:
    """Change so many objects a second, until killed; fewer where the machine is too slow for it."""
    rng = random.Random(1)
    async with ApiServer() as server:
        for namespace in _NAMES:
            server.create(build.namespace(namespace))
            for number in range(OBJECTS):
                server.create(_config_map(namespace, f"c{number}", ""))
        print(server.url, flush=True)
        clock = asyncio.get_running_loop().time
        before, owed, number = clock(), 0.0, 0
        while True:
            now = clock()
            # While it makes up for changes, the server answers no request. To make up for all of them would take
            # longer each time on a busy machine: 10 s and more, as was seen at ten programs for each core.
            owed, before = min(owed + (now - before) * rate, MOST_OWED * rate), now
            while owed >= 1:
                owed, number = owed - 1, number + 1
                server.update(_config_map(rng.choice(_NAMES), f"c{rng.randrange(OBJECTS)}", str(number)))
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def _serving(rate: float) -> Iterator[str]:
    run = [sys.executable, "-m", "benchmarks.scopes", "--serve", str(rate)]
    with subprocess.Popen(run, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().decode().strip()
        finally:
            server.kill()


async def cost(url: str, form: str, seconds: float) -> dict[str, float]:
    """CPU milliseconds, requests and megabytes to sync, and CPU microseconds per event."""
    import psutil

    process = psutil.Process()
    async with Client(ClusterConfig.for_server(url)) as client:
        factory = SharedInformerFactory(client)
        gc.collect()
        before, began = process.memory_info().rss, time.process_time()
        match form:
            case "one":
                informers = [factory.informer(CONFIGMAPS, scope=Namespaces(*_NAMES))]
            case "widened":
                informers = [factory.informer(CONFIGMAPS, scope=Namespaces(*_NAMES, widen_at=2))]
            case "many":
                informers = [factory.informer(CONFIGMAPS, namespace=name) for name in _NAMES]
            case _:
                informers = [factory.informer(CONFIGMAPS)]
        async with factory:
            await factory.wait_for_cache_sync(timeout=120)
            started = time.process_time() - began
            watches = sum(informer.status.watches for informer in informers)
            requests = watches + sum(sum(informer.status.lists.values()) for informer in informers)
            await asyncio.sleep(1)
            # Each namespace goes over to the shared watch with its next event.
            while form == "widened" and not all(part.shares_watch for part in informers[0].status.scopes):
                await asyncio.sleep(0.5)
            gc.collect()
            held = process.memory_info().rss - before
            events, began = sum(informer.status.events for informer in informers), time.process_time()
            await asyncio.sleep(seconds)
            spent = time.process_time() - began
            seen = sum(informer.status.events for informer in informers) - events
            assert sum(len(informer.lister.list()) for informer in informers) == NAMESPACES * OBJECTS
    return {
        "start": started * 1e3,
        "requests": requests,
        "memory": held / 1e6,
        "event": spent / max(seen, 1) * 1e6,
    }


async def changes(url: str, number: int) -> dict[str, float]:
    """Milliseconds for which the loop is held while the scope changes and per change, and events a second meanwhile."""
    rng = random.Random(2)
    async with Client(ClusterConfig.for_server(url)) as client, SharedInformerFactory(client) as factory:
        inside = set(rng.sample(_NAMES, NAMESPACES // 2))
        informer = factory.informer(CONFIGMAPS, scope=Namespaces(*inside))
        await informer.synced(timeout=60)
        await asyncio.sleep(1)
        gc.collect()
        gc.freeze()
        gaps = Gaps()
        before, began = informer.status.events, time.perf_counter()
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(gaps.run())
            for _ in range(number):
                gone = rng.sample(sorted(inside), 10)
                inside -= set(gone)
                inside |= set(rng.sample(sorted(set(_NAMES) - inside), 10))
                await informer.set_scope(Namespaces(*inside), timeout=60)
                # To look at the whole cache would hold the loop.
                assert gone[0] in inside or not informer.lister.list(namespace=gone[0])
            watcher.cancel()
        spent = time.perf_counter() - began
        # Half of the namespaces are in the scope.
        rate = (informer.status.events - before) / spent * 2
        assert {obj.namespace for obj in informer.lister.list()} == inside
    return {"p99": gaps.p99, "longest": max(gaps.gaps), "change": spent / number * 1e3, "rate": rate}


def _apart(*run: object) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scopes", json.dumps(run)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=900)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> list[Row]:
    logging.disable(logging.WARNING)
    seconds, number = (5.0, 50) if is_quick() else (10.0, 1000)
    found = {}
    for place, form in enumerate(FORMS):
        step(place, len(FORMS) + 1, form)
        with _serving(200.0) as url:
            found[form] = _apart("cost", url, form, seconds)
    step(len(FORMS), len(FORMS) + 1, "changes of a scope")
    with _serving(500.0) as url:
        held = _apart("changes", url, number)
    one, widened, many, cluster = (found[form] for form in FORMS)
    rows = []
    for what, figures in (
        ("one informer of 200 namespaces", one),
        ("… with one watch in the place of 200", widened),
        ("200 informers of a namespace each", many),
        ("one informer of the whole cluster", cluster),
    ):
        rows.append(Row(f"{what}: CPU time per event", f"{figures['event']:.0f} µs", number=figures["event"]))
        rows.append(Row("… memory", f"{figures['memory']:.1f} MB", number=figures["memory"]))
        rows.append(Row("… CPU time to sync", f"{figures['start']:.0f} ms", number=figures["start"]))
        rows.append(Row("… lists and watches until it has synced", f"{figures['requests']:.0f}"))
    rows += [
        Row(f"{number:,} changes of a scope, loop held, p99", f"{held['p99']:.1f} ms", "≤ 5 ms", held["p99"] <= 5),
        Row("… the longest", f"{held['longest']:.1f} ms", "≤ 25 ms", held["longest"] <= 25),
        Row("… which took, on the clock, each: 10 namespaces go, 10 come", f"{held['change']:.0f} ms"),
        Row("… at so many changes a second on the server", f"{held['rate']:.0f}"),
    ]
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(float(sys.argv[2])))
    elif len(sys.argv) > 1:
        kind, *rest = json.loads(sys.argv[1])
        logging.disable(logging.WARNING)
        print(json.dumps(asyncio.run((cost if kind == "cost" else changes)(*rest))))
    else:
        print(__doc__)
        print(plain(main()))
