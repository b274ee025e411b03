"""A proxy over real sockets: its readers see what the API server's readers see, and the server sees one reader."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer import (
    ApiError,
    Client,
    ClusterConfig,
    ConnectError,
    ExpiredError,
    ForbiddenError,
    SharedInformerFactory,
    TLSError,
    UnauthorizedError,
)
from kinformer.cli._proxy import may_open
from kinformer.config._credentials import Identity, StaticCredentials
from kinformer.errors import AlreadyStartedError
from kinformer.proxy import (
    CacheProxy,
    LoopbackAddress,
    UnixAddress,
    _downstream,
    _kept_socket,
    _server,
    _upstream,
    listen_address,
)
from kinformer.proxy._listen import is_listened_on
from kinformer.resources import CONFIGMAPS, PODS, SECRETS
from kinformer.testing import ApiServer
from tests.wire.raw_server import RawServer, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path


def config_map(name: str, namespace: str = "default", *, data: str = "", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"data": data}}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


@pytest.fixture
async def upstream(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(server.url)) as opened:
        yield opened


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@asynccontextmanager
async def proxied(upstream: Client, path: Path, **options: Any) -> AsyncIterator[tuple[CacheProxy, Client]]:
    """A proxy of ConfigMaps that has its list, and a client of it."""
    async with CacheProxy(upstream, [CONFIGMAPS], listen=UnixAddress(path), **options) as proxy:
        await proxy.synced()
        async with Client(ClusterConfig.for_socket(path)) as reader:
            yield proxy, reader


def files_beside(path: Path) -> list[str]:
    return [each.name for each in path.parent.iterdir()]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.001)


async def test_many_readers_are_one_watch_upstream(server: ApiServer, upstream: Client, socket_path: Path) -> None:
    server.create(config_map("a"))
    async with proxied(upstream, socket_path) as (proxy, reader):
        factories = [SharedInformerFactory(reader) for _ in range(3)]
        informers = [each.informer(CONFIGMAPS) for each in factories]
        async with factories[0], factories[1], factories[2]:
            for factory in factories:
                await factory.wait_for_cache_sync(timeout=60)
            server.create(config_map("b"))
            await eventually(lambda: all(len(each.lister.list()) == 2 for each in informers))
            assert [each.status.streaming_off for each in informers] == [""] * 3
            assert [dict(each.status.lists) for each in informers] == [{"initial": 1}] * 3
            assert [each.status.failures for each in informers] == [0] * 3
            assert (proxy.open_watches, len(server.open_watches)) == (3, 1)
            assert server.count("list", "configmaps") + server.count("watch", "configmaps") <= 2
            for each in informers:
                assert each.lister.get("b", "default") == server.get("v1", "ConfigMap", "b")


async def test_a_socket_that_is_removed_is_made_anew_and_goes_with_the_proxy(
    upstream: Client, socket_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_kept_socket, "LOOK_EVERY", 0.01)
    async with proxied(upstream, socket_path):
        for _ in range(2):
            socket_path.unlink()  # noqa: ASYNC240 - a quick one
            await eventually(socket_path.exists)
            assert (mode_of(socket_path), files_beside(socket_path)) == (0o600, ["s"])
            async with Client(ClusterConfig.for_socket(socket_path)) as late:
                await late.list(CONFIGMAPS)
        assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert files_beside(socket_path) == []


async def test_a_socket_that_cannot_be_made_anew_or_is_another_ones_is_an_error_that_is_logged_once(
    upstream: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_kept_socket, "LOOK_EVERY", 0.005)
    directory = tmp_path / "d"
    directory.mkdir()
    async with proxied(upstream, directory / "s"):
        (directory / "s").unlink()
        directory.rmdir()
        await eventually(lambda: caplog.records)
        await asyncio.sleep(0.05)
        assert [("cannot be made anew" in record.getMessage()) for record in caplog.records] == [True]
        directory.mkdir()
        # The file is there before the proxy knows it as its own.
        await eventually(lambda: "is made anew" in caplog.records[-1].getMessage())
        with socket.socket(socket.AF_UNIX) as foreign:
            foreign.bind(str(directory / "t"))
            (directory / "t").replace(directory / "s")
            await eventually(lambda: "replaced" in caplog.records[-1].getMessage())
            await asyncio.sleep(0.05)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING", "ERROR"]


async def test_each_reader_has_its_selection(server: ApiServer, upstream: Client, socket_path: Path) -> None:
    async with proxied(upstream, socket_path) as (_, reader):
        factory = SharedInformerFactory(reader)
        web = factory.informer(CONFIGMAPS, label_selector="app=web")
        named = factory.informer(CONFIGMAPS, field_selector="metadata.name=a")
        shop = factory.informer(CONFIGMAPS, namespace="kube-public")
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            server.create(config_map("a", app="web"))
            server.create(config_map("b", app="db"))
            server.create(config_map("c", "kube-public", app="web"))
            await eventually(lambda: len(web.lister.list()) == 2 and named.lister.list() and shop.lister.list())
            assert [each.name for each in named.lister.list()] == ["a"]
            assert [each.name for each in shop.lister.list()] == ["c"]
            server.update(config_map("a", app="db"))
            await eventually(lambda: [each.name for each in web.lister.list()] == ["c"])
            assert len(server.open_watches) == 1


async def test_lists_are_answered_from_the_cache_and_by_the_server_where_the_cache_cannot(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    server.create(config_map("a", app="web"))
    server.create(config_map("b", app="db"))
    async with proxied(upstream, socket_path, others="proxy") as (_, reader):
        before = server.count("list")
        assert [each.name for each in await reader.list(CONFIGMAPS, label_selector="app=web")] == ["a"]
        assert server.count("list") == before
        for form, kind in (("Table", "Table"), ("PartialObjectMetadataList", "PartialObjectMetadataList")):
            accept = {"Accept": f"application/json;as={form};v=v1;g=meta.k8s.io"}
            connector = aiohttp.UnixConnector(str(socket_path))
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get("http://localhost/api/v1/configmaps", headers=accept) as response,
            ):
                assert (await response.json())["kind"] == kind
        assert list(await reader.list(PODS)) == []
        assert server.count("list") == before + 3


async def test_a_proxy_of_one_namespace_leaves_the_others_to_the_server(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    server.create(config_map("a", "kube-public"))
    server.create(config_map("b", "kube-system"))
    async with proxied(upstream, socket_path, namespace="kube-public", others="proxy") as (_, reader):
        before = server.count("list")
        assert len(await reader.list(CONFIGMAPS, namespace="kube-public")) == 1
        assert server.count("list") == before
        assert len(await reader.list(CONFIGMAPS)) == 2
        assert len(await reader.list(CONFIGMAPS, namespace="kube-system")) == 1
        assert server.count("list") == before + 2


async def test_writes_and_discovery_go_through(server: ApiServer, upstream: Client, socket_path: Path) -> None:
    async with proxied(upstream, socket_path, others="proxy") as (_, reader):
        made = await reader.create(CONFIGMAPS, config_map("a"))
        await reader.patch(CONFIGMAPS, "a", {"data": {"data": "new"}}, namespace="default")
        assert server.get("v1", "ConfigMap", "a")["data"] == {"data": "new"}
        with pytest.raises(ApiError) as refused:
            await reader.create(CONFIGMAPS, config_map("a"))
        assert refused.value.status == 409
        assert (await reader.get(CONFIGMAPS, "a", namespace="default")).uid == made.uid
        assert (await reader.resolve("deploy")).plural == "deployments"
        assert (await reader.version()).major == "1"


@pytest.mark.parametrize(
    "path", ["/openapi/v3/../../api/v1/secrets", "/openapi/v2//api", "/openapi/v3/.", "/openapi/v3/./x"]
)
async def test_a_path_that_a_server_could_read_in_another_way_is_no_discovery(
    upstream: Client, socket_path: Path, path: str
) -> None:
    async with proxied(upstream, socket_path):
        reader, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] == b"403"
        writer.close()


async def test_everything_else_can_be_refused(server: ApiServer, upstream: Client, socket_path: Path) -> None:
    async with proxied(upstream, socket_path, others="refuse") as (_, reader):
        assert list(await reader.list(CONFIGMAPS)) == []
        with pytest.raises(ForbiddenError, match="send others to the API server"):
            await reader.create(CONFIGMAPS, config_map("a"))
        with pytest.raises(ForbiddenError):
            await reader.list(SECRETS)
        assert server.list("v1", "ConfigMap", "default") == []


async def test_by_default_readers_read_the_proxied_resources_and_nothing_else(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    server.create(config_map("a"))
    server.create(config_map("b", "kube-system"))
    async with proxied(upstream, socket_path, namespace="default") as (_, reader):
        assert (await reader.get(CONFIGMAPS, "a", namespace="default")).name == "a"
        assert len(await reader.list(CONFIGMAPS, namespace="default", field_selector="metadata.name=a")) == 1
        assert len(await reader.list(CONFIGMAPS, namespace="default", metadata_only=True)) == 1
        assert (await reader.resolve("deploy")).plural == "deployments"
        assert (await reader.version()).major == "1"
        refused: list[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: reader.create(CONFIGMAPS, config_map("c")),
            lambda: reader.patch(CONFIGMAPS, "a", {"data": {}}, namespace="default"),
            lambda: reader.delete(CONFIGMAPS, "a", namespace="default"),
            lambda: reader.list(SECRETS),
            lambda: reader.list(CONFIGMAPS),
            lambda: reader.get(CONFIGMAPS, "b", namespace="kube-system"),
            lambda: reader.get(PODS, "a", namespace="default", subresource="log"),
            lambda: reader.get(CONFIGMAPS, "a", namespace="default", subresource="status"),
        ]
        for each in refused:
            with pytest.raises(ForbiddenError, match="send others to the API server"):
                await each()
        async with reader.as_user("jane") as jane:
            with pytest.raises(ForbiddenError, match="send others to the API server"):
                await jane.get(CONFIGMAPS, "a", namespace="default")


async def test_requests_go_on_as_the_proxy_or_as_their_caller(socket_path: Path) -> None:
    async with ApiServer(tokens={"p": "proxy", "c": "caller"}) as server:
        server.deny("caller", "create", "secrets")
        async with Client(ClusterConfig.for_server(server.url, token="p")) as upstream:
            async with proxied(upstream, socket_path, others="proxy") as (_, reader):
                await reader.create(SECRETS, {"metadata": {"name": "a", "namespace": "default"}})
            async with proxied(upstream, socket_path, others="caller") as (_, nobody):
                assert list(await nobody.list(CONFIGMAPS)) == []
                with pytest.raises(ForbiddenError):
                    await nobody.create(CONFIGMAPS, config_map("a"))
                async with Client(ClusterConfig.for_socket(socket_path, token="c")) as caller:
                    await caller.create(CONFIGMAPS, config_map("a"))
                    with pytest.raises(ForbiddenError):
                        await caller.create(SECRETS, {"metadata": {"name": "b", "namespace": "default"}})
                async with Client(ClusterConfig.for_socket(socket_path, token="wrong")) as wrong:
                    with pytest.raises(UnauthorizedError):
                        await wrong.create(CONFIGMAPS, config_map("b"))


async def test_renewed_credentials_are_tried_after_a_refusal(tmp_path: Path, socket_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    async with (
        ApiServer(tokens={"old": "proxy"}) as server,
        Client(ClusterConfig.for_server(server.url, token_file=token)) as upstream,
        proxied(upstream, socket_path, others="proxy") as (_, reader),
    ):
        server.tokens["new"] = server.tokens.pop("old")
        token.write_text("new")
        await reader.create(CONFIGMAPS, config_map("a"))


async def test_rights_of_another_user_are_checked_by_the_server(socket_path: Path) -> None:
    async with ApiServer(tokens={"p": "proxy"}) as server:
        server.deny("jane", "list", "configmaps")
        async with (
            Client(ClusterConfig.for_server(server.url, token="p")) as upstream,
            proxied(upstream, socket_path, others="proxy") as (_, reader),
            reader.as_user("jane") as jane,
        ):
            with pytest.raises(ForbiddenError, match="jane"):
                await jane.list(CONFIGMAPS)
        async with (
            Client(ClusterConfig.for_server(server.url, token="p").as_user("proxy")) as upstream,
            proxied(upstream, socket_path, others="proxy") as (_, reader),
            reader.as_user("jane") as jane,
        ):
            with pytest.raises(ForbiddenError, match="acts as another user itself"):
                await jane.list(CONFIGMAPS)


async def watched(reader: Client, version: str, *, until: int = 1, seconds: int = 300) -> list[tuple[str, str]]:
    """The first events of a watch, as kind and version."""
    seen: list[tuple[str, str]] = []
    async with reader.list_watch(CONFIGMAPS).watch(resource_version=version, timeout_seconds=seconds) as batches:
        async for batch in batches:
            if batch.error is not None:
                raise batch.error
            seen += [(event.type.name, event.object.resource_version) for event in batch.events]
            if not batch.events:
                seen.append(("BOOKMARK", batch.resource_version))
            if len(seen) >= until:
                break
    return seen


async def test_a_version_older_than_the_kept_changes_is_expired(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    async with proxied(upstream, socket_path, window_events=2) as (proxy, reader):
        start = server.resource_version
        for name in "abcd":
            server.create(config_map(name))
        end = server.resource_version
        cache = next(iter(proxy._caches.served)).upstream.cache
        await eventually(lambda: cache.version == end)
        with pytest.raises(ExpiredError, match="too old resource version"):
            await watched(reader, str(start))
        assert await watched(reader, str(end - 2), until=2) == [("ADDED", str(end - 1)), ("ADDED", str(end))]


async def test_watches_end_when_the_proxy_lists_anew_and_readers_miss_nothing(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    server.create(config_map("gone"))
    async with proxied(upstream, socket_path) as (_, reader):
        factory = SharedInformerFactory(reader)
        informer = factory.informer(CONFIGMAPS)
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            server.faults.expire("configmaps")
            server.delete("v1", "ConfigMap", "gone")
            server.create(config_map("new"))
            await eventually(lambda: [each.name for each in informer.lister.list()] == ["new"])


async def test_a_version_that_the_cache_has_not_reached_is_waited_for(
    server: ApiServer, upstream: Client, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxied(upstream, socket_path) as (_, reader):
        coming = server.resource_version + 1
        source = reader.list_watch(CONFIGMAPS)

        async def names() -> list[str]:
            return [each.name async for page in source.list(resource_version=str(coming)) for each in page.items]

        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(names())
            await asyncio.sleep(0)
            server.create(config_map("a"))
        assert asked.result() == ["a"]
        monkeypatch.setattr(_upstream, "PATIENCE", 0.01)
        coming += 1000
        with pytest.raises(ApiError, match="Too large resource version") as refused:
            await names()
        assert refused.value.status == 504
        with pytest.raises(ApiError, match="Too large resource version"):
            await watched(reader, str(coming))


async def test_before_the_first_list_a_reader_is_asked_to_come_back(
    server: ApiServer, upstream: Client, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_upstream, "FIRST_LIST", 0.01)
    server.faults.hang(None, resource="configmaps")
    async with (
        CacheProxy(upstream, [CONFIGMAPS], listen=UnixAddress(socket_path)),
        Client(ClusterConfig.for_socket(socket_path), retry=None) as reader,
    ):
        with pytest.raises(ApiError, match="has no list of configmaps yet") as refused:
            await reader.list(CONFIGMAPS)
        assert (refused.value.status, refused.value.retry_after) == (503, 1)


async def test_the_first_list_is_waited_for_longer_than_a_version(
    server: ApiServer, upstream: Client, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_upstream, "PATIENCE", 0.0)
    server.create(config_map("a"))
    server.faults.delay(0.05)
    async with (
        CacheProxy(upstream, [CONFIGMAPS], listen=UnixAddress(socket_path), storage="compact"),
        Client(ClusterConfig.for_socket(socket_path), retry=None) as reader,
    ):
        assert [each.name for each in await reader.list(CONFIGMAPS)] == ["a"]


async def test_bookmarks_come_while_nothing_happens_to_the_resource(
    server: ApiServer, upstream: Client, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_downstream, "BOOKMARK_INTERVAL", 0.01)
    async with proxied(upstream, socket_path) as (_, reader):
        await eventually(lambda: server.open_watches)
        start = server.resource_version
        server.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}})
        server.send_bookmarks()
        assert await watched(reader, str(start)) == [("BOOKMARK", str(server.resource_version))]


async def test_bookmarks_of_the_api_server_with_a_newer_version_reach_readers_at_once(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    async with proxied(upstream, socket_path) as (proxy, reader), asyncio.TaskGroup() as tasks:
        await eventually(lambda: server.open_watches)
        seen = tasks.create_task(watched(reader, str(server.resource_version)))
        await eventually(lambda: proxy.open_watches == 1)
        server.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}})
        server.send_bookmarks()
        async with asyncio.timeout(30):
            assert await seen == [("BOOKMARK", str(server.resource_version))]


async def test_a_watch_ends_when_its_time_is_over(server: ApiServer, upstream: Client, socket_path: Path) -> None:
    async with proxied(upstream, socket_path) as (proxy, reader):
        assert await watched(reader, str(server.resource_version), seconds=1) == []
        assert proxy.open_watches == 0


async def test_a_reader_that_goes_leaves_no_watch(server: ApiServer, upstream: Client, socket_path: Path) -> None:
    async with proxied(upstream, socket_path) as (proxy, reader):
        source = reader.list_watch(CONFIGMAPS)
        async with source.watch(resource_version=str(server.resource_version), timeout_seconds=300):
            await eventually(lambda: proxy.open_watches == 1)
        await eventually(lambda: proxy.open_watches == 0)


async def test_http_1_0_gets_lists_watches_and_passed_on_answers_without_chunks(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    server.create(config_map("a"))
    async with proxied(upstream, socket_path):

        async def body(target: str) -> bytes:
            reader, writer = await asyncio.open_unix_connection(socket_path)
            writer.write(f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.0 200"), head
            assert b"chunked" not in head
            if "watch" in target:
                assert json.loads(await reader.readline())["type"] == "ADDED"
                server.create(config_map("b"))
            rest = await reader.read()
            writer.close()
            return rest

        assert len(json.loads(await body("/api/v1/configmaps"))["items"]) == 1
        # The change comes by another way than the present objects.
        changes = await body("/api/v1/configmaps?watch=1&timeoutSeconds=1")
        assert json.loads(changes)["object"]["metadata"]["name"] == "b"
        assert json.loads(await body("/api/v1/namespaces/default/configmaps/b"))["kind"] == "ConfigMap"


async def test_a_reader_that_does_not_read_is_dropped_and_the_others_go_on(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    bulk = "x" * 200_000
    async with proxied(upstream, socket_path, window_bytes=1_000_000) as (proxy, reader):
        version = server.resource_version
        _, slow = await asyncio.open_unix_connection(socket_path)
        held_back: Any = slow.transport
        held_back.pause_reading()
        slow.write(b"GET /api/v1/configmaps?watch=1&resourceVersion=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % version)
        await eventually(lambda: proxy.open_watches == 1)
        factory = SharedInformerFactory(reader)
        informer = factory.informer(CONFIGMAPS)
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            for count in range(30):
                server.create(config_map(f"m{count}", data=bulk))
                await eventually(lambda: len(informer.lister.list()) == count + 1)  # noqa: B023
                held = [watch._transport for watch in next(iter(proxy._caches.served)).fanout.watches]
                assert all(each is None or each.get_write_buffer_size() < 3 * 1024 * 1024 for each in held)
            await eventually(lambda: proxy.open_watches == 1)
        slow.close()
        await slow.wait_closed()


@pytest.mark.parametrize("query", ["", "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"])
async def test_a_reader_that_takes_nothing_of_a_list_is_cut_off(
    server: ApiServer, upstream: Client, socket_path: Path, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinformer.proxy._downstream.STALL_SECONDS", 0.3)
    for count in range(30):
        server.create(config_map(f"m{count}", data="x" * 200_000))
    async with proxied(upstream, socket_path) as (proxy, reader):
        before = _connections()
        _, slow = await asyncio.open_unix_connection(socket_path)
        held_back: Any = slow.transport
        held_back.pause_reading()
        slow.write(f"GET /api/v1/configmaps?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        # The task of its connection comes, and goes.
        await eventually(lambda: _connections() - before)
        await eventually(lambda: not _connections() - before)
        assert proxy.open_watches == 0
        assert len(await reader.list(CONFIGMAPS)) == 30
        slow.close()
        with contextlib.suppress(ConnectionError):
            await slow.wait_closed()


def _connections() -> set[asyncio.Task[Any]]:
    """The tasks of aiohttp's servers, one per connection."""
    return {task for task in asyncio.all_tasks() if "RequestHandler.start" in repr(task.get_coro())}


