"""Other Python clients list and watch against the embedded server: it is an API server to them, too."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import kubernetes
import kubernetes_asyncio
import lightkube
import pytest
from kubernetes.informer import SharedInformer
from kubernetes_asyncio.watch import Watch
from lightkube.config.kubeconfig import KubeConfig
from lightkube.resources.core_v1 import ConfigMap

from kinformer.testing import ApiServer
from tests.test_public_api import POD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.peer


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


async def test_kubernetes_asyncio_lists_writes_and_watches(server: ApiServer) -> None:
    server.create(POD)
    configuration = kubernetes_asyncio.client.Configuration(host=server.url)
    async with kubernetes_asyncio.client.ApiClient(configuration) as api:
        core = kubernetes_asyncio.client.CoreV1Api(api)
        listed = await core.list_namespaced_pod("default")
        assert [pod.metadata.name for pod in listed.items] == ["web-0"]
        seen = []
        async with (
            asyncio.timeout(30),
            Watch().stream(
                core.list_namespaced_pod, "default", resource_version=listed.metadata.resource_version
            ) as stream,
        ):
            await core.patch_namespaced_pod("web-0", "default", {"metadata": {"labels": {"a": "b"}}})
            async for event in stream:
                seen.append((event["type"], event["object"].metadata.labels.get("a")))
                if event["type"] == "DELETED":
                    break
                if event["object"].metadata.deletion_timestamp is None:
                    await core.delete_namespaced_pod("web-0", "default", grace_period_seconds=0)
        # A pod is marked before it goes.
        assert seen == [("MODIFIED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]


async def test_lightkube_lists_and_watches(server: ApiServer) -> None:
    server.create(config_map("a"))
    config = KubeConfig.from_dict(server.kubeconfig())
    client = lightkube.AsyncClient(config=config, namespace="default", trust_env=False)
    names = [found.metadata.name async for found in client.list(ConfigMap)]
    assert names == ["a"]
    seen = []
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:

        async def change() -> None:
            while not server.open_watches:
                await asyncio.sleep(0)
            server.create(config_map("b"))
            server.delete("v1", "ConfigMap", "b")

        group.create_task(change())
        async for kind, found in client.watch(ConfigMap, resource_version=str(server.resource_version)):
            seen.append((kind, found.metadata.name))
            if kind == "DELETED":
                break
    assert seen == [("ADDED", "b"), ("DELETED", "b")]
    await client.close()


async def test_the_official_clients_shared_informer_follows(server: ApiServer) -> None:
    server.create(config_map("a"))
    configuration = kubernetes.client.Configuration(host=server.url)
    added, deleted = threading.Event(), threading.Event()

    def follow() -> set[str]:
        with kubernetes.client.ApiClient(configuration) as api:
            core = kubernetes.client.CoreV1Api(api)
            informer = SharedInformer(list_func=core.list_namespaced_config_map, namespace="default")
            informer.add_event_handler("ADDED", lambda obj: obj.metadata.name == "b" and added.set())
            informer.add_event_handler("DELETED", lambda obj: deleted.set())
            informer.start()
            try:
                assert added.wait(30)
                assert deleted.wait(30)
                return {obj.metadata.name for obj in informer.cache.list()}
            finally:
                informer.stop()

    async with asyncio.TaskGroup() as group:
        following = group.create_task(asyncio.to_thread(follow))
        while not server.open_watches:
            await asyncio.sleep(0.001)
        server.create(config_map("b"))
        server.delete("v1", "ConfigMap", "a")
    assert following.result() == {"b"}
