"""The methods of the embedded server, beside its HTTP."""

from __future__ import annotations

from dataclasses import replace

import aiohttp
import pytest

from kinformer import Client, ClusterConfig, NotFoundError, SharedInformerFactory
from kinformer.resources import (
    CLUSTERTRUSTBUNDLES,
    DEVICETAINTRULES,
    PODCERTIFICATEREQUESTS,
    STORAGEVERSIONMIGRATIONS,
    Resource,
)
from kinformer.testing import ApiServer
from kinformer.testing._apiserver.store.status import Refusal
from kinformer.testing.build import pod


async def test_a_pod_gets_its_node_by_binding_and_gets_it_once() -> None:
    async with ApiServer() as server:
        server.create(pod("web-0"))
        with pytest.raises(Refusal, match="pod updates may not change fields"):
            server.patch("v1", "Pod", "web-0", {"spec": {"nodeName": "node-1"}})
        server.bind("web-0", "node-1")
        found = server.get("v1", "Pod", "web-0")
        assert found["spec"]["nodeName"] == "node-1"
        assert [condition["type"] for condition in found["status"]["conditions"]] == ["PodScheduled"]
        with pytest.raises(Refusal, match='already assigned to node "node-1"'):
            server.bind("web-0", "node-2")
        with pytest.raises(Refusal, match="not found"):
            server.bind("web-1", "node-1")


NEW_IN_1_37 = [CLUSTERTRUSTBUNDLES, DEVICETAINTRULES, PODCERTIFICATEREQUESTS, STORAGEVERSIONMIGRATIONS]


@pytest.mark.parametrize("resource", NEW_IN_1_37, ids=lambda resource: resource.plural)
async def test_a_resource_that_is_new_in_1_37_is_served_from_1_37_on(resource: Resource) -> None:
    async with ApiServer(version="1.37") as server, Client(ClusterConfig.for_server(server.url)) as client:
        assert not (await client.list(resource)).items
    async with ApiServer(version="1.36") as server, Client(ClusterConfig.for_server(server.url)) as client:
        with pytest.raises(NotFoundError, match="could not find the requested resource|does not serve this resource"):
            await client.list(resource)


async def test_the_documents_are_those_of_the_release() -> None:
    groups = {}
    for version in ("1.36", "1.37"):
        async with ApiServer(version=version) as server, aiohttp.ClientSession(server.url) as session:
            async with session.get("/version") as answer:
                told = await answer.json()
            async with session.get("/apis") as answer:
                groups[version] = {group["name"] for group in (await answer.json())["groups"]}
            async with session.get("/openapi/v3/apis/certificates.k8s.io/v1") as answer:
                kinds = (await answer.json())["components"]["schemas"]
        assert (told["major"], told["minor"], told["gitVersion"]) == ("1", version[2:], f"v{version}.0+kinformer")
        assert ("io.k8s.api.certificates.v1.ClusterTrustBundle" in kinds) is (version == "1.37")
    assert groups["1.37"] - groups["1.36"] == {"storagemigration.k8s.io"}


@pytest.mark.parametrize(
    ("version", "query", "coding"),
    [
        ("1.37", "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "gzip"),
        ("1.37", "", None),
        ("1.36", "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", None),
    ],
)
async def test_streaming_lists_of_1_37_are_compressed_and_nothing_else_that_is_watched(
    version: str, query: str, coding: str | None
) -> None:
    async with ApiServer(version=version) as server, aiohttp.ClientSession(server.url) as session:
        server.create(pod("a"))
        path = f"/api/v1/pods?watch=1&allowWatchBookmarks=true&timeoutSeconds=1{query}"
        async with session.get(path, headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers.get("Content-Encoding") == coding
            assert b'"name":"a"' in await answer.content.readline()


async def test_an_informer_follows_compressed_streams_of_1_37() -> None:
    async with ApiServer(version="1.37") as server:
        config = replace(ClusterConfig.for_server(server.url), compressed_streams=True)
        server.create(pod("a"))
        async with Client(config) as client, SharedInformerFactory(client) as factory:
            informer = factory.informer("pods")
            await factory.wait_for_cache_sync()
            server.create(pod("b"))
            await informer.wait_for("b", lambda found: found is not None, namespace="default")
            assert sorted(one.name for one in informer.lister.list()) == ["a", "b"]


@pytest.mark.parametrize("version", ["", "1.35", "v1.37", "1.37.2"])
def test_an_unknown_release_is_refused_with_those_that_are_known(version: str) -> None:
    with pytest.raises(ValueError, match=r"no embedded API server for Kubernetes .*; choose one of 1\.36, 1\.37"):
        ApiServer(version=version)
