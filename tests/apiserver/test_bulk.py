"""Many objects, many writers, several caches: each ends equal to the store.

600 pods and 1,500 writes here; `make soak` has 2,000 and 5,000 (KINFORMER_BULK_PODS), on both servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from typing import TYPE_CHECKING

import pytest

from kinformer import ConflictError, NotFoundError, SharedInformerFactory
from kinformer.resources import PODS
from tests.apiserver.clusters import pod
from tests.apiserver.following import Follower, caught_up, versions

if TYPE_CHECKING:
    from kinformer import Client
    from tests.apiserver.clusters import Cluster

PODS_AT_FIRST = int(os.environ.get("KINFORMER_BULK_PODS", "600"))
"""More than one page of a list."""
WRITERS = 20
WRITES_EACH = PODS_AT_FIRST // 8


async def make_pods(client: Client, namespace: str, count: int) -> None:
    async def some(first: int) -> None:
        for number in range(first, count, WRITERS):
            await client.create(PODS, pod(f"pod-{number}", number=str(number % 10)), namespace=namespace)

    async with asyncio.TaskGroup() as group:
        for writer in range(WRITERS):
            group.create_task(some(writer))


@pytest.mark.timeout(300)
async def test_caches_of_many_pods_stay_equal_to_the_store_while_many_write(cluster: Cluster, client: Client) -> None:
    await make_pods(client, cluster.namespace, PODS_AT_FIRST)
    async with contextlib.AsyncExitStack() as stack:
        factories = []
        for streaming in (True, False, True):
            # Three programs, each with a client and connections of its own.
            own = await stack.enter_async_context(cluster.client())
            factory = SharedInformerFactory(own, namespace=cluster.namespace, streaming_lists=streaming)
            factories.append((factory, factory.core.v1.pods))
        informers = [informer for _, informer in factories]
        followers = [Follower(informer) for informer in informers]
        for factory, _ in factories:
            await stack.enter_async_context(factory)
            await factory.wait_for_cache_sync(timeout=60)
        assert len(await caught_up(cluster, PODS, *informers)) == PODS_AT_FIRST
        # One was streamed, the other came in pages: byte for byte the same objects.
        streamed, paged = ({obj.key: obj.to_dict() for obj in i.lister.list()} for i in informers[:2])
        assert streamed == paged

        written = set()

        async def write(writer: int) -> None:
            chance = random.Random(writer)
            for number in range(WRITES_EACH):
                name = f"pod-{chance.randrange(PODS_AT_FIRST)}"
                try:
                    if number % 5 == 0:
                        made = await client.create(PODS, pod(f"new-{writer}-{number}"), namespace=cluster.namespace)
                    elif number % 5 == 1:
                        await client.delete(PODS, name, namespace=cluster.namespace, grace_period_seconds=0)
                        continue
                    else:
                        labels = {"writer": str(writer), "write": str(number)}
                        patch = {"metadata": {"labels": labels}}
                        made = await client.patch(PODS, name, patch, namespace=cluster.namespace)
                except (NotFoundError, ConflictError):
                    # Another writer has deleted it.
                    continue
                written.add((made.name, made.uid, made.resource_version))

        async with asyncio.TaskGroup() as group:
            for writer in range(WRITERS):
                group.create_task(write(writer))
        truth = await caught_up(cluster, PODS, *informers)
        assert len(written) > WRITERS * WRITES_EACH / 2
        for informer, follower in zip(informers, followers, strict=True):
            follower.check()
            assert versions(informer) == truth
            # The watch has never been interrupted: it brought each single write, and nothing that was never written.
            told = {(e.obj.name, e.obj.uid, e.obj.resource_version) for es in follower.events_of.values() for e in es}
            assert written <= told
            assert informer.status.watches == 1
            assert sum(informer.status.lists.values()) == 1