async def test_there_is_a_bound_of_open_watches(
    server: ApiServer, upstream: Client, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_server, "MAX_WATCHES", 1)
    async with proxied(upstream, socket_path) as (proxy, reader):
        version = str(server.resource_version)
        async with reader.list_watch(CONFIGMAPS).watch(resource_version=version, timeout_seconds=300):
            await eventually(lambda: proxy.open_watches == 1)
            with pytest.raises(ApiError) as refused:
                await watched(reader, version)
            assert refused.value.status == 429


async def test_leaving_ends_the_watches_and_removes_the_socket(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    async with Client(ClusterConfig.for_socket(socket_path)) as reader:
        async with (
            asyncio.TaskGroup() as tasks,
            CacheProxy(upstream, [CONFIGMAPS], listen=f"unix:{socket_path}") as proxy,
        ):
            await proxy.synced()
            asked = tasks.create_task(watched(reader, str(server.resource_version)))
            await eventually(lambda: proxy.open_watches == 1)
        assert asked.result() == []
        assert files_beside(socket_path) == []
        with pytest.raises(ConnectError):
            await reader.list(CONFIGMAPS)
        with pytest.raises(AlreadyStartedError):
            await proxy.__aenter__()
    await eventually(lambda: not server.open_watches)


async def test_the_socket_is_for_its_owner_only_and_one_of_a_dead_process_is_replaced(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    UnixAddress(socket_path).open().close()
    async with proxied(upstream, socket_path):
        assert mode_of(socket_path) == 0o600
        with pytest.raises(OSError, match="another process listens on"):
            UnixAddress(socket_path).open()
        assert files_beside(socket_path) == ["s"]


def test_a_file_that_is_no_socket_is_left_alone(socket_path: Path) -> None:
    socket_path.write_text("precious")
    with pytest.raises(OSError, match="is no socket"):
        UnixAddress(socket_path).open()
    assert socket_path.read_text() == "precious"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "http://127.0.0.1:0"])
