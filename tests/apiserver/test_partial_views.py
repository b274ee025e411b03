"""Informers of a part: metadata only, a share of the objects; and lists that a server does not stream."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Shard, SharedInformerFactory
from kinformer.resources import CONFIGMAPS, PODS
from kinformer.testing import ControlPlane
from tests.apiserver.clusters import Embedded, Real, pod
from tests.apiserver.following import Follower, caught_up, versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kinformer import Client
    from tests.apiserver.clusters import Cluster


async def change_some(client: Client, namespace: str, count: int) -> None:
    """Every third pod changes, every fourth goes, some come."""
    for number in range(count):
        if number % 3 == 0:
            labels = {"metadata": {"labels": {"changed": "yes"}}}
            await client.patch(PODS, f"pod-{number}", labels, namespace=namespace)
        if number % 4 == 0:
            await client.delete(PODS, f"pod-{number}", namespace=namespace)
        if number % 5 == 0:
            await client.create(PODS, pod(f"late-{number}"), namespace=namespace)


@pytest.mark.parametrize("streaming", [True, False])
async def test_metadata_only_informers_have_the_metadata_and_nothing_else(
    cluster: Cluster, client: Client, streaming: bool
) -> None:
    for number in range(20):
        await client.create(PODS, pod(f"pod-{number}", app="web"), namespace=cluster.namespace)
    factory = SharedInformerFactory(client, namespace=cluster.namespace, streaming_lists=streaming)
    partial, whole = factory.informer(PODS, metadata_only=True), factory.informer(PODS)
    follower = Follower(partial)
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        await change_some(client, cluster.namespace, 20)
        await caught_up(cluster, PODS, partial, whole)
        follower.check()
        for obj in partial.lister.list():
            full = whole.lister.get(obj.name, namespace=cluster.namespace)
            assert full is not None
            assert (obj["apiVersion"], obj["kind"]) == ("meta.k8s.io/v1", "PartialObjectMetadata")
            assert obj["metadata"] == full["metadata"]
            assert set(obj) == {"apiVersion", "kind", "metadata"}
            assert obj.labels == full.labels


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(("of", "by"), [(2, "uid"), (3, "uid"), (2, "namespace")])
async def test_the_shares_make_the_whole_and_do_not_overlap(
    cluster: Cluster, client: Client, streaming: bool, of: int, by: Any
) -> None:
    for number in range(40):
        await client.create(PODS, pod(f"pod-{number}"), namespace=cluster.namespace)
    factory = SharedInformerFactory(client, namespace=cluster.namespace, streaming_lists=streaming)
    shares = [factory.informer(PODS, shard=Shard(index, of, by)) for index in range(of)]
    whole = factory.informer(PODS)
    followers = [Follower(informer) for informer in shares]
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        await change_some(client, cluster.namespace, 40)
        await caught_up(cluster, PODS, whole)
        for index, informer in enumerate(shares):
            await caught_up(cluster, PODS, informer, shardSelector=str(Shard(index, of, by)))
            followers[index].check()
        together: dict[str, str] = {}
        for informer in shares:
            assert not together.keys() & versions(informer).keys()
            together |= versions(informer)
        assert together == versions(whole)
        sizes = sorted(len(informer.lister) for informer in shares)
        assert (sizes[0] == 0) is (by == "namespace")


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_the_server_means_the_same_share_as_we_do(cluster: Cluster, client: Client, index: int) -> None:
    made = [await client.create(PODS, pod(f"pod-{number}"), namespace=cluster.namespace) for number in range(30)]
    shard = Shard(index, of=3)
    theirs = await cluster.truth(PODS, shardSelector=str(shard))
    assert {key.partition("/")[2] for key in theirs} == {obj.name for obj in made if shard.has(obj)}


@pytest.fixture(params=["embedded", pytest.param("real", marks=[pytest.mark.real, pytest.mark.timeout(300)])])
async def plain_cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A server without streaming lists, and without shares."""
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "embedded":
            cluster: Cluster = Embedded(tmp_path)
            assert isinstance(cluster, Embedded)
            cluster.server.faults.without_streaming_lists()
            await stack.enter_async_context(cluster.server)
        else:
            gates = {"WatchList": False, "ShardedListAndWatch": False}
            cluster = Real(tmp_path, await stack.enter_async_context(ControlPlane(feature_gates=gates)))
        cluster.namespace = "default"
        yield cluster


async def test_without_streaming_lists_the_result_is_the_same(plain_cluster: Cluster) -> None:
    async with plain_cluster.client() as client:
        for number in range(30):
            await client.create(PODS, pod(f"pod-{number}"), namespace="default")
        factory = SharedInformerFactory(client, namespace="default")
        pods, maps = factory.informer(PODS), factory.informer(CONFIGMAPS)
        shares = [factory.informer(PODS, shard=Shard(index, of=2)) for index in range(2)]
        followers = [Follower(informer) for informer in (pods, maps, *shares)]
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            # That it does not is no failure: it is how this server is, and said where one looks for it.
            assert pods.status.failures == 0
            assert "WatchList" in pods.status.streaming_off
            await change_some(client, "default", 30)
            truth = await caught_up(plain_cluster, PODS, pods)
            await caught_up(plain_cluster, CONFIGMAPS, maps)
            together: dict[str, str] = {}
            async with asyncio.timeout(60):
                while together != truth:
                    await asyncio.sleep(0.01)
                    together = versions(shares[0]) | versions(shares[1])
            assert not versions(shares[0]).keys() & versions(shares[1]).keys()
            for follower in followers:
                follower.check()
