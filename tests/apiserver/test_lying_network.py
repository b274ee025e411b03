"""Between the informers and the server is a network that lies: cut, frozen, slow, in crumbs, torn in the middle."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from kinformer import Backoff, ConnectError, SharedInformerFactory, StreamBrokenError, TransportTimeoutError
from kinformer.resources import CONFIGMAPS
from tests.apiserver.following import Follower, caught_up
from tests.apiserver.lying_proxy import LyingProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer import Client, SharedInformer
    from kinformer.errors import KinformerError
    from tests.apiserver.clusters import Cluster

QUICK = Backoff(initial=0.05, maximum=0.5)
BIG = "x" * 200_000
"""More than a TLS record, a chunk or a socket's buffer holds."""


class World:
    """Informers at the far end of the network, a writer at the near one."""

    def __init__(self, cluster: Cluster, writer: Client, proxy: LyingProxy, informers: list[SharedInformer]) -> None:
        self.cluster = cluster
        self.proxy = proxy
        self.informers = informers
        self.followers = [Follower(informer) for informer in informers]
        self.errors: list[KinformerError] = []
        for informer in informers:
            informer.add_error_handler(lambda error, _: self.errors.append(error))
        self._writer = writer
        self._written = 0

    async def write(self, count: int, data: str = "") -> None:
        """Some objects come, and the older of them change and go."""
        for _ in range(count):
            number = self._written
            self._written += 1
            space = self.cluster.namespace
            manifest = {"metadata": {"name": f"c-{number}"}, "data": {"n": str(number), "big": data}}
            await self._writer.create(CONFIGMAPS, manifest, namespace=space)
            if number % 3 == 1:
                patch = {"data": {"n": f"{number} again"}}
                await self._writer.patch(CONFIGMAPS, f"c-{number - 1}", patch, namespace=space)
            if number % 3 == 2:
                await self._writer.delete(CONFIGMAPS, f"c-{number - 1}", namespace=space)

    async def equal(self) -> None:
        """Assert that all caches equal the store, and that no event was wrong on the way there."""
        await caught_up(self.cluster, CONFIGMAPS, *self.informers)
        for follower in self.followers:
            follower.check()


@contextlib.asynccontextmanager
async def far_world(
    cluster: Cluster, writer: Client, *, watch_seconds: int = 300, connect_timeout: float = 10.0
) -> AsyncIterator[World]:
    async with (
        LyingProxy(cluster.port) as proxy,
        cluster.client(url=proxy.url, connect_timeout=connect_timeout) as far,
        contextlib.AsyncExitStack() as stack,
    ):
        factories = [
            SharedInformerFactory(
                far,
                namespace=cluster.namespace,
                backoff=QUICK,
                streaming_lists=streaming,
                watch_seconds=watch_seconds,
            )
            for streaming in (True, False)
        ]
        world = World(cluster, writer, proxy, [factory.core.v1.configmaps for factory in factories])
        await world.write(5)
        for factory in factories:
            await stack.enter_async_context(factory)
            await factory.wait_for_cache_sync(timeout=60)
        yield world


def broken_or_not_connected(errors: list[KinformerError]) -> bool:
    """Report whether all errors are those of a cut: a stream that ended, or one that was just being opened."""
    kinds = {type(error) for error in errors}
    return StreamBrokenError in kinds and kinds <= {StreamBrokenError, ConnectError}


async def until(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_cut_again_and_again_under_writes(cluster: Cluster, client: Client) -> None:
    async with far_world(cluster, client) as world:
        for _ in range(10):
            await world.write(3)
            assert world.proxy.cut() >= 2
            await world.write(3)
            await until(lambda: all(informer.is_live for informer in world.informers))
        await world.equal()
        # A cut costs a new watch, and never a new list.
        assert all(sum(informer.status.lists.values()) == 1 for informer in world.informers)
        assert all(informer.status.watches >= 10 for informer in world.informers)
        assert broken_or_not_connected(world.errors)


async def test_away_for_a_while_and_back(cluster: Cluster, client: Client) -> None:
    async with far_world(cluster, client) as world:
        world.proxy.part()
        await world.write(6)
        await until(lambda: all(informer.status.failures >= 3 for informer in world.informers))
        world.proxy.join()
        await world.equal()
        assert all(sum(informer.status.lists.values()) == 1 for informer in world.informers)


async def test_frozen_half_open_connections_are_noticed_and_left(cluster: Cluster, client: Client) -> None:
    async with far_world(cluster, client, watch_seconds=1, connect_timeout=3) as world:
        world.proxy.freeze()
        await world.write(6)
        # Two seconds at most for a watch, five for the silence after it.
        await until(lambda: all(i.status.failures for i in world.informers), 30)
        assert {type(error) for error in world.errors} == {TransportTimeoutError}
        world.proxy.join()
        await world.equal()


async def test_slow_but_not_broken_is_no_failure(cluster: Cluster, client: Client) -> None:
    async with far_world(cluster, client) as world:
        world.proxy.delay(0.1)
        await world.write(6)
        await world.equal()
        assert world.errors == []
        assert all(informer.status.watches == 1 for informer in world.informers)


async def test_one_byte_at_a_time(cluster: Cluster, client: Client) -> None:
    async with far_world(cluster, client) as world:
        world.proxy.in_pieces_of(1)
        await world.write(6, "ä€𐍈" * 100)
        await world.equal()
        # From the start, too: handshake, heads, lists.
        world.proxy.cut()
        for informer in world.informers:
            await informer.relist()
        await world.write(3)
        await world.equal()
        assert broken_or_not_connected(world.errors)


@pytest.mark.parametrize("size", [1, 700, 17_000, 150_000])
async def test_torn_in_the_middle_of_an_event(cluster: Cluster, client: Client, size: int) -> None:
    async with far_world(cluster, client) as world:
        for _ in range(3):
            world.proxy.cut_after(size)
            await world.write(2, BIG)
            await until(lambda: all(informer.is_live for informer in world.informers))
            await world.equal()
        assert broken_or_not_connected(world.errors)
        assert all(sum(informer.status.lists.values()) == 1 for informer in world.informers)


async def test_torn_in_the_middle_of_a_list(cluster: Cluster, client: Client) -> None:
    async with far_world(cluster, client) as world:
        await world.write(12, BIG)
        await world.equal()
        world.errors.clear()
        world.proxy.cut_after(400_000)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for informer in world.informers:
                group.create_task(informer.relist())
        await world.write(3)
        await world.equal()
        assert world.errors
