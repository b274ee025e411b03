"""An informer whose hash ranges change while objects are created, changed, deleted and recreated.

100 changes of the ranges here; KINFORMER_RANGE_CHANGES sets another number.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from kinformer import (
    Added,
    Client,
    ClusterConfig,
    Deleted,
    Namespaces,
    Ranges,
    Scope,
    SharedInformerFactory,
    Updated,
)
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer
from tests.storages import use

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer import Event, ObjectKey, SharedInformer
    from kinformer.cache.storage import Storage

CHANGES = int(os.environ.get("KINFORMER_RANGE_CHANGES", "100"))
SLICES = 16


class Churn:
    """ConfigMaps that are written all the time."""

    def __init__(self, client: Client, rng: random.Random) -> None:
        self.client = client
        self.rng = rng
        self.alive: dict[str, str] = {}
        self.ended: set[str] = set()

    async def write(self) -> None:
        name = f"c-{self.rng.randrange(60)}"
        uid = self.alive.get(name)
        if uid is None:
            obj = await self.client.create(CONFIGMAPS, {"metadata": {"name": name}}, namespace="default")
            self.alive[name] = obj.uid
        elif self.rng.random() < 0.4:
            # Before the answer: the event may come earlier.
            self.ended.add(self.alive.pop(name))
            await self.client.delete(CONFIGMAPS, name, namespace="default")
        else:
            data = {"data": {"t": str(self.rng.random())}}
            await self.client.patch(CONFIGMAPS, name, data, namespace="default")

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        stopped = False

        async def run() -> None:
            while not stopped:
                await self.write()
                if self.rng.random() < 0.3:
                    await asyncio.sleep(self.rng.random() * 0.005)

        async with asyncio.TaskGroup() as group:
            group.create_task(run())
            try:
                yield
            finally:
                stopped = True


class History:
    """A handler that checks that its events make sense, by uid."""

    def __init__(self, churn: Churn) -> None:
        self.churn = churn
        self.objects: dict[ObjectKey, str] = {}
        self.dead: set[str] = set()
        self.problems: list[str] = []

    def __call__(self, event: Event) -> None:
        key, uid = event.key, event.obj.uid
        before = self.objects.get(key)
        match event:
            case Added():
                self._expect(before is None, f"{key} was added twice")
                self._expect(uid not in self.dead, f"{key} was added after its end")
                self.objects[key] = uid
            case Updated():
                self._expect(before == uid, f"{key} was updated, but not there")
            case Deleted(out_of_scope=left):
                self._expect(before == uid, f"{key} was deleted, but not there")
                self._expect(left or uid in self.churn.ended, f"{key} was deleted, but exists")
                self.objects.pop(key, None)
                if not left:
                    self.dead.add(uid)

    def _expect(self, right: bool, problem: str) -> None:
        if not right:
            self.problems.append(problem)


async def same(informer: SharedInformer, client: Client, ranges: Ranges) -> None:
    listed = await client.list(CONFIGMAPS)
    truth = {obj.key: obj.resource_version for obj in listed.items if ranges.has(obj)}
    async with asyncio.timeout(60):
        while {obj.key: obj.resource_version for obj in informer.lister.list()} != truth:
            await asyncio.sleep(0.01)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("storage", ["plain", "compact"])
@pytest.mark.parametrize("gated", [True, False], ids=["server filters", "server sends all"])
async def test_ranges_change_under_churn_without_another_list_of_what_stays(
    gated: bool, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(storage, monkeypatch)
    rng = random.Random(f"{gated} {storage}")
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        if not gated:
            server.faults.without_shards()
        churn = Churn(client, rng)
        history = History(churn)
        async with SharedInformerFactory(client) as factory:
            informer = factory.informer(CONFIGMAPS, scope=Scope(shard=Ranges()))
            await informer.synced(timeout=60)
            informer.add_event_handler(history)
            slices: set[int] = set()
            ranges = Ranges()
            async with churn.going_on():
                for _ in range(CHANGES // 4):
                    slices ^= set(rng.sample(range(SLICES), 3))
                    ranges = Ranges.of_slices(slices, SLICES)
                    await informer.set_scope(Scope(shard=ranges), timeout=60)
                    assert all(map(ranges.has, informer.lister.list()))
                    assert len(informer.status.scopes) == bool(slices)
                    await asyncio.sleep(rng.random() * 0.01)
            await same(informer, client, ranges)
            await asyncio.sleep(0)
            assert not history.problems
            assert {obj.key for obj in informer.lister.list()} == history.objects.keys()
            assert informer.status.lists.keys() == {"initial"}
            assert informer.status.sharding in ({"server", "unknown"} if gated else {"here"})


async def test_ranges_begin_with_nothing_and_without_a_request() -> None:
    async with (
        ApiServer() as server,
        Client(ClusterConfig.for_server(server.url)) as client,
        SharedInformerFactory(client) as factory,
    ):
        informer = factory.informer(CONFIGMAPS, scope=Scope(shard=Ranges(by="namespace")))
        await informer.synced(timeout=60)
        assert "configmaps" not in {request.resource for request in server.requests}


async def test_terms_and_ranges_change_together() -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        churn = Churn(client, random.Random(1))
        for _ in range(60):
            await churn.write()
        half, rest = Ranges.of_slices(range(8), SLICES), Ranges.of_slices(range(8, 16), SLICES)
        async with SharedInformerFactory(client) as factory:
            informer = factory.informer(CONFIGMAPS, scope=Namespaces("default").sharded(half))
            await informer.synced(timeout=60)
            await same(informer, client, half)
            await informer.set_scope(Scope(shard=rest), timeout=60)
            await same(informer, client, rest)
            await informer.set_scope(Scope(), timeout=60)
            await same(informer, client, half | rest)
            await informer.set_scope(Namespaces("default").sharded(half), timeout=60)
            await same(informer, client, half)
