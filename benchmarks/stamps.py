"""Question: how long after the server sends an event over TLS is the handler called?

The server puts the time into an annotation of each update of a recorded pod (8.9 KB), and sends 10 and 1,000 of them a
second over TLS 1.3; the handler takes the difference. client-go gets protobuf. One client after the other, each in its
own process. Beside `latency`, which measures from a write, no Python server's time for writes is in these figures.

Its bias: all of it runs on one machine, whose cores are shared by server and client.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.api_replay import serving
from benchmarks.latency import percentile
from benchmarks.peers import go
from benchmarks.peers.building import MissingError
from benchmarks.peers.runs import KINFORMER, RIVAL, ask
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain
from benchmarks.transport import certificates

if TYPE_CHECKING:
    from kinformer import KubeObject

OBJECTS: Final = 200
EVENTS: Final = {10: 100, 1000: 6000}
"""By rate, the number of events."""


async def ours(url: str, events: int, authority: str) -> dict[str, object]:
    """Milliseconds of each event, and the part of a core that was busy."""
    from kinformer import Client, ClusterConfig, SharedInformerFactory

    took: list[float] = []
    done = asyncio.Event()

    def updated(_: KubeObject, new: KubeObject) -> None:
        took.append((time.time_ns() - int(new.annotations["checksum/config"])) / 1e6)
        if len(took) == events:
            done.set()

    async with Client(ClusterConfig.for_server(url, ca_file=authority)) as client:
        factory = SharedInformerFactory(client)
        factory.core.v1.pods.add_event_handler(on_update=updated)
        async with factory:
            await factory.wait_for_cache_sync(timeout=30)
            await asyncio.to_thread(ask, url, "begin", Path(authority))
            spent, began = time.process_time(), time.perf_counter()
            await done.wait()
            cpu = (time.process_time() - spent) / (time.perf_counter() - began)
    return {"took": took[:events], "cpu": cpu}


def _run(client: str, url: str, rate: int, events: int, authority: Path) -> tuple[float, float, float]:
    """Return p50 and p99 in milliseconds, and the part of a core."""
    ask(url, f"reset?objects={OBJECTS}&rate={rate}", authority)
    if client == KINFORMER:
        command = [sys.executable, "-m", "benchmarks.stamps", url, str(events), str(authority)]
    else:
        command = [str(go.built()), "stamps", "-url", url, "-ca", str(authority), "-encoding", "protobuf"]
        command += ["-events", str(events)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    took = sorted(found["took"])
    return percentile(took, 50), percentile(took, 99), found["cpu"]


def main() -> list[Row]:
    """For each rate, kinformer's row, and client-go's."""
    rates = {1000: 2000} if is_quick() else EVENTS
    total = max(rates.values())
    why = ""
    encoded: Path | None = None
    step(0, 1, "rendering, building client-go")
    try:
        encoded = go.encoded(OBJECTS, total)
    except MissingError as error:
        why = str(error)
    found: dict[tuple[int, str], tuple[float, float, float]] = {}
    runs = [(rate, client) for rate in rates for client in (KINFORMER, RIVAL)]
    with certificates() as (authority, certificate), serving(OBJECTS, total, encoded, certificate) as url:
        for done, (rate, client) in enumerate(runs):
            step(done, len(runs), f"{client}, {rate} a second")
            if client == RIVAL and why:
                continue
            try:
                found[rate, client] = _run(client, url, rate, rates[rate], authority)
            except subprocess.SubprocessError as error:
                if client == KINFORMER:
                    raise
                why = str(error)[:160]
    rows: list[Row] = []
    for rate in rates:
        own, other = found[rate, KINFORMER], found.get((rate, RIVAL))
        reached = None if other is None else own[0] <= other[0] and own[1] <= other[1]
        rows.append(Row(f"{KINFORMER}, {rate:,} events a second", _text(own), "≤ client-go's", reached, own[0]))
        beside = f"not measured: {why}" if other is None else _text(other)
        rows.append(Row(f"{RIVAL}, {rate:,} events a second", beside))
    return rows


def _text(figures: tuple[float, float, float]) -> str:
    p50, p99, cpu = figures
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, {cpu:.1%} of a core"


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(ours(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
    else:
        print(__doc__)
        print(plain(main()))
