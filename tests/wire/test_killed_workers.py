"""Workers in processes of their own, of which the serving one is killed: the others lose no object and no deletion."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.testing import ApiServer
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no Unix sockets on this system")

WORKER = """
import asyncio, json, sys
from kinformer import Client, ClusterConfig, SharedInformerFactory
from kinformer.proxy import WorkerCaches, _worker_caches

_worker_caches.SILENT_AFTER = 1.0

def put(*what):
    print(json.dumps(what), flush=True)

def seen(event):
    put(type(event).__name__, event.obj.name, int(event.obj.resource_version))

async def main():
    async with Client(ClusterConfig.for_server(sys.argv[1])) as client, WorkerCaches(client, sys.argv[2]) as workers:
        factory = SharedInformerFactory(client)
        informer = factory.informer("configmaps", namespace="default")
        informer.add_event_handler(seen)
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            put("ready", workers.serves, 0)
            await asyncio.Event().wait()

asyncio.run(main())
"""


class Worker:
    """A process, and its output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output: list[tuple[str, Any, int]] = []
        self.state: dict[str, int] = {}
        self.more = asyncio.Event()

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            kind, name, version = json.loads(line)
            self.output.append((kind, name, version))
            if kind == "Deleted":
                # Of an object that was there.
                del self.state[name]
            elif kind == "Added":
                assert name not in self.state
                self.state[name] = version
            elif kind == "Updated":
                assert self.state[name] < version
                self.state[name] = version
            self.more.set()

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(60):
            while not holds(self):
                self.more.clear()
                await self.more.wait()


@contextlib.asynccontextmanager
async def worker(server: ApiServer, directory: Path) -> AsyncIterator[Worker]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, server.url, str(directory)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    made = Worker(process)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.read())
        try:
            yield made
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def write(server: ApiServer, chance: random.Random) -> None:
    name = chance.choice("abcdef")
    manifest: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    there = {each["metadata"]["name"] for each in server.list("v1", "ConfigMap", "default")}
    if name not in there:
        server.create(manifest)
    elif chance.random() < 0.4:
        server.delete("v1", "ConfigMap", name)
    else:
        server.update(manifest | {"data": {"n": str(server.resource_version)}})


def state_of(server: ApiServer) -> dict[str, int]:
    listed = [each["metadata"] for each in server.list("v1", "ConfigMap", "default")]
    return {each["name"]: int(each["resourceVersion"]) for each in listed}


async def test_a_killed_worker_is_succeeded_and_nothing_is_lost(tmp_path: Path) -> None:
    chance = random.Random(17)
    async with ApiServer() as server, worker(server, tmp_path / "d") as one:
        await one.until(lambda each: ("ready", True, 0) in each.output)
        async with worker(server, tmp_path / "d") as two:
            await two.until(lambda each: ("ready", False, 0) in each.output)
            for _ in range(60):
                write(server, chance)
                await asyncio.sleep(0)
            await two.until(lambda each: each.state == state_of(server))
            assert len(server.open_watches) == 1
            # In the middle of changes.
            for _ in range(30):
                write(server, chance)
            one.process.send_signal(signal.SIGKILL)
            for _ in range(60):
                write(server, chance)
                await asyncio.sleep(0.001)
            await one.process.wait()
            await two.until(lambda each: each.state == state_of(server))
            write(server, chance)
            await two.until(lambda each: each.state == state_of(server))
            assert len(server.open_watches) == 1


async def test_a_worker_that_is_stopped_is_succeeded_and_serves_no_longer_when_it_goes_on(tmp_path: Path) -> None:
    async with ApiServer() as server, worker(server, tmp_path / "d") as one:
        await one.until(lambda each: ("ready", True, 0) in each.output)
        async with worker(server, tmp_path / "d") as two, worker(server, tmp_path / "d") as three:
            for each in (two, three):
                await each.until(lambda each: ("ready", False, 0) in each.output)
            one.process.send_signal(signal.SIGSTOP)
            server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
            for each in (two, three):
                await each.until(lambda each: each.state == state_of(server))
            one.process.send_signal(signal.SIGCONT)
            await one.until(lambda each: each.state == state_of(server))
            async with asyncio.timeout(60):
                while len(server.open_watches) != 1:
                    await asyncio.sleep(0.01)
            server.delete("v1", "ConfigMap", "a")
            for each in (one, two, three):
                await each.until(lambda each: not each.state)
