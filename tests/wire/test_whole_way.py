"""The whole way against the embedded API server: what is shared, what is left behind, what is overcome."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import (
    Backoff,
    CacheSyncError,
    Client,
    ClusterConfig,
    ConnectError,
    ForbiddenError,
    InformerState,
    SharedInformerFactory,
    UnauthorizedError,
    UnknownResourceError,
)
from kinformer.resources import CONFIGMAPS, NODES, PODS
from kinformer.testing import ApiServer
from tests.test_public_api import CRD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer import SharedInformer
    from kinformer.events import Event

QUICK = Backoff(initial=0.01, maximum=0.05)


def config_map(name: str, namespace: str = "default", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": data.pop("app", "web")}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(server.url)) as opened:
        yield opened


async def caught_up(informer: SharedInformer, version: int) -> None:
    """Wait until a cache has reached a version of the server's."""
    async with asyncio.timeout(60):
        while int(informer.resource_version or 0) < version:
            await asyncio.sleep(0.001)


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            count += str(link.readlink()).startswith("socket:")
        except OSError:
            continue
    return count


async def test_a_thousand_requests_for_fifty_identities_open_fifty_watches_and_leave_nothing_behind() -> None:
    gc.collect()
    before, tasks = sockets(), asyncio.all_tasks()
    heard: Counter[str] = Counter()

    def count(event: Event) -> None:
        heard[event.key.namespace] += 1

    async def count_slowly(event: Event) -> None:
        await asyncio.sleep(0)
        heard[event.key.namespace] += 1

    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        for number in range(50):
            server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"ns-{number}"}})
            server.create(config_map("a", f"ns-{number}"))
        factory = SharedInformerFactory(client, resync=600)
        informers = set()
        async with factory:
            for request in range(1000):
                informer = factory.informer(CONFIGMAPS, namespace=f"ns-{request % 50}")
                informer.add_event_handler(count if request % 2 else count_slowly)
                informers.add(informer)
            await factory.wait_for_cache_sync(timeout=60)
            async with asyncio.timeout(60):
                while len(server.open_watches) < 50 or sum(heard.values()) < 1000:
                    await asyncio.sleep(0.001)
            assert len(informers) == 50
            assert len(server.open_watches) == 50
            watched = Counter(record.namespace for record in server.requests if record.verb == "watch")
            assert watched == {f"ns-{number}": 1 for number in range(50)}
            assert set(heard.values()) == {20}
        async with asyncio.timeout(60):
            while server.open_watches:
                await asyncio.sleep(0.001)
    gc.collect()
    assert asyncio.all_tasks() == tasks
    assert sockets() <= before


async def test_the_cache_follows_creates_updates_and_deletes(server: ApiServer, client: Client) -> None:
    factory = SharedInformerFactory(client)
    maps = factory.core.v1.configmaps
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        for number in range(50):
            server.create(config_map(f"m{number}"))
        for number in range(0, 50, 2):
            server.patch("v1", "ConfigMap", f"m{number}", {"data": {"n": str(number)}})
        for number in range(0, 50, 5):
            server.delete("v1", "ConfigMap", f"m{number}")
        await caught_up(maps, server.resource_version)
        cached = {obj.name: obj.to_dict() for obj in maps.lister.list()}
        assert cached == {found["metadata"]["name"]: found for found in server.list("v1", "ConfigMap")}


async def test_a_selector_lets_objects_enter_and_leave(server: ApiServer, client: Client) -> None:
    server.create(config_map("a", app="web"))
    server.create(config_map("b", app="db"))
    factory = SharedInformerFactory(client)
    maps = factory.informer(CONFIGMAPS, label_selector={"app": "web"})
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        assert [obj.name for obj in maps.lister.list()] == ["a"]
        server.patch("v1", "ConfigMap", "a", {"metadata": {"labels": {"app": "db"}}})
        server.patch("v1", "ConfigMap", "b", {"metadata": {"labels": {"app": "web"}}})
        await caught_up(maps, server.resource_version)
        assert [obj.name for obj in maps.lister.list()] == ["b"]


@pytest.mark.parametrize("fault", ["drop_watches", "end_watches", "expire"])
async def test_what_happened_while_the_watch_was_broken_is_told_once_it_is_back(
    fault: str, server: ApiServer, client: Client
) -> None:
    server.create(config_map("kept"))
    server.create(config_map("gone"))
    factory = SharedInformerFactory(client, backoff=QUICK)
    maps = factory.core.v1.configmaps
    told: list[tuple[str, str]] = []
    maps.add_event_handler(lambda event: told.append((type(event).__name__, event.key.name)))
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        async with asyncio.timeout(60):
            while not server.open_watches:
                await asyncio.sleep(0.001)
        told.clear()
        assert getattr(server.faults, fault)() == 1
        server.delete("v1", "ConfigMap", "gone")
        server.create(config_map("new"))
        if fault == "expire":
            server.compact()
        await caught_up(maps, server.resource_version)
        async with asyncio.timeout(60):
            while len(told) < 2:
                await asyncio.sleep(0.001)
        assert sorted(told) == [("Added", "new"), ("Deleted", "gone")]
        assert {obj.name for obj in maps.lister.list()} == {"kept", "new"}
        assert maps.status.relists == (1 if fault == "expire" else 0)