async def test_loopback_needs_the_token_and_a_host_of_loopback(
    server: ApiServer, upstream: Client, listen: str
) -> None:
    async with CacheProxy(upstream, [CONFIGMAPS], listen=listen, others="proxy") as proxy:
        await proxy.synced()
        address = proxy.address
        assert isinstance(address, LoopbackAddress)
        assert proxy.url == f"{'http' if listen.startswith('http:') else 'https'}://127.0.0.1:{address.port}"
        assert address.token not in repr(proxy) + repr(address)
        config = ClusterConfig.from_dict(proxy.kubeconfig())
        async with Client(config) as reader:
            assert list(await reader.list(CONFIGMAPS)) == []
            await reader.create(CONFIGMAPS, config_map("a"))
            factory = SharedInformerFactory(reader)
            informer = factory.informer(CONFIGMAPS)
            async with factory:
                await factory.wait_for_cache_sync(timeout=60)
                server.create(config_map("b"))
                await eventually(lambda: len(informer.lister.list()) == 2)
                assert informer.status.failures == 0
        for credentials in (StaticCredentials(), StaticCredentials(Identity("Bearer wrong"))):
            async with Client(replace(config, credentials=credentials)) as stranger:
                with pytest.raises(UnauthorizedError):
                    await stranger.list(CONFIGMAPS)
                with pytest.raises(UnauthorizedError):
                    await stranger.create(CONFIGMAPS, config_map("b"))
        async with aiohttp.ClientSession() as session:
            named = {"Host": "evil.example", "Authorization": f"Bearer {address.token}"}
            async with session.get(f"{proxy.url}/api/v1/configmaps", headers=named, ssl=False) as response:
                assert response.status == 403
        with pytest.raises(OSError, match="cannot listen on 127.0.0.1"):
            address.open()


