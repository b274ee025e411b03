"""A slice counts as listed when its informer has listed it, and not before."""

from __future__ import annotations

import asyncio

from kinformer import Client, ClusterConfig, ShardGroup, SharedInformerFactory
from kinformer.operators.shard_group import engine_of
from kinformer.resources import SECRETS
from kinformer.testing import ApiServer


async def test_a_slice_that_the_server_refuses_to_list_is_not_listed() -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        group = ShardGroup(client, "sites", namespace="default", by="uid")
        factory = SharedInformerFactory(client)
        factory.informer(SECRETS, shard=group)
        (caches,) = engine_of(group)._caches
        server.faults.fail_next(None, status=403, resource="secrets")
        async with factory, asyncio.TaskGroup() as tasks:
            following = tasks.create_task(caches.follow())
            caches.want(frozenset({3}))
            while len(server.requests) < 3:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert caches.listed(3) == 0
            following.cancel()
