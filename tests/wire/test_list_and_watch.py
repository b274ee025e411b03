"""Lists and watches over a real socket, against a server that does what the test says."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from kinformer.client import Client, _list_watch
from kinformer.config import ClusterConfig
from kinformer.errors import (
    ExpiredError,
    ForbiddenError,
    NotFoundError,
    NotStartedError,
    ProtocolError,
    StoppedError,
    StreamBrokenError,
    TransportError,
    TransportTimeoutError,
)
from kinformer.listwatch import ListerWatcher
from kinformer.resources import NODES, PODS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kinformer.listwatch import WatchBatch
    from tests.wire.conftest import Scripted


def pod(name: str, version: int = 1, **extra: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "web", "resourceVersion": str(version)}, **extra}


def pods(*items: dict[str, Any], version: str = "9", **metadata: Any) -> str:
    head = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": version, **metadata}}
    return json.dumps({**head, "items": list(items)}, separators=(",", ":"))


def line(kind: str, thing: object) -> bytes:
    return json.dumps({"type": kind, "object": thing}, separators=(",", ":")).encode() + b"\n"


async def batches(client: Client, **scope: Any) -> list[WatchBatch]:
    async with client.list_watch(PODS, **scope).watch(resource_version="5", timeout_seconds=60) as stream:
        return [batch async for batch in stream]


def names(found: list[WatchBatch]) -> list[str]:
    return [event.object.name for batch in found for event in batch.events]


async def test_a_client_fulfils_the_seam(client: Client) -> None:
    assert isinstance(client.list_watch(PODS), ListerWatcher)


async def test_a_list_goes_page_by_page_and_each_is_handed_on_before_the_next_is_asked_for(
    scripted: Scripted, client: Client
) -> None:
    def answer(request: web.Request) -> web.Response:
        page = int(request.query.get("continue", "0"))
        more: dict[str, Any] = {"continue": str(page + 1), "remainingItemCount": 2 - page} if page < 2 else {}
        return web.Response(text=pods(pod(f"p{page}"), **more), content_type="application/json")

    scripted.answer = answer
    seen = []
    source = client.list_watch(PODS, namespace="web", label_selector="app=web,tier in (a, b)", field_selector="a!=b")
    async for page in source.list(resource_version="0", limit=1):
        seen.append(([o.name for o in page.items], page.continue_token, page.remaining, len(scripted.seen)))
    assert seen == [(["p0"], "1", 2, 1), (["p1"], "2", 1, 2), (["p2"], "", None, 3)]
    scope = {"labelSelector": "app=web,tier in (a, b)", "fieldSelector": "a!=b", "limit": "1"}
    assert [dict(request.query) for request in scripted.seen] == [
        {**scope, "resourceVersion": "0"},
        # A continue token has a version in it, and the server refuses another.
        {**scope, "continue": "1"},
        {**scope, "continue": "2"},
    ]
    assert scripted.seen[0].path == "/api/v1/namespaces/web/pods"


BULK = [pod(f"p{number}", spec={"filling": "x" * 10_000}) for number in range(600)]


async def test_a_large_page_is_given_in_parts_while_it_comes(scripted: Scripted, client: Client) -> None:
    rest = asyncio.Event()
    body = pods(*BULK, **{"continue": ""}).encode()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        await rest.wait()
        await response.write(body[len(body) // 2 :])
        await response.write_eof()
        return response

    scripted.answer = answer
    pages = client.list_watch(PODS).list(resource_version="0", limit=500)
    first = await anext(pages)
    assert first.partial
    assert first.resource_version == "9"
    assert 50 < len(first.items) < 300
    rest.set()
    others = [page async for page in pages]
    assert [page.partial for page in others][-2:] == [True, False]
    found = [obj.name for page in (first, *others) for obj in page.items]
    assert found == [f"p{number}" for number in range(600)]


async def test_who_is_slow_over_the_parts_of_a_page_does_not_hold_the_server_up_for_long(
    scripted: Scripted, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_list_watch, "_SLOW_CONSUMER", 0.0)
    scripted.says(pods(*BULK))
    pages = [page async for page in client.list_watch(PODS).list()]
    assert [page.partial for page in pages] == [True, False]
    assert sum(len(page.items) for page in pages) == 600


async def test_a_page_that_breaks_off_after_some_parts_is_an_error(scripted: Scripted, client: Client) -> None:
    body = pods(*BULK).encode()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    scripted.answer = answer
    parts = []
    with pytest.raises(TransportError):
        async for page in client.list_watch(PODS).list():
            parts.append(page)
    assert parts
    assert all(page.partial for page in parts)


@pytest.mark.parametrize(
    ("version", "sent"),
    [
        ("", {}),
        ("0", {"resourceVersion": "0"}),
        ("7", {"resourceVersion": "7", "resourceVersionMatch": "NotOlderThan"}),
    ],
)
async def test_a_list_asks_for_the_version_it_is_told(
    scripted: Scripted, client: Client, version: str, sent: dict[str, str]
) -> None:
    scripted.says(pods())
    assert [page.resource_version async for page in client.list_watch(PODS).list(resource_version=version)] == ["9"]
    assert dict(scripted.seen[0].query) == sent


async def test_a_continue_token_that_expires_midway_is_the_callers_business(scripted: Scripted, client: Client) -> None:
    def answer(request: web.Request) -> web.Response:
        if "continue" in request.query:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            return web.json_response(gone, status=410)
        return web.Response(text=pods(pod("a"), **{"continue": "x"}), content_type="application/json")

    scripted.answer = answer
    pages = client.list_watch(PODS).list(limit=1)
    await anext(pages)
    with pytest.raises(ExpiredError, match="cannot list pods in all namespaces: too old"):
        await anext(pages)
    # The verb, which has nobody to ask, starts over without pages.
    scripted.answer = lambda request: (
        answer(request)
        if "limit" in request.query
        else web.Response(text=pods(pod("a"), pod("b")), content_type="application/json")
    )
    found = await client.list(PODS)
    assert ([o.name for o in found], found.resource_version) == (["a", "b"], "9")


async def test_a_compressed_list_is_taken_and_asked_for(scripted: Scripted, client: Client) -> None:
    body = gzip.compress(pods(*(pod(f"p{n}", data="x" * 10_000) for n in range(1_000))).encode())
    scripted.says(body, Content_Encoding="gzip")
    assert len(await client.list(PODS)) == 1_000
    assert scripted.seen[0].headers["Accept-Encoding"] == "gzip"
    scripted.streams(line("ADDED", pod("a")))
    await batches(client)
    assert scripted.seen[1].headers["Accept-Encoding"] == "identity"


async def test_a_compressed_streaming_list_is_read_flush_by_flush(scripted: Scripted, client: Client) -> None:
    # Kubernetes 1.37 ends a member of gzip at each flush (WatchListCompression; apiserver endpoints/handlers/watch.go).
    flushes = [line("ADDED", pod("a")) + line("ADDED", pod("b")), line("BOOKMARK", pod("")), line("DELETED", pod("a"))]
    received = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
        await response.prepare(request)
        for flush in flushes:
            received.clear()
            await response.write(gzip.compress(flush))
            # The next flush comes only when this one has been read.
            await received.wait()
        return response

    scripted.answer = answer
    config = replace(ClusterConfig.for_server(scripted.url), compressed_streams=True)
    async with Client(config) as reader:
        source = reader.list_watch(PODS)
        found = []
        async with source.watch(resource_version="", timeout_seconds=60, send_initial_events=True) as stream:
            async for batch in stream:
                found.append([event.object.name for event in batch.events])
                received.set()
    # The bookmark is a batch without events.
    assert found == [["a", "b"], [], ["a"]]
    assert scripted.seen[0].headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("lists", "streams", "initial", "asked"),
    [
        (True, False, True, "identity"),
        (False, True, True, "identity"),
        (True, True, False, "identity"),
        (True, True, True, "gzip"),
    ],
)
async def test_a_stream_may_come_compressed_only_as_a_list_and_where_the_configuration_says_so(
    scripted: Scripted, *, lists: bool, streams: bool, initial: bool, asked: str
) -> None:
    config = replace(ClusterConfig.for_server(scripted.url), compression=lists, compressed_streams=streams)
    scripted.streams(line("ADDED", pod("a")))
    async with (
        Client(config) as reader,
        reader.list_watch(PODS).watch(resource_version="", timeout_seconds=60, send_initial_events=initial) as stream,
    ):
        assert names([batch async for batch in stream]) == ["a"]
    assert scripted.seen[0].headers["Accept-Encoding"] == asked


async def test_metadata_only_asks_for_it_by_accept(scripted: Scripted, client: Client) -> None:
    source = client.list_watch(PODS, metadata_only=True)
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", **pod("a")}
    scripted.says(
        json.dumps({"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "9"}, "items": [partial]})
    )
    assert [[o.name for o in page.items] async for page in source.list()] == [["a"]]
    scripted.streams(line("ADDED", partial))
    async with source.watch(resource_version="9", timeout_seconds=60) as stream:
        assert names([batch async for batch in stream]) == ["a"]
    assert [request.headers["Accept"] for request in scripted.seen] == [
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    ]
    with pytest.raises(ProtocolError):
        scripted.says(pods(pod("a")))
        await anext(source.list())


async def test_a_watch_asks_for_bookmarks_and_a_time_limit(scripted: Scripted, client: Client) -> None:
    scripted.streams(line("ADDED", pod("a", 6)))
    source = client.list_watch(PODS, namespace="web", label_selector="a=b")
    async with source.watch(resource_version="5", timeout_seconds=300) as stream:
        assert [batch.resource_version async for batch in stream] == ["6"]
    async with source.watch(resource_version="", timeout_seconds=300, send_initial_events=True) as stream:
        assert [batch.resource_version async for batch in stream] == ["6"]
    plain = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": "300", "labelSelector": "a=b"}
    assert [dict(request.query) for request in scripted.seen] == [
        {**plain, "resourceVersion": "5"},
        {**plain, "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"},
    ]


async def test_events_of_one_read_come_as_one_batch_and_a_clean_close_ends_the_iterator(
    scripted: Scripted, client: Client
) -> None:
    scripted.streams(b"".join(line("ADDED", pod(f"p{n}", n)) for n in range(10)))
    (batch,) = await batches(client)
    assert [event.object.name for event in batch.events] == [f"p{n}" for n in range(10)]


async def test_an_object_of_megabytes_passes_and_so_do_lines_a_byte_at_a_time(
    scripted: Scripted, client: Client
) -> None:
    big = line("MODIFIED", pod("big", 7, data="x" * 5_000_000))
    small = line("ADDED", pod("small", 8))
    scripted.streams(big, *(small[n : n + 1] for n in range(len(small))))
    found = await batches(client)
    assert names(found) == ["big", "small"]
    assert len(found[0].events[0].object.raw) > 5_000_000


async def test_a_slow_consumer_holds_the_server_back_instead_of_filling_memory(
    scripted: Scripted, client: Client
) -> None:
    written = 0
    piece = line("ADDED", pod("a", data="x" * 100_000))

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(1_000):
            await response.write(piece)
            written += len(piece)
        return response

    scripted.answer = answer
    async with client.list_watch(PODS).watch(resource_version="5", timeout_seconds=60) as stream:
        await anext(stream)
        before = -1
        while written != before:  # until nothing moves any more
            before = written
            for _ in range(200):
                await asyncio.sleep(0)
        assert written < 30_000_000


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        (
            {
                "status": 403,
                "body": json.dumps(
                    {
                        "kind": "Status",
                        "code": 403,
                        "reason": "Forbidden",
                        "message": "pods is "
                        'forbidden: User "bob" cannot watch resource "pods" in API group "" in the namespace "web"',
                    }
                ),
            },
            'cannot watch pods in namespace web: pods is forbidden: User "bob" cannot watch',
        ),
        (
            {"status": 404, "body": "404 page not found\n", "content_type": "text/plain"},
            r"cannot watch pods in namespace web: 404 page not found; .* is its CustomResourceDefinition .*\(404\)",
        ),
    ],
)
async def test_a_refused_watch_raises_on_entering(
    scripted: Scripted, client: Client, kwargs: dict[str, Any], says: str
) -> None:
    scripted.says(**kwargs)
    with pytest.raises((ForbiddenError, NotFoundError), match=says):
        await batches(client, namespace="web")


async def test_html_with_status_200_is_a_protocol_error(scripted: Scripted, client: Client) -> None:
    scripted.says("<html>sign in</html>", content_type="text/html")
    with pytest.raises(ProtocolError, match="cannot watch pods in all namespaces: the answer is text/html, not JSON"):
        await batches(client)
    with pytest.raises(ProtocolError, match="cannot list pods in all namespaces: the answer is text/html, not JSON"):
        await client.list(PODS)


async def test_a_redirect_is_not_followed_and_its_secrets_are_not_shown(scripted: Scripted, client: Client) -> None:
    scripted.says("", status=302, Location="https://login.example.com/?state=hunter2")
    with pytest.raises(ProtocolError, match=r"redirects \(302\) to login.example.com") as caught:
        await client.list(PODS)
    assert "hunter2" not in str(caught.value)
    assert len(scripted.seen) == 1


@pytest.mark.parametrize("whole", [True, False])
async def test_a_connection_cut_in_the_middle_is_a_broken_stream(
    scripted: Scripted, client: Client, whole: bool
) -> None:
    last = line("ADDED", pod("b", 7))
    scripted.streams(line("ADDED", pod("a", 6)), last if whole else last[:-20], broken=True)
    found: list[WatchBatch] = []
    with pytest.raises(StreamBrokenError, match=r"cannot watch pods in all namespaces: .*127\.0\.0\.1"):
        async with client.list_watch(PODS).watch(resource_version="5", timeout_seconds=60) as stream:
            async for batch in stream:
                found.append(batch)
    assert names(found) == (["a", "b"] if whole else ["a"])


async def test_a_clean_end_in_the_middle_of_a_line_is_a_broken_stream_too(scripted: Scripted, client: Client) -> None:
    scripted.streams(line("ADDED", pod("a", 6)), line("ADDED", pod("b", 7))[:-20])
    with pytest.raises(StreamBrokenError, match="the stream ended in the middle of an event"):
        await batches(client)


async def test_an_error_event_ends_the_stream_though_the_server_keeps_it_open(
    scripted: Scripted, client: Client
) -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(line("ADDED", pod("a", 6)) + line("ERROR", status))
        await asyncio.Event().wait()
        return response

    scripted.answer = answer
    (batch,) = await batches(client)
    assert isinstance(batch.error, ExpiredError)


def silent_after(piece: bytes) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if piece:
            await response.write(piece)
        await asyncio.Event().wait()
        return response

    return answer


@pytest.mark.looptime
@pytest.mark.parametrize("piece", [b"", line("ADDED", pod("a"))])
async def test_a_stream_that_stays_silent_is_ended_five_seconds_after_it_should_have_ended_itself(
    scripted: Scripted, client: Client, piece: bytes, looptime: Any
) -> None:
    scripted.answer = silent_after(piece)
    async with client.list_watch(PODS).watch(resource_version="5", timeout_seconds=60) as stream:
        if piece:
            await anext(stream)
        with pytest.raises(TransportTimeoutError, match=r"http://127\.0\.0\.1:\d+ sent nothing for 65 seconds"):
            await anext(stream)
    assert 65 <= looptime < 66


@pytest.mark.looptime
async def test_a_watch_that_is_never_answered_times_out_sooner_than_other_requests(
    scripted: Scripted, client: Client, looptime: Any
) -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    scripted.answer = answer
    with pytest.raises(TransportTimeoutError, match="cannot watch pods in all namespaces: .* for 20 seconds") as caught:
        await batches(client)
    assert not caught.value.answered
    assert 20 <= looptime < 21
    with pytest.raises(TransportTimeoutError, match="cannot list nodes: .* for 30 seconds"):
        await client.list(NODES)
    assert 50 <= looptime < 52
    with pytest.raises(TransportTimeoutError, match='cannot get nodes "n": .* for 30 seconds'):
        await client.get(NODES, "n")
    assert 80 <= looptime < 83


@pytest.mark.looptime
async def test_a_list_may_take_longer_than_the_limit_as_long_as_it_is_not_silent(
    scripted: Scripted, client: Client
) -> None:
    body = pods(*(pod(f"p{n}") for n in range(10))).encode()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for start in range(0, len(body), 100):
            await response.write(body[start : start + 100])
            await asyncio.sleep(20)
        return response

    scripted.answer = answer
    assert len(await client.list(PODS)) == 10


async def test_200_watches_leave_room_for_a_request(scripted: Scripted, client: Client) -> None:
    open_now = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal open_now
        if "watch" not in request.query:
            return web.Response(text=pods(pod("a")), content_type="application/json")
        open_now += 1
        return await silent_after(b"")(request)

    scripted.answer = answer
    leave = asyncio.Event()

    async def watch() -> None:
        async with client.list_watch(PODS).watch(resource_version="5", timeout_seconds=60):
            await leave.wait()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(200):
            tasks.create_task(watch())
        while open_now < 200:
            await asyncio.sleep(0)
        async with asyncio.timeout(60):
            assert len(await client.list(PODS)) == 1
        leave.set()


async def test_leaving_a_watch_closes_its_connection(scripted: Scripted, client: Client) -> None:
    gone = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await silent_after(line("ADDED", pod("a")))(request)
        finally:
            gone.set()

    scripted.answer = answer
    async with client.list_watch(PODS).watch(resource_version="5", timeout_seconds=60) as stream:
        await anext(stream)
    async with asyncio.timeout(60):
        await gone.wait()


async def test_closing_the_client_ends_its_watches_with_a_clear_error(scripted: Scripted) -> None:
    scripted.answer = silent_after(line("ADDED", pod("a")))
    watching = asyncio.Event()
    raised: list[BaseException] = []

    async def watch(client: Client) -> None:
        try:
            async with client.list_watch(PODS).watch(resource_version="5", timeout_seconds=60) as stream:
                await anext(stream)
                watching.set()
                await anext(stream)
        except Exception as error:
            raised.append(error)

    async with asyncio.TaskGroup() as tasks, Client(ClusterConfig.for_server(scripted.url)) as client:
        tasks.create_task(watch(client))
        await watching.wait()
    (error,) = raised
    assert isinstance(error, StoppedError)
    assert str(error) == "cannot watch pods in all namespaces: this client was closed"


async def test_closing_the_client_ends_what_waits_for_an_answer_too(scripted: Scripted) -> None:
    raised: list[BaseException] = []

    async def ask(client: Client, asking: Awaitable[object]) -> None:
        try:
            await asking
        except Exception as error:
            raised.append(error)

    async def answer(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    scripted.answer = answer
    async with (
        asyncio.timeout(60),
        asyncio.TaskGroup() as tasks,
        Client(ClusterConfig.for_server(scripted.url)) as client,
    ):
        tasks.create_task(ask(client, client.get(NODES, "n")))
        tasks.create_task(ask(client, batches(client)))
        while len(scripted.seen) < 2:
            await asyncio.sleep(0)
    assert [type(error) for error in raised] == [StoppedError, StoppedError]


async def test_a_source_may_be_had_before_the_client_is_open_but_not_be_used(scripted: Scripted) -> None:
    client = Client(ClusterConfig.for_server(scripted.url))
    source = client.list_watch(PODS)
    with pytest.raises(NotStartedError, match="use it inside of `async with client:`"):
        await anext(source.list())
    scripted.says(pods(pod("a")))
    async with client:
        assert len((await anext(source.list())).items) == 1
    with pytest.raises(StoppedError, match="this client is closed; make a new one"):
        await anext(source.list())


@pytest.mark.parametrize(
    ("scope", "says"),
    [
        ({}, "pods in all namespaces"),
        ({"namespace": "web"}, "pods in namespace web"),
        (
            {"namespace": "web", "label_selector": "app=web", "field_selector": "a=b", "metadata_only": True},
            "pods in namespace web, labels app=web, fields a=b, metadata only",
        ),
    ],
)
async def test_a_source_says_what_its_scope_is(client: Client, scope: dict[str, Any], says: str) -> None:
    assert repr(client.list_watch(PODS, **scope)) == f"<HttpListerWatcher of {says}>"


async def test_a_namespace_for_a_cluster_scoped_resource_is_refused_at_once(client: Client) -> None:
    with pytest.raises(ValueError, match="nodes are cluster-scoped"):
        client.list_watch(NODES, namespace="web")