async def test_the_certificate_of_a_proxy_is_its_own(upstream: Client) -> None:
    async with (
        CacheProxy(upstream, [CONFIGMAPS], listen="127.0.0.1:0") as one,
        CacheProxy(upstream, [CONFIGMAPS], listen="127.0.0.1:0") as two,
    ):
        mixed = one.kubeconfig()
        mixed["clusters"][0]["cluster"]["server"] = two.url
        async with Client(ClusterConfig.from_dict(mixed)) as reader:
            with pytest.raises(TLSError):
                await reader.list(CONFIGMAPS)


async def test_a_socket_has_no_kubeconfig(upstream: Client, socket_path: Path) -> None:
    async with CacheProxy(upstream, [CONFIGMAPS], listen=UnixAddress(socket_path)) as proxy:
        with pytest.raises(ValueError, match="for_socket"):
            proxy.kubeconfig()


async def asked_raw(path: Path, request: bytes) -> tuple[int, Any]:
    stream, sink = await asyncio.open_unix_connection(path)
    sink.write(request)
    head = (await stream.readuntil(b"\r\n\r\n")).decode()
    length = next(line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length"))
    body = (await stream.readexactly(int(length))).decode()
    sink.close()
    await sink.wait_closed()
    return int(head.split()[1]), json.loads(body) if body.startswith("{") else {}


async def test_requests_that_could_lead_elsewhere_are_refused(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    async with proxied(upstream, socket_path, others="proxy"):
        for target in (b"@evil.example/api", b"http://evil.example/api"):
            code, _ = await asked_raw(socket_path, b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % target)
            assert code == 400
        upgrade = b"GET /api/v1/x/exec HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        code, body = await asked_raw(socket_path, upgrade)
        assert (code, body["reason"]) == (400, "BadRequest")
        long = b"POST /api/v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 17000000\r\n\r\n" + b"x" * 17_000_000
        code, body = await asked_raw(socket_path, long)
        assert (code, body["reason"]) == (413, "RequestEntityTooLarge")


async def test_a_watch_by_websocket_is_answered_so_that_its_client_asks_for_a_chunked_one(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    async with proxied(upstream, socket_path):
        asks = b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        code, body = await asked_raw(socket_path, b"GET /api/v1/configmaps?watch=1 HTTP/1.1\r\n" + asks)
        # Fabric8 goes on at once after 200; after 503 it repeats the request for minutes.
        assert (code, body["message"]) == (200, "a watch of this server is a chunked answer, not a WebSocket")


async def test_a_server_that_is_gone_is_said_without_its_address(socket_path: Path) -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as upstream:
        server.create(config_map("a"))
        async with (
            proxied(upstream, socket_path, others="proxy"),
            Client(ClusterConfig.for_socket(socket_path), retry=None) as reader,
        ):
            await server.stop()
            assert len(await reader.list(CONFIGMAPS)) == 1
            with pytest.raises(ApiError, match="cannot reach the API server") as refused:
                await reader.create(CONFIGMAPS, config_map("b"))
            assert refused.value.status == 503


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_write_whose_connection_is_lost_is_passed_on_once_and_its_caller_is_not_asked_to_repeat_it(
    method: str, socket_path: Path
) -> None:
    def respond(head: bytes, _writer: object) -> bytes | None:
        if b"/pods" not in head:
            return answer(b'{"kind":"ConfigMapList","metadata":{"resourceVersion":"1"},"items":[]}')
        lost.append(head.split()[0].decode())
        # The first request leaves its connection in the pool; the ones after it lose theirs.
        return answer(b"{}") if len(lost) == 1 else None

    lost: list[str] = []
    url = "http://d/api/v1/namespaces/d/pods/a"
    async with (
        RawServer(respond) as server,
        Client(ClusterConfig.for_server(server.url)) as upstream,
        CacheProxy(upstream, [CONFIGMAPS], listen=UnixAddress(socket_path), others="proxy"),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket_path))) as session,
    ):
        async with session.get(url) as reply:
            assert reply.status == 200
        async with session.request(method, url) as reply:
            assert reply.status == 503
            assert reply.headers.get("Retry-After") == ("1" if method == "GET" else None)
    assert lost == ["GET", *(["GET"] * 2 if method == "GET" else [method])]


