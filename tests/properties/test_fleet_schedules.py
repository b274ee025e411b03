"""Whatever happens to the clusters of a fleet, each that can be reached comes to rest in the state of its server.

Each schedule lets clusters join and leave, servers go away and come back, tokens expire and be renewed, and objects
change, over real sockets. No reconcile may begin in a cluster that is not a ready member. At the end the obstacles go;
then each cache equals its server, and each key has been reconciled in its last state.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Backoff, Client, ClusterConfig, Controller, Fleet, ObjectKey, Requeue, SharedInformerFactory
from kinformer.fleet import Cluster, ClusterState
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kinformer.fleet import Clusters

SCHEDULES = int(os.environ.get("KINFORMER_FLEET_SCHEDULES", "4"))
NAMES = "abcd"
QUICK = Backoff(initial=0.01, maximum=0.03)


class Board:
    """A provider whose clusters a schedule sets; now and then it fails, or yields what it has yielded before."""

    def __init__(self) -> None:
        self.now: dict[str, ClusterConfig] = {}
        self.fails = False
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def clusters(self) -> AsyncIterator[Clusters]:
        while True:
            if self.fails:
                self.fails = False
                raise OSError("the provider is away")
            yield dict(self.now)
            await self._changed.wait()
            self._changed.clear()


class World:
    """The servers, the fleet, and what was reconciled."""

    def __init__(self, seed: int, servers: dict[str, ApiServer]) -> None:
        self.random = random.Random(seed)
        self.servers = servers
        self.urls = {name: server.url for name, server in servers.items()}
        self.tokens = dict.fromkeys(servers, 0)
        self.away: set[str] = set()
        self.board = Board()
        self.joins = dict.fromkeys(servers, 0)
        self.seen: dict[tuple[str, int, str], str | None] = {}
        self.strangers: list[tuple[str, ClusterState]] = []
        self.fleet = Fleet(self.board, factory=self.factory, backoff=QUICK).add(self.setup)
        for name in servers:
            self.renew(name, publish=False)

    def factory(self, client: Client) -> SharedInformerFactory:
        return SharedInformerFactory(client, namespace="default", backoff=QUICK)

    def setup(self, cluster: Cluster) -> Controller[ObjectKey]:
        self.joins[cluster.name] += 1
        join = self.joins[cluster.name]
        maps = cluster.informer(CONFIGMAPS)

        async def reconcile(key: ObjectKey) -> Requeue | None:
            state = self.fleet.status.clusters[cluster.name].state
            if state not in {ClusterState.READY, ClusterState.DEGRADED} or join != self.joins[cluster.name]:
                self.strangers.append((cluster.name, state))
            found = maps.lister.get(key)
            chance = self.random.random()
            if chance < 0.1:
                raise RuntimeError("fails, and comes again")
            if chance < 0.3:
                await asyncio.sleep(0.002)
            self.seen[cluster.name, join, key.name] = None if found is None else found.resource_version
            return Requeue(after=0.01) if chance > 0.95 else None

        return Controller("maps", reconcile, workers=2, metrics=None).watches(maps)

    def config(self, name: str) -> ClusterConfig:
        return ClusterConfig.for_server(self.urls[name], f"{name}{self.tokens[name]}")

    # Steps

    def join(self, name: str) -> None:
        self.board.now[name] = self.config(name)
        self.board.changed()

    def leave(self, name: str) -> None:
        self.board.now.pop(name, None)
        self.board.changed()

    async def stop(self, name: str) -> None:
        if name not in self.away:
            self.away.add(name)
            await self.servers[name].stop()

    async def restart(self, name: str) -> None:
        if name in self.away:
            await self.servers[name].restart()
            self.away.discard(name)

    def expire(self, name: str) -> None:
        """The server takes another token from now on, which the fleet does not know yet."""
        self.tokens[name] += 1
        tokens = self.servers[name].tokens
        tokens.clear()
        tokens[f"{name}{self.tokens[name]}"] = "fleet"

    def renew(self, name: str, *, publish: bool = True) -> None:
        self.expire(name)
        if publish and name in self.board.now:
            self.join(name)

    def write(self, name: str) -> None:
        found = {one["metadata"]["name"] for one in self.servers[name].list("v1", "ConfigMap", "default")}
        key = self.random.choice("xyz")
        if key not in found:
            self.servers[name].create(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key, "namespace": "default"}}
            )
        elif self.random.random() < 0.3:
            self.servers[name].delete("v1", "ConfigMap", key)
        else:
            self.servers[name].patch("v1", "ConfigMap", key, {"data": {"n": str(self.random.random())}})

    def fail_provider(self, _name: str) -> None:
        self.board.fails = True
        self.board.changed()

    async def run(self, steps: int) -> None:
        moves: list[Callable[[str], Any]] = [self.write] * 8 + [self.join] * 4 + [self.leave] * 2 + [self.stop]
        moves += [self.restart] * 3 + [self.expire, self.renew, self.renew, self.fail_provider]
        for _ in range(steps):
            done = self.random.choice(moves)(self.random.choice(NAMES))
            if done is not None:
                await done
            await asyncio.sleep(self.random.choice([0, 0, 0.001, 0.01]))

    async def rest(self) -> None:
        """All obstacles go; the fleet comes to rest."""
        for name in NAMES:
            await self.restart(name)
            if name in self.board.now:
                self.join(name)
        async with asyncio.timeout(30):
            while (wrong := self.wrong()) != "":
                self.last = wrong
                await asyncio.sleep(0.01)

    def wrong(self) -> str:
        """What is not as it must be; "" at rest."""
        live = self.fleet.clusters
        if {*live} != {*self.board.now}:
            return f"clusters {[*live]}, and wanted are {[*self.board.now]}: {self.fleet.status}"
        for name, cluster in live.items():
            state = self.fleet.status.clusters[name].state
            if state is not ClusterState.READY:
                return f"{name} is {state}"
            there = {
                one["metadata"]["name"]: one["metadata"]["resourceVersion"]
                for one in self.servers[name].list("v1", "ConfigMap", "default")
            }
            cached = {one.name: one.resource_version for one in cluster.informer(CONFIGMAPS).lister}
            if cached != there:
                return f"{name} has {cached}, and its server {there}"
            for key in "xyz":
                seen = self.seen.get((name, self.joins[name], key))
                if seen != there.get(key):
                    return f"{name}/{key} was reconciled as {seen}, and is {there.get(key)}"
        return ""


@pytest.mark.parametrize("seed", range(SCHEDULES))
async def test_a_fleet_comes_to_rest_in_the_state_of_its_servers(seed: int) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = {name: await stack.enter_async_context(ApiServer()) for name in NAMES}
        for server in servers.values():
            server.allow("fleet")
        world = World(seed, servers)
        async with world.fleet:
            await world.run(steps=120)
            try:
                await world.rest()
            except TimeoutError:
                pytest.fail(f"seed {seed}: {world.wrong() or world.last}")
            assert world.strangers == []
        assert not [task for task in asyncio.all_tasks() if "kinformer fleet" in task.get_name()]
        async with asyncio.timeout(60):
            while any(server.open_watches for server in servers.values()):
                await asyncio.sleep(0.01)
