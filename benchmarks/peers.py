"""Question: what does a watch event cost other Python clients?

The recorded stream of `ingest`, on the same machine in the same run: CPU time per event of a process that does nothing
but take events from the client's own watch, the way its documentation has it. kinformer keeps a cache and an index
besides and calls a handler. Its bias: handlers read nothing but the name; a client that decodes everything is paid back
when everything is read.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks import ingest
from benchmarks.table import Row, plain

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = 480
WARM_UP = 96


class Stopwatch:
    """CPU time from the end of the warm-up to the last event."""

    def __init__(self, events: int) -> None:
        self.seen = 0
        self.cost = 0.0
        self._events = events
        self._began = 0.0

    def event(self, name: str) -> bool:
        """Take an event; whether it was the last."""
        assert name
        self.seen += 1
        if self.seen == WARM_UP:
            self._began = time.process_time()
        if self.seen < WARM_UP + self._events:
            return False
        self.cost = (time.process_time() - self._began) / self._events * 1e6
        return True


async def _kubernetes_asyncio(url: str) -> float:
    from kubernetes_asyncio import client, watch

    stopwatch = Stopwatch(EVENTS)
    async with client.ApiClient(client.Configuration(host=url)) as api:
        core = client.CoreV1Api(api)
        stream: Any = watch.Watch().stream(core.list_pod_for_all_namespaces, resource_version="1")
        async with stream:
            async for event in stream:
                if stopwatch.event(event["object"].metadata.name):
                    return stopwatch.cost
    return stopwatch.cost


def _kubernetes(url: str) -> float:
    from kubernetes import client, watch

    stopwatch = Stopwatch(EVENTS)
    core = client.CoreV1Api(client.ApiClient(client.Configuration(host=url)))
    for event in watch.Watch().stream(core.list_pod_for_all_namespaces, resource_version="1"):
        if stopwatch.event(event["object"].metadata.name):
            break
    return stopwatch.cost


async def _lightkube(url: str) -> float:
    from lightkube import AsyncClient
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.resources.core_v1 import Pod

    config = KubeConfig.from_dict(
        {
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "anybody"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
    )
    stopwatch = Stopwatch(10 * EVENTS)
    client = AsyncClient(config=config, trust_env=False)
    async for _, pod in client.watch(Pod, namespace="*", resource_version="1"):
        if stopwatch.event(str(pod.metadata and pod.metadata.name)):
            break
    return stopwatch.cost


PEERS: dict[str, Callable[[str], Any]] = {
    "kubernetes_asyncio Watch": _kubernetes_asyncio,
    "kubernetes Watch": _kubernetes,
    "lightkube watch": _lightkube,
}


def _measured(name: str, url: str) -> float:
    """The least of three, each in a process of its own."""
    run = [sys.executable, "-m", "benchmarks.peers", name, url]
    return min(float(json.loads(subprocess.run(run, stdout=subprocess.PIPE, check=True).stdout)) for _ in range(3))


def main() -> list[Row]:
    limit, ours = ingest.measure()
    rows = [Row("kinformer: cache, index and handler", f"{ours:.1f} µs")]
    with ingest.replaying() as url:
        for name in PEERS:
            cost = _measured(name, url)
            target = ("≥ 50 ×", cost / ours >= 50) if name == "kubernetes_asyncio Watch" else ("", None)
            rows.append(Row(name, f"{cost:,.0f} µs, {cost / ours:,.0f} ×", *target))
    rows.append(Row("scan limit", f"{limit:.1f} µs"))
    return rows


if __name__ == "__main__":
    if len(sys.argv) > 2:
        peer = PEERS[sys.argv[1]]
        print(json.dumps(asyncio.run(peer(sys.argv[2])) if asyncio.iscoroutinefunction(peer) else peer(sys.argv[2])))
    else:
        print(__doc__)
        print(plain(main()))