async def test_requests_refused_for_a_while_delay_the_sync_and_no_more(server: ApiServer, client: Client) -> None:
    server.create(config_map("a"))
    server.faults.fail_next(3, status=503, body="<html>bad gateway</html>")
    factory = SharedInformerFactory(client, backoff=QUICK)
    maps = factory.core.v1.configmaps
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        assert len(maps.lister) == 1
        assert maps.status.last_error is not None
        assert maps.status.failures == 0


async def test_pages_are_put_together(server: ApiServer) -> None:
    for number in range(1234):
        server.create(config_map(f"m{number:04}"))
    async with Client(ClusterConfig.for_server(server.url)) as client:
        factory = SharedInformerFactory(client, streaming_lists=False)
        maps = factory.core.v1.configmaps
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            assert len(maps.lister) == 1234
            assert maps.status.streaming_off == "switched off (streaming_lists=False)"
    pages = [record.query for record in server.requests if record.verb == "list"]
    assert [page.get("limit") for page in pages] == ["500"] * 3
    assert pages[0]["resourceVersion"] == "0"


async def test_metadata_only_brings_the_metadata_and_no_more(server: ApiServer, client: Client) -> None:
    server.create(config_map("a", secret="value"))
    factory = SharedInformerFactory(client)
    maps = factory.informer(CONFIGMAPS, metadata_only=True)
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        (obj,) = maps.lister.list()
        assert "data" not in obj
        assert obj.labels == {"app": "web"}
        server.patch("v1", "ConfigMap", "a", {"data": {"x": "y"}})
        await caught_up(maps, server.resource_version)
        (changed,) = maps.lister.list()
        assert changed.resource_version == str(server.resource_version)


async def test_a_custom_resource_is_discovered_and_followed(server: ApiServer, client: Client) -> None:
    server.create(CRD)
    factory = SharedInformerFactory(client)
    widgets = await factory.discover("widgets.v1.example.com")
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        server.create({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {}})
        await caught_up(widgets, server.resource_version)
        found = widgets.lister.get("a", namespace="default")
        assert found is not None
        assert found["kind"] == "Widget"
    with pytest.raises(UnknownResourceError, match="wodgets"):
        await factory.discover("wodgets")


async def test_an_object_of_several_megabytes_passes_in_list_and_watch(server: ApiServer, client: Client) -> None:
    server.create(config_map("listed", blob="x" * 3_000_000))
    factory = SharedInformerFactory(client)
    maps = factory.core.v1.configmaps
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        server.create(config_map("watched", blob="y" * 5_000_000))
        await caught_up(maps, server.resource_version)
        assert {obj.name: len(obj["data"]["blob"]) for obj in maps.lister.list()} == {
            "listed": 3_000_000,
            "watched": 5_000_000,
        }


async def test_an_unreachable_server_is_named_with_the_cause_when_time_is_up() -> None:
    async with ApiServer() as gone:
        url = gone.url
    async with Client(ClusterConfig.for_server(url)) as client:
        factory = SharedInformerFactory(client, backoff=QUICK)
        assert factory.core.v1.pods is not None
        async with factory:
            with pytest.raises(CacheSyncError, match=r"pods\.v1.*127\.0\.0\.1") as info:
                await factory.wait_for_cache_sync(timeout=0.2)
    assert isinstance(info.value.causes["pods.v1"], ConnectError)


async def test_401_and_403_name_verb_resource_namespace_and_what_the_server_said() -> None:
    async with ApiServer(tokens={"good": "bob"}) as server:
        server.deny("bob", "*", "pods")
        for token, expected, words in (
            ("wrong", UnauthorizedError, ["list pods in namespace web", "Unauthorized"]),
            ("good", ForbiddenError, ["list pods in namespace web", 'User "bob" cannot list resource "pods"']),
        ):
            async with Client(ClusterConfig.for_server(server.url, token=token)) as client:
                factory = SharedInformerFactory(client, backoff=QUICK, streaming_lists=False)
                pods = factory.informer(PODS, namespace="web")
                async with factory:
                    with pytest.raises(CacheSyncError) as info:
                        await factory.wait_for_cache_sync(timeout=60, fail_fast=True)
                    assert pods.status.state in {InformerState.WAITING, InformerState.LISTING}
                (cause,) = info.value.causes.values()
                assert isinstance(cause, expected)
                for word in words:
                    assert word in str(info.value)
                assert token not in str(info.value)


async def test_a_right_that_is_given_later_lets_the_informer_sync() -> None:
    async with (
        ApiServer(tokens={"good": "bob"}) as server,
        Client(ClusterConfig.for_server(server.url, token="good")) as client,
    ):
        server.deny("bob", "*", "nodes")
        factory = SharedInformerFactory(client, backoff=QUICK)
        nodes = factory.informer(NODES)
        async with factory:
            with pytest.raises(CacheSyncError):
                await nodes.synced(timeout=0.1)
            server.allow("bob")
            await nodes.synced(timeout=60)
