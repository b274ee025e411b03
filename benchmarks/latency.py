"""Question: how long after a write is the handler called?

500 writes a second to `kinformer serve-api`, a process of its own, by a third process that puts the time into each of
100 ConfigMaps of 1 KB; the client's handler takes the difference. One client after the other, each in its own process.
The first row is how long the writer itself waits for the answer to its write.

Its bias: all of it runs on one machine, whose cores are shared by server, writer and client, and the server is
kinformer's own, in Python: its time for a write is in every row. Peers without a cache only watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from benchmarks.peers import go
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE: Final = 500
OBJECTS: Final = 100
CONNECTIONS: Final = 4
WARM_UP: Final = 1.0  # seconds
PERCENTS: Final = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9)

PICTURES: Final = {"benchmarks-latency": "Which part of the writes had reached the handler after how long, by client"}


class Stamps:
    """Takes the times out of objects, from the warm-up to the end."""

    def __init__(self, seconds: float) -> None:
        self.took: list[float] = []
        self.done = asyncio.Event()
        self._from = time.time_ns() + int(WARM_UP * 1e9)
        self._until = self._from + int(seconds * 1e9)

    def take(self, sent: str | None) -> bool:
        """Take one; whether it is time to end."""
        now = time.time_ns()
        if sent and int(sent) >= self._from:
            self.took.append((now - int(sent)) / 1e6)
        if now > self._until:
            self.done.set()
        return now > self._until


async def kinformer(url: str, stamps: Stamps) -> None:
    """Informer and handler."""
    from kinformer import Client, ClusterConfig, SharedInformerFactory

    async with Client(ClusterConfig.for_server(url)) as client:
        factory = SharedInformerFactory(client)
        config_maps = factory.core.v1.configmaps
        config_maps.add_event_handler(on_update=lambda _, new: stamps.take(new.at("data.sent")))
        async with factory:
            await stamps.done.wait()


async def kubernetes_asyncio(url: str, stamps: Stamps) -> None:
    """Watch."""
    from kubernetes_asyncio import client, watch

    async with client.ApiClient(client.Configuration(host=url)) as api:
        core = client.CoreV1Api(api)
        stream: Any = watch.Watch().stream(core.list_config_map_for_all_namespaces, resource_version="0")
        async with stream:
            async for event in stream:
                if stamps.take((event["object"].data or {}).get("sent")):
                    return


async def lightkube(url: str, stamps: Stamps) -> None:
    """`watch`."""
    from lightkube import AsyncClient
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.resources.core_v1 import ConfigMap

    config = KubeConfig.from_dict(
        {
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "anybody"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
    )
    client = AsyncClient(config=config, trust_env=False)
    async for _, found in client.watch(ConfigMap, namespace="*"):
        if stamps.take((found.data or {}).get("sent")):
            return


CLIENTS: Final = {
    "kinformer": kinformer,
    "lightkube, watch": lightkube,
    "kubernetes_asyncio, Watch": kubernetes_asyncio,
}
GO: Final = "client-go, JSON"


async def _client(name: str, url: str, seconds: float) -> None:
    stamps = Stamps(seconds)
    began = time.process_time()
    await CLIENTS[name](url, stamps)
    cpu = (time.process_time() - began) / (seconds + WARM_UP)
    print(json.dumps({"took": stamps.took, "cpu": cpu}), flush=True)


class Writer:
    """Writes at the rate, over a few connections, and notes how long each answer took."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self.acknowledged: list[float] = []
        self.refused = 0
        self._due: asyncio.Queue[int] = asyncio.Queue()

    async def _ask(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes) -> bytes:
        reader, writer = streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(size)
        return head.split(b" ", 2)[1]

    def _request(self, method: str, path: str, kind: str, body: dict[str, Any]) -> bytes:
        content = json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: {kind}\r\n"
        return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content

    async def _connection(self) -> None:
        streams = await asyncio.open_connection(self._host, self._port)
        path = "/api/v1/namespaces/default/configmaps"
        while True:
            number = await self._due.get()
            sent = time.time_ns()
            body = {"data": {"sent": str(sent)}}
            request = self._request("PATCH", f"{path}/latency-{number}", "application/merge-patch+json", body)
            if (await self._ask(streams, request)).startswith(b"2"):
                self.acknowledged.append((time.time_ns() - sent) / 1e6)
            else:
                self.refused += 1

    async def run(self) -> None:
        """Until cancelled."""
        streams = await asyncio.open_connection(self._host, self._port)
        for number in range(OBJECTS):
            body = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"latency-{number}", "namespace": "default"},
                "data": {"ballast": "x" * 800},
            }
            path = "/api/v1/namespaces/default/configmaps"
            await self._ask(streams, self._request("POST", path, "application/json", body))
        streams[1].close()
        print("writing", flush=True)
        clock = asyncio.get_running_loop().time
        began, count = clock(), 0
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CONNECTIONS):
                tasks.create_task(self._connection())
            while True:
                self._due.put_nowait(count % OBJECTS)
                count += 1
                await asyncio.sleep(max(0.0, began + count / RATE - clock()))


async def _write(url: str) -> None:
    writer = Writer(url)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writer.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    seconds = time.perf_counter() - began
    rate = len(writer.acknowledged) / seconds
    print(json.dumps({"took": writer.acknowledged, "rate": rate, "refused": writer.refused}), flush=True)


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def percentile(sorted_values: list[float], percent: float) -> float:
    """The value below which so many of a hundred are."""
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * percent / 100))]


def _row(name: str, took: list[float], more: str = "") -> Row:
    if not took:
        return Row(name, "not measured: no write reached the handler")
    values = sorted(took)
    p50, p99 = percentile(values, 50), percentile(values, 99)
    points = tuple((percentile(values, percent), float(percent)) for percent in PERCENTS)
    return Row(name, f"p50 {p50:.1f} ms, p99 {p99:.1f} ms{more}", number=p50, points=points)


def main() -> list[Row]:
    seconds = 3.0 if is_quick() else 8.0
    rows: list[Row] = []
    with _process("-m", "kinformer", "serve-api") as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        with _process("-m", "benchmarks.latency", "--write", url) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            names = ["kinformer", GO, *(name for name in CLIENTS if name != "kinformer")]
            for done, name in enumerate(names):
                step(done, len(names), name)
                try:
                    run = [sys.executable, "-m", "benchmarks.latency", "--client", name, url, str(seconds)]
                    environment = dict(os.environ)
                    if name == GO:
                        run = [str(go.built()), "latency", "-url", url, "-seconds", str(seconds)]
                    answer = subprocess.run(
                        run, capture_output=True, text=True, timeout=seconds + 30, env=environment, check=True
                    )
                    found = json.loads(answer.stdout.splitlines()[-1])
                    rows.append(_row(name, found["took"], f", {found['cpu']:.1%} of a core"))
                except (go.MissingError, subprocess.SubprocessError) as error:
                    rows.append(Row(name, f"not measured: {str(error)[:160]}"))
            writer.send_signal(signal.SIGTERM)
            told = json.loads(writer.stdout.read().splitlines()[-1])
    own = _row("the writer's own request, until it is answered", told["took"])
    return [own._replace(points=()), *rows, Row("writes a second that were achieved", f"{told['rate']:.0f}")]


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if sys.argv[1:2] == ["--write"]:
        asyncio.run(_write(sys.argv[2]))
    elif sys.argv[1:2] == ["--client"]:
        asyncio.run(_client(sys.argv[2], sys.argv[3], float(sys.argv[4])))
        os._exit(0)
    else:
        print(__doc__)
        print(plain(main()))
