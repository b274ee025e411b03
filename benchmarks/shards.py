"""Question: what does one replica of N cost, if the replicas divide 100,000 pods and 5,000 events a second?

Replicas 1 of 1, 2, 5 and 10, each alone, as an informer with the ranges of its slices and a handler. The API server is
a replay in a process of its own; pods have 9 KB. It sends the share only, by shardSelector (KEP-5866) or by the slice
label, or everything, as a server without the feature gate does. The events come at the rate that the share has. CPU is
that of the replica from the first event to the last, per second of the stream. Memory (USS) is that of the cache after
its sync, compact. "Beyond" is the CPU time above 1.15/N of that of one replica alone. In a slow stream each event wakes
the event loop, and in a fast one several come at once, so the CPU time of an event depends on the rate: the informer
that has all pods is therefore measured at a fifth and a tenth of the events, too.

The last row is one of ten replicas that divide 1,000,000 pods. Its bias: no TLS; the Leases of the group are not in it
(a renewal each 3 s). `python -m benchmarks.shards OBJECTS` tries another number.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from typing import Any, Final

import psutil

from benchmarks import generator, progress
from benchmarks.api_replay import Content, Replay
from benchmarks.table import Row, plain
from benchmarks.wire import JSON
from kinformer import Client, ClusterConfig, Ranges, SharedInformerFactory, Updated
from kinformer._shards import hash_of
from kinformer.operators.shard_group import SLICES
from kinformer.resources import PODS

OBJECTS: Final = 100_000
EVENTS: Final = 20_000
RATE: Final = 5_000
REPLICAS: Final = (1, 2, 5, 10)
FORMS: Final = ("shardSelector", "slice label", "everything", "one replica, slower")
PATIENCE: Final = 240.0

_LABELS: Final = b'"labels":{'


def _slice_of(number: int) -> int:
    return hash_of(generator.uid(number)) >> 56


def _slices(replicas: int) -> range:
    """Return the slices of the first of so many replicas."""
    return range(SLICES // replicas)


def _labelled(number: int, raw: bytes) -> bytes:
    return raw.replace(_LABELS, b'"labels":{"kinformer.dev/slice":"%02x",' % _slice_of(number), 1)


async def serve(objects: int, replicas: int, form: str) -> None:
    """Serve the share of the first of so many replicas, or everything, until killed; print the address and numbers."""
    ours = _slices(replicas)
    sent = range(SLICES) if form == "everything" else ours
    if form == "one replica, slower":
        # As many pods as all have, and as many events as the share has.
        ours = sent = range(SLICES)
    numbers = [number for number in range(objects) if _slice_of(number) in sent]
    items = [generator.pod(number) for number in numbers]
    events = []
    for place in range(EVENTS // replicas if form == "one replica, slower" else EVENTS):
        number, raw = generator.event(place, objects)
        if _slice_of(number) in sent:
            events.append((number, raw))
    if form == "slice label":
        items = [_labelled(number, item) for number, item in zip(numbers, items, strict=True)]
        events = [(number, _labelled(number, raw)) for number, raw in events]
    replay = Replay([Content(JSON, items, [raw for _, raw in events])], len(items))
    server = await asyncio.start_server(replay.answer, "127.0.0.1", 0, limit=1 << 20)
    found = {
        "url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "objects": sum(_slice_of(number) in ours for number in numbers),
        "events": sum(_slice_of(number) in ours for number, _ in events),
        "sent": len(events),
        "items": len(items),
    }
    print(json.dumps(found), flush=True)
    await server.serve_forever()


async def replica(found: dict[str, Any], replicas: int, form: str) -> dict[str, float]:
    """Be the first of so many replicas; return CPU seconds of list and events, and megabytes of the cache."""
    process, url = psutil.Process(), found["url"]
    seen = 0

    def handler(event: object) -> None:
        nonlocal seen
        seen += isinstance(event, Updated)

    async with Client(ClusterConfig.for_server(url)) as client:
        factory = SharedInformerFactory(client, storage="compact")
        slices = range(SLICES) if form == "one replica, slower" else _slices(replicas)
        share = Ranges.of_slices(slices, of=SLICES, by="label" if form == "slice label" else "uid")
        informer = factory.informer(PODS, shard=share)
        informer.add_event_handler(handler)
        rate = RATE * found["sent"] / EVENTS
        await asyncio.to_thread(_get, f"{url}/replay/reset?objects={found['items']}&rate={rate}")
        empty, began = process.memory_full_info().uss, time.process_time()
        async with factory:
            await factory.wait_for_cache_sync(timeout=PATIENCE)
            listed = time.process_time() - began
            # Earlier objects are compressed in slices, and temporary memory is given back.
            await asyncio.sleep(5)
            assert len(informer.indexer) == found["objects"]
            filled = process.memory_full_info().uss
            await asyncio.to_thread(_get, f"{url}/replay/begin")
            began = time.process_time()
            async with asyncio.timeout(PATIENCE):
                while seen < found["events"]:
                    await asyncio.sleep(0.25)
            spent = time.process_time() - began
    return {"listed": listed, "spent": spent, "memory": (filled - empty) / 1e6}


def _get(url: str) -> None:
    urllib.request.urlopen(url, timeout=PATIENCE).read()


def measure(objects: int, replicas: int, form: str) -> dict[str, float]:
    """Measure one replica, in a process of its own, beside a server in another one."""
    module = [sys.executable, "-m", "benchmarks.shards"]
    where = [str(objects), str(replicas), form]
    with subprocess.Popen([*module, "--serve", *where], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            found = server.stdout.readline()
            ran = subprocess.run([*module, "--replica", *where, found], stdout=subprocess.PIPE, text=True, check=True)
        finally:
            server.kill()
    return {**json.loads(found), **json.loads(ran.stdout)}


def main(objects: int = OBJECTS) -> list[Row]:
    """Measure all replicas."""
    rows: list[Row] = []
    total = len(REPLICAS) * len(FORMS) + 1
    alone = 0.0
    for form in FORMS:
        for replicas in REPLICAS:
            if form == "one replica, slower" and replicas == 1:
                continue
            progress.step(len(rows), total, f"{form}, one of {replicas}")
            found = measure(objects, replicas, form)
            # Of a core, in percent; the stream takes EVENTS / RATE seconds.
            cost = found["spent"] / (EVENTS / RATE) * 100
            alone = alone or cost
            beyond = max(0.0, cost - 1.15 * alone / replicas)
            events = f"{found['spent'] / found['events'] * 1e6:.0f} µs an event of its own"
            text = f"{cost:.1f} % of a core ({cost / alone:.2f}), beyond {beyond:.1f} %, {events}"
            about = f"list {found['listed']:.1f} s CPU, cache {found['memory']:.0f} MB"
            rows.append(Row(f"{form}, 1 of {replicas}: {found['objects']:,.0f} pods", f"{text}; {about}"))
            print(rows[-1], file=sys.stderr, flush=True)
    progress.step(total - 1, total, "1,000,000 pods")
    found = measure(10 * objects, 10, "shardSelector")
    per_object = f"{found['memory'] * 1e6 / found['objects']:,.0f} B a pod"
    value = f"{found['memory']:.0f} MB, {per_object}; list {found['listed']:.1f} s CPU"
    fits = found["memory"] <= 135 * found["objects"] / 100_000
    name = f"1 of 10 that divide {10 * objects:,} pods: {found['objects']:,.0f}"
    rows.append(Row(name, value, "≤ 135 MB for 100,000", fits))
    return rows


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve", objects, replicas, form]:
            asyncio.run(serve(int(objects), int(replicas), form))
        case ["--replica", _, replicas, form, found]:
            print(json.dumps(asyncio.run(replica(json.loads(found), int(replicas), form))))
        case numbers:
            print(plain(main(*map(int, numbers))))
