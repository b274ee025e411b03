"""Question: how many requests does a controller send to a server that refuses its writes and asks it to wait?

    python -m benchmarks.overload [SECONDS] [CLIENT ...]

1,000 keys, 20 workers, and each reconcile patches the ConfigMap of its key. The server (`kinformer.testing.ApiServer`,
in this process) refuses each patch with 429 or 503 and `Retry-After: 5`. Writes a section of docs/reliability.md.

Its bias: the server is ours; kopf and client-go are used as their documentation has it. The limit that client-go has
for its own requests (5 per second by default) is off, as it would hide the question.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.peers import go
from kinformer import Client, ClusterConfig, Controller, ObjectKey
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS: Final = 1_000
WORKERS: Final = 20
RETRY_AFTER: Final = 5
SECONDS: Final = 60.0
REPORT: Final = Path("docs/reliability.md")
_LOOK: Final = 0.02
"""Seconds between two looks at the requests of the server."""


async def kinformer(url: str) -> None:
    async with Client(ClusterConfig.for_server(url)) as client:

        async def reconcile(key: ObjectKey) -> None:
            await client.patch(CONFIGMAPS, key.name, {"data": {"seen": "1"}}, namespace=key.namespace)

        controller = Controller("seen", reconcile, workers=WORKERS)
        for number in range(KEYS):
            controller.queue.add(ObjectKey("default", f"c-{number}"))
        await controller.run()


async def kopf(url: str) -> None:
    import kopf as library

    registry = library.OperatorRegistry()

    @library.on.login(registry=registry)
    def login(**_: Any) -> library.ConnectionInfo:
        return library.ConnectionInfo(server=url)

    @library.on.startup(registry=registry)
    def configure(settings: library.OperatorSettings, **_: Any) -> None:
        settings.queueing.worker_limit = WORKERS
        settings.posting.enabled = False

    @library.on.create("configmaps", registry=registry)
    def create(patch: library.Patch, **_: Any) -> None:
        patch.setdefault("data", {})["seen"] = "1"

    await library.operator(registry=registry, namespaces=["default"], standalone=True)


CLIENTS: Final[dict[str, Callable[[str], Any]]] = {"kinformer": kinformer, "kopf": kopf}


class Outcome(NamedTuple):
    """The patches that one client sent.

    Attributes:
        requests: number of patches.
        most: largest number of patches for one key within five seconds.
        tried: number of keys that were tried.
    """

    requests: int
    most: int
    tried: int


async def measured(client: str, status: int, duration: float) -> Outcome:
    """Run one client against the server for so many seconds."""
    async with ApiServer() as server:
        for number in range(KEYS):
            server.create(build.config_map(f"c-{number}"))
        server.faults.fail_next(None, status=status, verb="patch", retry_after=RETRY_AFTER)
        if client == "client-go":
            arguments = f"overload -url {server.url} -objects {KEYS} -workers {WORKERS} -seconds {duration + 5}"
            command = [str(go.built()), *arguments.split()]
        else:
            command = [sys.executable, "-m", "benchmarks.overload", "--client", client, server.url]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        times: dict[str, list[float]] = defaultdict(list)
        clock = asyncio.get_running_loop().time
        taken, began = 0, 0.0
        try:
            while not began or clock() < began + duration:
                await asyncio.sleep(_LOOK)
                requests = list(server.requests)[taken:]
                taken += len(requests)
                for request in requests:
                    if request.verb == "patch":
                        began = began or clock()
                        times[request.name].append(clock())
        finally:
            process.kill()
            await process.wait()
    most = max(_most_within(seen, RETRY_AFTER - 2 * _LOOK) for seen in times.values())
    return Outcome(sum(map(len, times.values())), most, len(times))


def _most_within(times: list[float], span: float) -> int:
    """Return the largest number of times that lie within a span."""
    return max(sum(begin <= time < begin + span for time in times) for begin in times)


NAMES: Final = ("kinformer", "kopf", "client-go")


def report(outcomes: dict[tuple[int, str], Outcome], duration: float) -> str:
    """Return the section of the page."""
    lines = [
        "## An overloaded server that asks to wait\n",
        f"The server refuses each write with 429 or 503 and `Retry-After: {RETRY_AFTER}`.",
        f"A controller has {KEYS:,} keys that fail and {WORKERS} workers; it runs for {duration:.0f} seconds",
        "(`python -m benchmarks.overload`).\n",
        "| client | answer | requests | for one key within 5 s, at most | keys tried |",
        "|---|--:|--:|--:|--:|",
    ]
    for (status, client), outcome in outcomes.items():
        lines.append(f"| {client} | {status} | {outcome.requests:,} | {outcome.most} | {outcome.tried:,} |")
    versions = f"kinformer {version('kinformer')}, kopf {version('kopf')}, client-go {go.version()}"
    lines += [
        f"\n{versions}.",
        "kinformer's client repeats a refused request within its `timeout`, as client-go does. One 429 holds back all",
        "of its writes; when the time is over, one of them finds out whether the server is well. A 503 holds back",
        "only the request that it refuses, until one was repeated for the whole of its `timeout` while the server",
        "processed no other: then it counts as a 429. The limit of client-go for its own requests is off.\n",
    ]
    return "\n".join(lines)


async def main(duration: float, names: list[str]) -> None:
    outcomes: dict[tuple[int, str], Outcome] = {}
    for status in (429, 503):
        for name in names:
            outcomes[status, name] = outcome = await measured(name, status, duration)
            print(status, name, outcome, flush=True)
    section = report(outcomes, duration)
    page = REPORT.read_text()
    page = re.sub(r"## An overloaded server that asks to wait\n.*?(?=## )", "", page, flags=re.DOTALL)
    REPORT.write_text(page.replace("## How it was measured", f"{section}\n## How it was measured"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        logging.disable(logging.CRITICAL)
        asyncio.run(CLIENTS[sys.argv[2]](sys.argv[3]))
    else:
        asyncio.run(main(float(sys.argv[1]) if sys.argv[1:] else SECONDS, sys.argv[2:] or list(NAMES)))