@pytest.mark.parametrize("text", ["", "unix:", "8001", "10.0.0.1:8001", "0.0.0.0:1", "127.0.0.1:99999", "a b:1", "x:y"])
def test_an_address_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address|loopback"):
        listen_address(text)


def test_addresses_are_read() -> None:
    assert str(listen_address("unix:/run/k.sock")) == "unix:/run/k.sock"
    assert str(listen_address("127.0.0.1:8001")) == "127.0.0.1:8001"
    assert str(listen_address("[::1]:0")) == "[::1]:0"
    for text, tls in (("127.0.0.1:1", True), ("https://127.0.0.1:1", True), ("http://127.0.0.1:1", False)):
        address = listen_address(text)
        assert isinstance(address, LoopbackAddress)
        assert (address.host, address.port, address.tls) == ("127.0.0.1", 1, tls)
    with pytest.raises(ValueError, match="needs a token"):
        LoopbackAddress(token="")


def test_a_proxy_that_makes_no_sense_is_refused() -> None:
    client = Client(ClusterConfig.for_server("http://127.0.0.1:1"))
    with pytest.raises(ValueError, match="at least one resource"):
        CacheProxy(client, [], listen="unix:/tmp/x")
    with pytest.raises(ValueError, match="others"):
        CacheProxy(client, [PODS], listen="unix:/tmp/x", others="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a socket"):
        CacheProxy(client, [PODS], listen="127.0.0.1:0", others="caller")


