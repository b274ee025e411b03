"""A reader through a proxy is a reader of the server: over random writes, faults, reconnections and takeovers.

Each reader lists and watches over a real socket as any client does: it lists, watches from that version, goes on from
the last version it has seen when the watch ends, and lists anew after a 410. Each stretch between two lists has to be
the server's history of its selection: nothing lost, nothing twice, versions that grow, and `ADDED` and `DELETED` where
objects enter and leave the selection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Backoff, Client, ClusterConfig, ExpiredError, KinformerError
from kinformer.proxy import CacheProxy, UnixAddress
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kinformer.cache.storage import Storage
    from kinformer.listwatch import DeltaType

SCHEDULES = int(os.environ.get("KINFORMER_PROXY_SCHEDULES", "8"))
STEPS = 40
NAMES = "abcd"
NAMESPACES = ("default", "kube-public")

SELECTIONS: dict[str, tuple[dict[str, str], Callable[[dict[str, Any]], bool]]] = {
    "whole": ({}, lambda _: True),
    "label": ({"label_selector": "x=1"}, lambda meta: meta["labels"].get("x") == "1"),
    "namespace": ({"namespace": "default"}, lambda meta: meta["namespace"] == "default"),
    "field": ({"field_selector": "metadata.name!=a"}, lambda meta: meta["name"] != "a"),
}

Seen = tuple[str, str, str, int]
"""Kind, namespace, name, version."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@dataclass
class History:
    """Each change of the server: version, and the metadata before and after."""

    changes: list[tuple[int, dict[str, Any] | None, dict[str, Any] | None]] = field(default_factory=list)

    def of(self, selects: Callable[[dict[str, Any]], bool], since: int, until: int) -> list[Seen]:
        found: list[Seen] = []
        for version, old, new in self.changes:
            before, now = old is not None and selects(old), new is not None and selects(new)
            meta = new or old
            assert meta is not None
            if since < version <= until and (before or now):
                kind = "UPDATED" if before and now else "ADDED" if now else "DELETED"
                found.append((kind, meta["namespace"], meta["name"], version))
        return found


@dataclass
class Reader:
    """A client of the proxy; `stretches` has the version of each list, and the events after it."""

    client: Client
    name: str
    stretches: list[tuple[int, list[Seen]]] = field(default_factory=list)
    lists: list[tuple[int, list[tuple[str, str, str]]]] = field(default_factory=list)
    version: int = 0

    async def run(self) -> None:
        scope: dict[str, Any] = SELECTIONS[self.name][0]
        source = self.client.list_watch(CONFIGMAPS, **scope)
        streams = self.name in {"whole", "field"}
        while True:
            try:
                if not self.version and not streams:
                    async for page in source.list(resource_version="0"):
                        self._listed(int(page.resource_version), page.items)
                watching = source.watch(
                    resource_version=str(self.version or ""),
                    timeout_seconds=300,
                    send_initial_events=not self.version,
                )
                async with watching as batches:
                    initial: list[Any] | None = None if self.version else []
                    async for batch in batches:
                        if batch.error is not None:
                            raise batch.error
                        if initial is not None:
                            initial += [event.object for event in batch.events]
                            if batch.initial_events_end:
                                self._listed(int(batch.resource_version), initial)
                                initial = None
                            continue
                        for event in batch.events:
                            self._changed(event.type, event.object)
                        self.version = max(self.version, int(batch.resource_version or 0))
            except ExpiredError:
                self.version = 0
            except KinformerError:
                await asyncio.sleep(0)

    def _listed(self, version: int, items: Any) -> None:
        self.version = version
        self.stretches.append((version, []))
        self.lists.append((version, sorted((obj.namespace, obj.name, obj.resource_version) for obj in items)))

    def _changed(self, kind: DeltaType, obj: Any) -> None:
        version = int(obj.resource_version)
        assert version > self.version, "versions grow"
        self.version = version
        self.stretches[-1][1].append((kind.name, obj.namespace, obj.name, version))


