"""A shard group on both servers: replicas come and go, and the server itself finds reconciles that overlap."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kinformer import (
    AlreadyExistsError,
    Client,
    Controller,
    ObjectKey,
    Ranges,
    Scope,
    ShardGroup,
    SharedInformerFactory,
)
from kinformer._tasks import BackgroundTask
from kinformer.operators.shard_status import SliceState
from kinformer.resources import CONFIGMAPS, LEASES, SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.apiserver.clusters import Cluster

COUNT = 40


class Replica:
    """One replica. Each reconcile creates a ConfigMap named by its key and deletes it at its end."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.overlaps: list[ObjectKey] = []
        self.gone: set[str] = set()
        self.seen: set[str] = set()
        self.stop, self.ready = asyncio.Event(), asyncio.Event()
        self.process = BackgroundTask(f"replica {name}")
        self.process.start(self._run())

    async def _run(self) -> None:
        space = self.cluster.namespace
        async with self.cluster.client() as client:
            self.client = client
            self.group = ShardGroup(client, "group", namespace=space, by="uid", identity=self.name, settle=0.1)
            factory = SharedInformerFactory(client, namespace=space)
            self.secrets = factory.informer(SECRETS, shard=self.group)
            controller = Controller("secrets", self._reconcile, shards=self.group).watches(self.secrets)
            async with self.group, factory, controller:
                self.ready.set()
                await self.stop.wait()

    async def _reconcile(self, key: ObjectKey) -> None:
        name, space = f"lock-{key.name}", self.cluster.namespace
        try:
            await self.client.create(CONFIGMAPS, {"metadata": {"name": name}}, namespace=space)
        except AlreadyExistsError:
            self.overlaps.append(key)
            raise
        (self.gone if self.secrets.lister.get(key) is None else self.seen).add(key.name)
        await self.client.delete(CONFIGMAPS, name, namespace=space)

    @property
    def owned(self) -> int:
        return self.group.status.slices.get(SliceState.OWNED, 0)

    async def leave(self) -> None:
        self.stop.set()
        await self.process.join()
        await self.process.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)


async def test_planned_moves_lose_nothing_and_never_overlap(cluster: Cluster, client: Client) -> None:
    space = cluster.namespace
    names = {f"s-{number}" for number in range(COUNT)}
    for name in sorted(names):
        await client.create(SECRETS, {"metadata": {"name": name}}, namespace=space)
    replicas: list[Replica] = []
    for name in ("a", "b", "c"):
        replicas.append(Replica(cluster, name))
        await replicas[-1].ready.wait()
        await until(lambda: sum(one.owned for one in replicas) == 256 and min(one.owned for one in replicas) >= 85)
    await until(lambda: set().union(*(one.seen for one in replicas)) >= names)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(replicas[0].leave())
        for name in sorted(names)[::2]:
            await client.delete(SECRETS, name, namespace=space)
    await until(lambda: set().union(*(one.gone for one in replicas)) == {*sorted(names)[::2]})
    # Nothing changes now, and no event says how far the caches have come.
    await replicas[1].leave()
    await until(lambda: replicas[2].owned == 256)
    await until(lambda: replicas[2].seen >= {*sorted(names)[1::2]})
    await replicas[2].leave()
    assert [one.overlaps for one in replicas] == [[], [], []]
    assert [lease.name for lease in await client.list(LEASES, namespace=space)] == ["group"]


@pytest.mark.timeout(300)
async def test_ranges_of_an_informer_change_under_churn(cluster: Cluster, client: Client) -> None:
    space = cluster.namespace
    async with SharedInformerFactory(client, namespace=space) as factory:
        scope = Scope.of(namespace=space)
        informer = factory.informer(SECRETS, scope=scope.sharded(Ranges()))
        alive: dict[str, str] = {}
        ranges = Ranges()
        for turn in range(20):
            name = f"r-{turn % 7}"
            if name in alive:
                await client.delete(SECRETS, name, namespace=space)
                del alive[name]
            else:
                alive[name] = (await client.create(SECRETS, {"metadata": {"name": name}}, namespace=space)).uid
            ranges = Ranges.of_slices({(turn * 5 + step) % 16 for step in range(turn % 9)}, of=16)
            await informer.set_scope(scope.sharded(ranges), timeout=30)
        expected = {uid for uid in alive.values() if ranges.covers(uid)}
        await until(lambda: {secret.uid for secret in informer.lister} == expected)
        assert informer.status.lists.keys() <= {"initial"}