async def test_a_forked_child_keeps_neither_the_socket_nor_the_watches_open(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    (reading, writing), (begun, begin) = os.pipe(), os.pipe()
    async with AsyncExitStack() as stack:
        proxy = CacheProxy(upstream, [CONFIGMAPS], listen=UnixAddress(socket_path))
        await stack.enter_async_context(proxy)
        await proxy.synced()
        raw, sink = await asyncio.open_unix_connection(socket_path)
        sink.write(b"GET /api/v1/configmaps?watch=1&resourceVersion=%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
                   % server.resource_version)  # fmt: skip
        await eventually(lambda: proxy.open_watches == 1)
        child = os.fork()
        if not child:
            os.close(writing)
            os.write(begin, b"x")
            os.read(reading, 1)
            os._exit(0)
        os.read(begun, 1)
        # The child has the reader's end of the connection, too, but not that of the proxy.
        for watch in next(iter(proxy._caches.served)).fanout.watches:
            assert watch._transport is not None
            watch._transport.abort()
        async with asyncio.timeout(60):
            await raw.read()
        await stack.aclose()
        assert not is_listened_on(socket_path)
        sink.close()
        for each in (reading, writing, begun, begin):
            os.close(each)
        await asyncio.to_thread(os.waitpid, child, 0)


async def test_the_status_of_a_proxy_has_numbers_and_no_objects(
    server: ApiServer, upstream: Client, socket_path: Path
) -> None:
    server.create(config_map("a", data="hidden"))
    async with (
        proxied(upstream, socket_path, others="refuse") as (proxy, reader),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket_path))) as http,
    ):
        informer = SharedInformerFactory(reader).informer(CONFIGMAPS)
        async with informer:
            await informer.synced(timeout=60)
            while not proxy.open_watches:
                await asyncio.sleep(0.001)
            async with http.get("http://x/kinformer/status") as response:
                assert response.status == 200
                text = await response.text()
        assert "hidden" not in text
        status = json.loads(text)
        assert status["ready"]
        (one,) = status["resources"]
        assert one.pop("upstream") | {"silentForSeconds": 0} == {
            "state": "watching",
            "silentForSeconds": 0,
            "error": None,
        }
        assert one == {
            "resource": "configmaps",
            "namespace": None,
            "synced": True,
            "objects": 1,
            "resourceVersion": informer.status.resource_version,
            "watches": 1,
        }
        async with http.post("http://x/kinformer/status") as response:
            assert response.status == 403


