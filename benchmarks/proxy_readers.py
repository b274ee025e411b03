"""Question: what does one more reader of a watch cost, at a kube-apiserver and at a proxy?

    python -m benchmarks.proxy_readers EVENTS

Starts an etcd and a kube-apiserver (`kinformer.testing.ControlPlane`), and a proxy in a process of its own. 100
ConfigMaps of 8 KB are patched; 50 readers, in one other process, take the bytes of a watch each and do nothing with
them. The CPU of the kube-apiserver and of the proxy, with readers minus without, per event and reader, is the answer.
Its bias: patches come as fast as the API server takes them, which depends on the machine.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil

from benchmarks.table import Row, plain
from kinformer import Client, ClusterConfig
from kinformer.proxy import CacheProxy, UnixAddress
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Mapping

READERS = 50
OBJECTS = 100
_EVENT = b'"type":"MODIFIED"'


async def read(where: str, version: str, token: str, ca_file: str) -> None:
    """Open the watches, print a line, and print the number of events when a line is read."""
    seen = 0
    opened: list[asyncio.StreamWriter] = []

    async def one() -> None:
        nonlocal seen
        if where.startswith("/"):
            reader, writer = await asyncio.open_unix_connection(where)
            authorization = ""
        else:
            url = urlsplit(where)
            trust = ssl.create_default_context(cafile=ca_file)
            reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=trust)
            authorization = f"Authorization: Bearer {token}\r\n"
        path = f"/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={version}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n".encode())
        opened.append(writer)
        rest = b""
        while data := await reader.read(1 << 20):
            data = rest + data
            seen += data.count(_EVENT)
            rest = data[1 - len(_EVENT) :]

    async with asyncio.TaskGroup() as tasks:
        reading = [tasks.create_task(one()) for _ in range(READERS)]
        while len(opened) < READERS:
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        before = -1
        while seen != before:
            before = seen
            await asyncio.sleep(1)
        print(seen, flush=True)
        for each in reading:
            each.cancel()


async def serve(url: str, token: str, ca_file: str, path: str) -> None:
    """Run the proxy until killed."""
    async with (
        Client(ClusterConfig.for_server(url, token=token, ca_file=ca_file)) as client,
        CacheProxy(client, [CONFIGMAPS], listen=UnixAddress(Path(path))) as proxy,
    ):
        await proxy.synced()
        print("ready", flush=True)
        await asyncio.Event().wait()


async def patch(client: Client, events: int) -> None:
    """Patch the objects, some at once."""
    at_once = asyncio.Semaphore(20)

    async def one(number: int) -> None:
        async with at_once:
            change = {"metadata": {"annotations": {"n": str(time.time_ns())}}}
            await client.patch(CONFIGMAPS, f"m{number % OBJECTS}", change, namespace="default")

    async with asyncio.TaskGroup() as tasks:
        for number in range(events):
            tasks.create_task(one(number))


async def _started(*words: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "benchmarks.proxy_readers", *words)
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    return process


def _cpu(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    return {name: sum(each.cpu_times()[:2]) for name, each in processes.items()}


async def measure(events: int) -> list[Row]:
    """Measure both, each of them twice in turn."""
    costs: dict[str, list[float]] = {"": [], "kube-apiserver": [], "proxy": []}
    base: dict[str, list[float]] = {"kube-apiserver": [], "proxy": []}
    rates: list[float] = []
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "s"))
        async with ControlPlane() as control_plane:
            plane = (control_plane.url, control_plane.token, str(control_plane.ca_file))
            config = ClusterConfig.for_server(plane[0], token=plane[1], ca_file=plane[2])
            async with Client(config) as client:
                for number in range(OBJECTS):
                    metadata = {"name": f"m{number}", "namespace": "default"}
                    await client.create(CONFIGMAPS, {"metadata": metadata, "data": {"x": "y" * 8000}})
                proxy = await _started("serve", *plane, path)
                children = psutil.Process().children(recursive=True)
                api = next(each for each in children if "kube-apiserver" in each.name())
                processes = {"kube-apiserver": api, "proxy": psutil.Process(proxy.pid)}
                for target in ("", "kube-apiserver", "proxy") * 2:
                    readers = None
                    if target:
                        version = (await client.list(CONFIGMAPS, namespace="default")).resource_version
                        where = path if target == "proxy" else plane[0]
                        readers = await _started("read", where, version, *plane[1:])
                    before, began = _cpu(processes), time.perf_counter()
                    await patch(client, events)
                    rates.append(events / (time.perf_counter() - began))
                    await asyncio.sleep(2)
                    used = {name: (cpu - before[name]) / events * 1e6 for name, cpu in _cpu(processes).items()}
                    if readers is None:
                        for name, cpu in used.items():
                            base[name].append(cpu)
                    else:
                        costs[target].append(used[target])
                        out, _ = await readers.communicate(b"\n")
                        lost += READERS * events - int(out)
                proxy.kill()
                await proxy.wait()
    rows = [
        Row("events a second", f"{min(rates):.0f} to {max(rates):.0f}"),
        Row("events that a reader missed", f"{lost}"),
    ]
    for name, without in base.items():
        each = (sum(costs[name]) - sum(without)) / len(without) / READERS
        rows.append(Row(f"{name}: CPU per event and reader, {READERS} readers", f"{each:.1f} µs"))
    return rows


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["read", where, version, token, ca_file]:
            asyncio.run(read(where, version, token, ca_file))
        case ["serve", url, token, ca_file, path]:
            asyncio.run(serve(url, token, ca_file, path))
        case [events]:
            print(plain(asyncio.run(measure(int(events)))))
        case _:
            print(__doc__)
