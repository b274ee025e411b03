"""Question: what do the 200 clusters of a fleet cost, and do failing clusters delay the others?

200 embedded API servers run in another process; the fleet has one informer and one controller with four workers for
each. An idle cluster: resident memory and CPU time of the process, from a fleet of one cluster to one of all. Latency:
from the moment before a write to the call of reconcile, in one cluster after the other, in turns: without failing
clusters; with 60, of which 20 are away, 20 take no token any more, and 20 accept connections and never answer; and with
60 of which a random one changes each half of a second: it joins or leaves the fleet, its server goes away or comes
back, its tokens expire or are valid again. The least median of three turns each. Its bias: loopback, no TLS, and the
servers take the other core.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
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
CHANGE: Final = 0.5  # seconds from one random change to the next
SEED: Final = 17
PHASES: Final = 3


async def serve() -> None:
    """Serve; a line on stdin, a command and the number of a server, changes that server."""
    from kinformer.testing import ApiServer

    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ApiServer()) for _ in range(SERVERS)]
        for server in servers:
            server.tokens["fleet"] = "fleet"
            server.allow("fleet")
        print(" ".join(server.url for server in servers), flush=True)
        while line := (await asyncio.to_thread(sys.stdin.readline)).split():
            command, server = line[0], servers[int(line[1])]
            match command:
                case "away":
                    await server.stop()
                case "back":
                    await server.restart()
                case "expire":
                    server.tokens.clear()
                    server.tokens["another"] = "fleet"
                case "renew":
                    server.tokens["fleet"] = "fleet"
            print("done", flush=True)


class Servers:
    """The process with the servers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.urls = process.stdout.readline().split()

    def tell(self, command: str, server: int) -> None:
        """Change a server: "away", "back", "expire" or "renew"."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command} {server}\n")
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

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._changed = asyncio.Event()

    def set(self, clusters: Clusters) -> None:
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


class Delays(NamedTuple):
    """The phases of each kind, and the number of random changes in the last kind."""

    without: list[Phase]
    failing: list[Phase]
    changing: list[Phase]
    changes: int


class Changes:
    """Random changes of the clusters that are not measured, from one seed."""

    def __init__(
        self, servers: Servers, board: Board, healthy: dict[str, ClusterConfig], others: dict[str, ClusterConfig]
    ) -> None:
        self._servers = servers
        self._board = board
        self._healthy = healthy
        self._others = others
        self._random = random.Random(SEED)
        self._joined = set(others)
        self._away = set(range(FAILING))
        self._expired = set(range(FAILING, 2 * FAILING))
        self.count = 0

    async def run(self) -> None:
        """Change one cluster after the other until cancelled."""
        while True:
            match self._random.randrange(3):
                case 0:
                    name = self._random.choice([*self._others])
                    self._joined ^= {name}
                    joined = {name: config for name, config in self._others.items() if name in self._joined}
                    self._board.set({**self._healthy, **joined})
                case 1:
                    await self._toggle(self._away, "back", "away")
                case _:
                    await self._toggle(self._expired, "renew", "expire")
            self.count += 1
            await asyncio.sleep(CHANGE)

    async def _toggle(self, changed: set[int], leave: str, enter: str) -> None:
        server = self._random.randrange(2 * FAILING)
        command = leave if server in changed else enter
        changed ^= {server}
        # Shielded: an answer that stays in the pipe would be taken for that of the next command.
        await asyncio.shield(asyncio.to_thread(self._servers.tell, command, server))


async def delays(servers: Servers, rounds: int) -> Delays:
    """Measure healthy clusters: while there are no others, while others fail, while others change, in turns."""
    every = {f"c{number}": ClusterConfig.for_server(url, "fleet") for number, url in enumerate(servers.urls)}
    healthy = {name: every[name] for name in [*every][2 * FAILING :]}
    seen, numbers = Seen(), itertools.count()
    board = Board(every)
    measured = Delays([], [], [], 0)
    with contextlib.ExitStack() as stack:
        hung = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(FAILING)]
        urls = [f"http://127.0.0.1:{one.getsockname()[1]}" for one in hung]
        all_of_them = every | {f"h{number}": ClusterConfig.for_server(url) for number, url in enumerate(urls)}
        others = {name: config for name, config in all_of_them.items() if name not in healthy}
        async with Fleet(board).add(seen) as fleet:
            await fleet.settled(timeout=120)

            async def phase() -> Phase:
                # Random changes go on meanwhile, so that a phase of less than a second follows several of them.
                await asyncio.sleep(SETTLE)
                began = time.process_time()
                found = [await seen.latency(fleet, name, next(numbers)) for _ in range(rounds) for name in healthy]
                return Phase(found, (time.process_time() - began) / len(found))

            for number in range(FAILING):
                await asyncio.to_thread(servers.tell, "away", number)
                await asyncio.to_thread(servers.tell, "expire", FAILING + number)
            changes = Changes(servers, board, healthy, others)
            for _ in range(PHASES):
                board.set(all_of_them)
                measured.failing.append(await phase())
                async with asyncio.TaskGroup() as group:
                    changing = group.create_task(changes.run())
                    measured.changing.append(await phase())
                    changing.cancel()
                board.set(healthy)
                measured.without.append(await phase())
    return measured._replace(changes=changes.count)


def main() -> list[Row]:
    logging.disable(logging.CRITICAL)
    seconds, rounds = (5.0, 1) if is_quick() else (20.0, 2)
    step(0, 2, "idle clusters")
    with _serving() as servers:
        part, joined, held = asyncio.run(idle(servers.urls, seconds))
    step(1, 2, "latency while clusters fail")
    with _serving() as servers:
        measured = asyncio.run(delays(servers, rounds))

    def latency(phases: list[Phase]) -> float:
        return min(median(phase.latencies) for phase in phases)

    def p99(phases: list[Phase]) -> str:
        return f"{min(sorted(one.latencies)[int(len(one.latencies) * 0.99)] for one in phases) * 1e3:.1f} ms"

    def cpu(phases: list[Phase]) -> float:
        return min(phase.cpu for phase in phases)

    usual, usual_cpu = latency(measured.without), cpu(measured.without)
    failing = f"… while {3 * FAILING} others fail"
    changing = f"… while others join, leave, fail and recover at random ({measured.changes} changes)"

    def beside(label: str, phases: list[Phase]) -> list[Row]:
        found = latency(phases)
        ratio = found / usual
        return [
            Row(label, f"{found * 1e3:.2f} ms ({ratio:.2f} ×)", "≤ 1.10 ×", ratio <= 1.1, found),
            Row("… 99th percentile", p99(phases)),
        ]

    return [
        Row("memory of an idle cluster", f"{held:.0f} kB", "≤ 100 kB", held <= 100, held),
        Row("CPU of an idle cluster", f"{part:.4%} of a core", "< 0.05 %", part < 0.0005, part),
        Row("CPU time of a join", f"{joined:.1f} ms"),
        Row("write → reconcile, without failing clusters", f"{usual * 1e3:.2f} ms", number=usual),
        Row("… 99th percentile", p99(measured.without)),
        *beside(failing, measured.failing),
        *beside(changing, measured.changing),
        Row("CPU time per write and reconcile", f"{usual_cpu * 1e6:.0f} µs", number=usual_cpu),
        *(
            Row(label, f"{cpu(phases) * 1e6:.0f} µs ({cpu(phases) / usual_cpu:.2f} ×)", number=cpu(phases))
            for label, phases in ((failing, measured.failing), (changing, measured.changing))
        ),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve())
    else:
        print(__doc__)
        print(plain(main()))