async def test_the_status_of_a_proxy_without_a_first_list_is_503_with_the_kind_of_error(tmp_path: Path) -> None:
    async with ApiServer(tokens={"t": "app"}) as server:
        server.deny("app", "list", "configmaps")
        server.deny("app", "watch", "configmaps")
        async with (
            Client(ClusterConfig.for_server(server.url, token="t")) as client,
            CacheProxy(client, [CONFIGMAPS], listen="http://127.0.0.1:0") as proxy,
            aiohttp.ClientSession() as http,
        ):
            while proxy.status()["resources"][0]["upstream"]["error"] is None:
                await asyncio.sleep(0.001)
            async with http.get(f"{proxy.url}/kinformer/status") as response:
                assert response.status == 401, "the status needs the token, too"
            assert isinstance(proxy.address, LoopbackAddress)
            authorized = {"Authorization": f"Bearer {proxy.address.token}"}
            async with http.get(f"{proxy.url}/kinformer/status", headers=authorized) as response:
                assert response.status == 503
                status = await response.json()
            assert not status["ready"]
            assert status["resources"][0]["upstream"]["error"] == "ForbiddenError 403"


async def test_many_readers_may_connect_at_once(upstream: Client, socket_path: Path) -> None:
    async with proxied(upstream, socket_path):
        with contextlib.ExitStack() as stack:
            for _ in range(400):
                # A Unix socket refuses at once when its queue is full; the proxy accepts none meanwhile.
                reader = stack.enter_context(socket.socket(socket.AF_UNIX))
                reader.setblocking(False)
                reader.connect(str(socket_path))


async def test_a_proxy_that_can_open_no_file_logs_little_and_goes_on(
    upstream: Client, socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resource = pytest.importorskip("resource")
    async with proxied(upstream, socket_path) as (_, reader):
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                other = stack.enter_context(socket.socket(socket.AF_UNIX))
                other.setblocking(False)
                other.connect(str(socket_path))
            before = resource.getrlimit(resource.RLIMIT_NOFILE)
            # No descriptor is left from now on.
            resource.setrlimit(resource.RLIMIT_NOFILE, (1, before[1]))
            try:
                await asyncio.sleep(0.05)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
            assert "Too many open files" in caplog.text
            assert len(caplog.records) < 100
        assert [page async for page in reader.list_watch(CONFIGMAPS).list()]


def test_a_proxy_may_open_more_files_and_never_fewer() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        may_open(300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
        may_open(200)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_an_error_of_a_reader_names_the_socket(socket_path: Path) -> None:
    async with Client(ClusterConfig.for_socket(socket_path)) as reader:
        with pytest.raises(ConnectError, match=f"no connection to unix:{socket_path}"):
            await reader.list(CONFIGMAPS)