class World:
    """A server with a proxy, and what happens to them."""

    def __init__(self, server: ApiServer, upstream: Client, path: Path, chance: random.Random) -> None:
        self.server = server
        self.chance = chance
        self._upstream = upstream
        self._path = path
        self._window = chance.choice([3, 10_000])
        self._storage: Storage = chance.choice(["plain", "compact"])
        self.proxy = self._made()
        self.history = History()
        self.now: dict[tuple[str, str], dict[str, Any]] = {}

    def _made(self) -> CacheProxy:
        return CacheProxy(
            self._upstream,
            [CONFIGMAPS],
            listen=UnixAddress(self._path, replaces=True),
            window_events=self._window,
            backoff=Backoff(initial=0.001, maximum=0.01),
            storage=self._storage,
        )

    async def take_over(self) -> None:
        """Another proxy listens on the same path, at once or after the first one has gone."""
        before, self.proxy = self.proxy, self._made()
        if self.chance.random() < 0.5:
            await self.proxy.__aenter__()
            await before.__aexit__()
        else:
            await before.__aexit__()
            await asyncio.sleep(0)
            await self.proxy.__aenter__()

    def write(self) -> None:
        namespace, name = key = (self.chance.choice(NAMESPACES), self.chance.choice(NAMES))
        old = self.now.get(key)
        if old is not None and self.chance.random() < 0.3:
            self.server.delete("v1", "ConfigMap", name, namespace)
            del self.now[key]
            self.history.changes.append((self.server.resource_version, old, None))
            return
        metadata = {"name": name, "namespace": namespace, "labels": {"x": self.chance.choice("12")}}
        manifest: dict[str, Any] = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata}
        manifest["data"] = {"n": str(self.server.resource_version)}
        made = (self.server.create if old is None else self.server.update)(manifest)
        new = self.now[key] = made["metadata"]
        self.history.changes.append((int(new["resourceVersion"]), old, new))

    async def step(self) -> None:
        faults = self.server.faults
        match self.chance.randrange(15):
            case 0:
                faults.drop_watches()
            case 1:
                faults.end_watches()
            case 2:
                faults.expire("configmaps")
            case 3:
                faults.fail_next(self.chance.randrange(1, 3), status=self.chance.choice([500, 503]))
            case 4:
                faults.cut_mid_line()
            case 5:
                for watch in [*next(iter(self.proxy._caches.served)).fanout.watches]:
                    if watch._transport is not None and self.chance.random() < 0.5:
                        watch._transport.abort()
            case 6:
                self.server.send_bookmarks()
            case 7:
                # Changes of other resources, so that versions have gaps.
                name = f"s{self.server.resource_version}"
                self.server.create({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}})
            case 8:
                await self.take_over()
            case _:
                for _ in range(self.chance.randrange(1, 5)):
                    self.write()
        for _ in range(self.chance.randrange(12)):
            await asyncio.sleep(0)


async def play(seed: int, path: Path) -> tuple[list[Reader], World]:
    chance = random.Random(seed)
    async with (
        ApiServer() as server,
        Client(ClusterConfig.for_server(server.url)) as upstream,
        Client(ClusterConfig.for_socket(path), retry=None) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        world = World(server, upstream, path, chance)
        await world.proxy.__aenter__()
        stack.push_async_callback(lambda: world.proxy.__aexit__())
        for obj in server.list("v1", "ConfigMap"):
            world.now[obj["metadata"]["namespace"], obj["metadata"]["name"]] = obj["metadata"]
        before = dict(world.now)
        world.now = {}
        assert before.keys() & {(namespace, name) for namespace in NAMESPACES for name in NAMES} == set()
        readers = [Reader(client, name) for name in SELECTIONS]
        async with asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(reader.run()) for reader in readers]
            for _ in range(STEPS):
                await world.step()
            server.faults.clear()
            world.write()
            end = world.history.changes[-1][0]
            clock = asyncio.get_running_loop().time
            give_up = clock() + 20
            while not all(_has_all(reader, world, end) for reader in readers):
                assert clock() < give_up, _report(readers=readers, world=world)
                await asyncio.sleep(0.001)
            for task in reading:
                task.cancel()
        return readers, world


def _has_all(reader: Reader, world: World, end: int) -> bool:
    """The last stretch is as long as the server's history to the end."""
    if not reader.stretches:
        return False
    start, events = reader.stretches[-1]
    return len(events) >= len(world.history.of(SELECTIONS[reader.name][1], start, end))


def _report(readers: list[Reader], world: World) -> str:
    """Say how far each reader and the proxy have come."""
    upstream = next(iter(world.proxy._caches.served)).upstream
    rows = [f"{r.name} at {r.version}, lists {[version for version, _ in r.stretches]}" for r in readers]
    rows.append(f"proxy at {upstream.cache.version} from {upstream.cache.oldest}, error {upstream.error}")
    return "; ".join([*rows, f"server at {world.server.resource_version}"])


@pytest.mark.parametrize("seed", range(SCHEDULES))
async def test_a_reader_through_the_proxy_is_a_reader_of_the_server(seed: int, tmp_path: Path) -> None:
    readers, world = await play(seed, tmp_path / "s")
    end = world.history.changes[-1][0]
    for reader in readers:
        selects = SELECTIONS[reader.name][1]
        for number, (start, events) in enumerate(reader.stretches):
            last = number == len(reader.stretches) - 1
            until = end if last else (events[-1][3] if events else start)
            assert events == world.history.of(selects, start, until), reader.name
        for version, items in reader.lists:
            assert items == _state(world, selects, version), reader.name
        assert [version for version, _ in reader.stretches] == sorted(version for version, _ in reader.stretches)


def _state(world: World, selects: Callable[[dict[str, Any]], bool], version: int) -> list[tuple[str, str, str]]:
    state: dict[tuple[str, str], dict[str, Any]] = {}
    for changed, old, new in world.history.changes:
        meta = new or old
        assert meta is not None
        if changed <= version:
            key = (meta["namespace"], meta["name"])
            if new is None:
                state.pop(key)
            else:
                state[key] = new
    return sorted((*key, meta["resourceVersion"]) for key, meta in state.items() if selects(meta))
