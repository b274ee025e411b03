"""Question: what do the 200 clusters of a fleet cost, and do failing clusters delay the others?

200 embedded API servers run in another process; the fleet has one informer and one controller with four workers for
each. An idle cluster: resident memory and CPU time of the process, from a fleet of one cluster to one of all. Latency:
from the moment before a write to the call of reconcile, in one cluster after the other, without and with 60 failing
ones, in turns: 20 servers that are away, 20 whose tokens have expired, 20 that accept connections and never answer; the
least median of three turns each. Its bias: loopback, no TLS, and the servers take the other core.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.at_rest import RestMeter
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain
from kinformer import ClusterConfig, Controller, Fleet, ObjectKey
from kinformer.resources import CONFIGMAPS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from kinformer.fleet import Cluster, Clusters

SERVERS: Final = 200
FAILING: Final = 20
SETTLE: Final = 2.0  # seconds
PHASES: Final = 3


async def serve() -> None:
    """Servers; "away" on stdin stops some of them, and "expire" takes the tokens of others."""
    from kinformer.testing import ApiServer

    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ApiServer()) for _ in range(SERVERS)]
        for server in servers:
            server.tokens["fleet"] = "fleet"
            server.allow("fleet")
        print(" ".join(server.url for server in servers), flush=True)
        while command := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if command == "away":
                for server in servers[:FAILING]:
                    await server.stop()
            else:
                for server in servers[FAILING : 2 * FAILING]:
                    server.tokens.clear()
                    server.tokens["another"] = "fleet"
            print("done", flush=True)


class Servers:
    """The process with the servers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.urls = process.stdout.readline().split()

    def tell(self, command: str) -> None:
        """Have servers fail."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()


@contextlib.contextmanager
def _serving() -> Iterator[Servers]:
    run = [sys.executable, "-m", "benchmarks.fleet", "--serve"]
    with subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Servers(process)
        finally:
            process.kill()


class Seen:
    """The moments at which objects were reconciled."""

    def __init__(self) -> None:
        self.at: dict[tuple[str, str], asyncio.Future[float]] = {}

    def __call__(self, cluster: Cluster) -> Controller[ObjectKey]:
        """Make the controller of a cluster."""
        maps = cluster.informer(CONFIGMAPS)

        async def reconcile(key: ObjectKey) -> None:
            maps.lister.get(key)
            waiting = self.at.get((cluster.name, key.name))
            if waiting is not None and not waiting.done():
                waiting.set_result(time.perf_counter())

        return Controller("maps", reconcile).watches(maps)

    async def latency(self, fleet: Fleet, name: str, number: int) -> float:
        """Write an object; return the seconds until it is reconciled."""
        waiting = self.at[name, f"m{number}"] = asyncio.get_running_loop().create_future()
        client = fleet[name].client
        began = time.perf_counter()
        await client.create(CONFIGMAPS, {"metadata": {"name": f"m{number}", "namespace": "default"}})
        ended: float = await asyncio.wait_for(waiting, 30)
        return ended - began


async def idle(urls: list[str], seconds: float) -> tuple[float, float, float]:
    """The part of a core, CPU milliseconds and kilobytes, each per cluster."""

    async def with_clusters(count: int) -> tuple[float, float, float]:
        named = {f"c{number}": ClusterConfig.for_server(url, "fleet") for number, url in enumerate(urls[:count])}
        meter = RestMeter()
        async with Fleet(named).add(Seen()) as fleet:
            await fleet.settled(timeout=120)
            measured = await meter.measure(settle=SETTLE, seconds=seconds)
            assert len(fleet.clusters) == count
        return measured

    # The first join imports modules, which is not the cost of a cluster.
    await with_clusters(1)
    alone = await with_clusters(1)
    every = await with_clusters(len(urls))
    part, joined, held = ((more - one) / (len(urls) - 1) for one, more in zip(alone, every, strict=True))
    return part, joined * 1e3, held / 1e3


class Board:
    """A provider whose clusters change."""

    def __init__(self, clusters: dict[str, ClusterConfig]) -> None:
        self._clusters = clusters
        self._changed = asyncio.Event()

    def set(self, clusters: dict[str, ClusterConfig]) -> None:
        """Let other clusters be there."""
        self._clusters = clusters
        self._changed.set()

    async def clusters(self) -> AsyncIterator[Clusters]:
        """Yield them after each change."""
        while True:
            self._changed.clear()
            yield self._clusters
            await self._changed.wait()


class Phase(NamedTuple):
    """The latencies of writes in healthy clusters, and the CPU time of the process per write, in seconds."""

    latencies: list[float]
    cpu: float


async def delays(servers: Servers, rounds: int) -> tuple[list[Phase], list[Phase]]:
    """Measure healthy clusters: while there are no others, and while others fail, in turns."""
    every = {f"c{number}": ClusterConfig.for_server(url, "fleet") for number, url in enumerate(servers.urls)}
    healthy = {name: every[name] for name in [*every][2 * FAILING :]}
    seen, numbers = Seen(), itertools.count()
    board = Board(every)
    well: list[Phase] = []
    failing: list[Phase] = []
    with contextlib.ExitStack() as stack:
        async with Fleet(board).add(seen) as fleet:
            await fleet.settled(timeout=120)

            async def measured() -> Phase:
                await asyncio.sleep(SETTLE)
                began = time.process_time()
                found = [await seen.latency(fleet, name, next(numbers)) for _ in range(rounds) for name in healthy]
                return Phase(found, (time.process_time() - began) / len(found))

            await asyncio.to_thread(servers.tell, "away")
            await asyncio.to_thread(servers.tell, "expire")
            hung = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(FAILING)]
            urls = [f"http://127.0.0.1:{one.getsockname()[1]}" for one in hung]
            all_of_them = every | {f"h{number}": ClusterConfig.for_server(url) for number, url in enumerate(urls)}
            for _ in range(PHASES):
                board.set(all_of_them)
                failing.append(await measured())
                board.set(healthy)
                well.append(await measured())
    return well, failing


def main() -> list[Row]:
    logging.disable(logging.CRITICAL)
    seconds, rounds = (5.0, 1) if is_quick() else (20.0, 2)
    step(0, 2, "idle clusters")
    with _serving() as servers:
        part, joined, held = asyncio.run(idle(servers.urls, seconds))
    step(1, 2, "latency while clusters fail")
    with _serving() as servers:
        well, failing = asyncio.run(delays(servers, rounds))
    usual, beside_failing = (min(median(phase.latencies) for phase in phases) for phases in (well, failing))
    ratio = beside_failing / usual
    cpu, cpu_beside_failing = (min(phase.cpu for phase in phases) for phases in (well, failing))

    def p99(phases: list[Phase]) -> str:
        return f"{min(sorted(one.latencies)[int(len(one.latencies) * 0.99)] for one in phases) * 1e3:.1f} ms"

    return [
        Row("memory of an idle cluster", f"{held:.0f} kB", "≤ 100 kB", held <= 100, held),
        Row("CPU of an idle cluster", f"{part:.4%} of a core", "< 0.05 %", part < 0.0005, part),
        Row("CPU time of a join", f"{joined:.1f} ms"),
        Row("write → reconcile, without failing clusters", f"{usual * 1e3:.2f} ms", number=usual),
        Row("… 99th percentile", p99(well)),
        Row(
            f"… while {3 * FAILING} others fail",
            f"{beside_failing * 1e3:.2f} ms ({ratio:.2f} ×)",
            "≤ 1.10 ×",
            ratio <= 1.1,
            beside_failing,
        ),
        Row("… 99th percentile", p99(failing)),
        Row("CPU time per write and reconcile", f"{cpu * 1e6:.0f} µs", number=cpu),
        Row(
            f"… while {3 * FAILING} others fail",
            f"{cpu_beside_failing * 1e6:.0f} µs ({cpu_beside_failing / cpu:.2f} ×)",
            number=cpu_beside_failing,
        ),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve())
    else:
        print(__doc__)
        print(plain(main()))
