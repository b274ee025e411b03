"""Two hundred informers in one process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kinformer import SharedInformerFactory
from kinformer.resources import CONFIGMAPS, NAMESPACES, PODS, SECRETS, SERVICES
from tests.apiserver.clusters import pod
from tests.apiserver.following import caught_up
from tests.apiserver.lying_proxy import LyingProxy

if TYPE_CHECKING:
    from kinformer import Client
    from tests.apiserver.clusters import Cluster

SPACES = 50
RESOURCES = (PODS, CONFIGMAPS, SECRETS, SERVICES)
INFORMERS = SPACES * len(RESOURCES)


@pytest.mark.parametrize("streaming", [True, False])
async def test_two_hundred_informers_start_within_seconds_over_one_client(
    cluster: Cluster, client: Client, streaming: bool
) -> None:
    names = [f"{cluster.namespace}-{number}" for number in range(SPACES)]
    for name in names:
        await client.create(NAMESPACES, {"metadata": {"name": name}})
        await client.create(PODS, pod("web"), namespace=name)
    most = 0
    async with LyingProxy(cluster.port) as proxy, cluster.client(url=proxy.url) as one:
        factory = SharedInformerFactory(one, streaming_lists=streaming)
        informers = [factory.informer(resource, namespace=name) for name in names for resource in RESOURCES]
        assert len(factory.informers) == INFORMERS == 200
        async with factory:
            async with asyncio.TaskGroup() as group:
                # It takes one or two; a busy machine is given more.
                syncing = group.create_task(factory.wait_for_cache_sync(timeout=60))
                while not syncing.done():
                    most = max(most, proxy.open)
                    await asyncio.sleep(0.01)
            async with asyncio.timeout(60):
                while not all(informer.is_live for informer in informers):
                    await asyncio.sleep(0.01)
            # A watch has a connection of its own; everything else shares a few.
            assert proxy.open >= INFORMERS
            assert most <= 2 * INFORMERS + 10
            accepted = proxy.accepted
            assert accepted <= 2 * INFORMERS + 10
            await client.create(CONFIGMAPS, {"metadata": {"name": "new"}}, namespace=names[7])
            await caught_up(cluster, CONFIGMAPS, factory.informer(CONFIGMAPS, namespace=names[7]), namespace=names[7])
            assert all(factory.informer(PODS, namespace=name).lister.get("web") is not None for name in names)
            assert proxy.accepted == accepted
    async with asyncio.timeout(60):
        while proxy.open:
            await asyncio.sleep(0.01)
