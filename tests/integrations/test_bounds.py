"""What a stranger may ask of an application is bounded: selectors, streams, readers that read nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

from kinformer.cache.snapshot import CacheSnapshot
from kinformer.errors import SelectorError
from kinformer.informer.event_stream import EventStream
from kinformer.integrations import _starlette_responses, fastapi, starlette
from kinformer.integrations._web.open_streams import OpenStreams
from kinformer.integrations._web.selection import LONGEST_SELECTOR, MOST_TERMS, bounded_selector
from kinformer.integrations.starlette import close_event_streams
from kinformer.labels import LabelSelector
from tests.integrations.conftest import config_map, serving, watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kinformer import Client
    from kinformer.testing import ApiServer
    from tests.integrations.conftest import Served


def application(framework: str, connect: Callable[[], Client]) -> tuple[Any, Any]:
    """Informers and their application, with the same paths in both frameworks."""
    if framework == "fastapi":
        informers: Any = fastapi.Informers(client=connect)
        app: Any = FastAPI(lifespan=informers.lifespan)
        app.include_router(informers.router("configmaps"))
        app.include_router(informers.health())
    else:
        informers = starlette.Informers(client=connect)
        routes = [*informers.routes("configmaps"), *informers.health_routes()]
        app = Starlette(routes=routes, lifespan=informers.lifespan)
    return informers, app


@pytest.fixture(params=["fastapi", "starlette"])
async def served(request: pytest.FixtureRequest, connect: Callable[[], Client]) -> AsyncIterator[Served]:
    _, app = application(request.param, connect)
    async with serving(app) as running:
        yield running
        close_event_streams()


BEYOND = {
    "requirements": ",".join(f"!a{number}" for number in range(MOST_TERMS + 1)),
    "values": f"a in ({','.join(f'v{number}' for number in range(MOST_TERMS + 1))})",
    "5,000 requirements": ",".join(f"a{number}" for number in range(5000)),
    "length": "a=" + "b" * LONGEST_SELECTOR,
}
WITHIN = ",".join(f"!a{number}" for number in range(MOST_TERMS))


@pytest.mark.parametrize("selector", BEYOND.values(), ids=BEYOND)
@pytest.mark.parametrize("path", ["/configmaps", "/watch/configmaps"])
async def test_a_selector_beyond_its_bounds_is_a_bad_request(served: Served, path: str, selector: str) -> None:
    async with served.http.get(served.url + path, params={"labelSelector": selector}) as response:
        assert response.status == 400
        body = await response.json()
        assert "at most" in body["message"]
    # The application's own selectors have no such bounds.
    assert bounded_selector(LabelSelector.parse("a=b")) == LabelSelector.parse("a=b")
    with pytest.raises(SelectorError, match="at most"):
        bounded_selector(selector)


async def test_a_selector_within_its_bounds_selects_in_a_thread_without_holding_the_loop(
    api: ApiServer, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_starlette_responses, "_COMPARISONS_AT_ONCE", 0)
    api.create(config_map("a"))
    async with watching(served, "/watch/configmaps") as browser:
        while "a" not in {m.data.get("metadata", {}).get("name") for m in await browser.until("synced")}:
            pass
    async with served.http.get(f"{served.url}/configmaps", params={"labelSelector": WITHIN + ",app=web"}) as response:
        assert response.status == 400
    within = WITHIN.removesuffix(f",!a{MOST_TERMS - 1}") + ",app=web"
    async with served.http.get(f"{served.url}/configmaps", params={"labelSelector": within}) as response:
        assert response.status == 200
        assert [each["metadata"]["name"] for each in (await response.json())["items"]] == ["a"]


@pytest.mark.parametrize("last", ["9" * 5000, "9" * 21, "-1", "٣", "1\t"])
async def test_a_last_event_id_of_no_stream_begins_anew(served: Served, last: str) -> None:
    headers = {"Last-Event-ID": last.encode().decode("latin-1")}
    async with served.http.get(f"{served.url}/watch/configmaps", headers=headers) as response:
        assert response.status == 200
        while (line := await response.content.readline()) != b"event: reset\n":
            assert line


@pytest.mark.parametrize("path", ["/watch/configmaps"])
async def test_the_head_of_a_stream_is_a_whole_answer(served: Served, path: str) -> None:
    async with asyncio.timeout(60), served.http.head(served.url + path) as response:
        assert response.status in {200, 405}
        assert await response.read() == b""


async def test_streams_beyond_their_number_are_refused_until_one_ends(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_starlette_responses, "MOST_STREAMS", 2)
    async with watching(served, "/watch/configmaps") as one, watching(served, "/watch/configmaps") as two:
        await one.next()
        await two.next()
        status, headers, _ = await served.get("/watch/configmaps")
        assert (status, headers["retry-after"]) == (503, "5")
    while len(OpenStreams.of_this_loop()):
        await asyncio.sleep(0.01)
    async with watching(served, "/watch/configmaps") as browser:
        await browser.next()


async def readers(served: Served, count: int) -> list[socket.socket]:
    """Connections that ask for a stream and read nothing of it."""
    port = int(served.url.rpartition(":")[2])
    loop = asyncio.get_running_loop()
    found = []
    for _ in range(count):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        await loop.sock_connect(one, ("127.0.0.1", port))
        await loop.sock_sendall(one, b"GET /watch/configmaps HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found.append(one)
    return found


def _streams_in_memory() -> list[CacheSnapshot | EventStream]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, CacheSnapshot | EventStream)]


async def test_readers_that_read_nothing_are_cut_off_and_what_waits_for_them_is_freed(
    api: ApiServer, connect: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    count, objects = 8, 1000
    monkeypatch.setattr(_starlette_responses, "STALL_SECONDS", 0.5)
    for number in range(objects):
        api.create(config_map(f"m{number}", filler="x" * 4000))
    others = _streams_in_memory()
    informers, app = application("starlette", connect)
    async with serving(app) as served:
        (informer,) = informers.factory.informers.values()
        before = len(informer.handlers)
        stalled = await readers(served, count)
        # A server that ends waits for its connections: an error here would become a wait for ever.
        closing = contextlib.ExitStack()
        for one in stalled:
            closing.callback(one.close)
        streams = OpenStreams.of_this_loop()
        with closing:
            while not len(streams):
                await asyncio.sleep(0.01)
            for number in range(objects):
                api.update(config_map(f"m{number}", filler="y" * 4000))
                if not number % 50:
                    await asyncio.sleep(0)
            while len(streams):
                await asyncio.sleep(0.05)
            # All that is left of them are the buffers of their connections, and the journal that they share.
            connections = served.server.server_state.connections
            assert len(connections) >= count
            assert sum(one.transport.get_write_buffer_size() for one in connections) < count * 200_000
            # Other tests of this process may have left some.
            while any(one not in others for one in _streams_in_memory()):
                await asyncio.sleep(0.05)
            assert len(informer.handlers) <= before + 1
        close_event_streams()


async def test_the_end_of_one_application_leaves_the_streams_of_another_alone(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    api.create(config_map("a"))
    first, first_app = application("starlette", connect)
    _, second_app = application("fastapi", connect)
    async with serving(second_app) as served, watching(served, "/watch/configmaps") as browser:
        await browser.until("synced")
        async with first.lifespan(first_app):
            pass
        api.create(config_map("b"))
        assert (await browser.next()).data["metadata"]["name"] == "b"
        # Also one that is opened right afterwards.
        async with watching(served, "/watch/configmaps") as another:
            await another.until("synced")
            api.create(config_map("c"))
            assert (await another.next()).data["metadata"]["name"] == "c"
        close_event_streams()


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
async def test_an_application_whose_lifespan_did_not_run_is_not_ready(
    framework: str, connect: Callable[[], Client]
) -> None:
    informers, app = application(framework, connect)
    async with serving(app, lifespan="off") as served:
        status, _, body = await served.get("/readyz")
        assert status == 503
        assert b"the informers are not running" in body
        for path in ("/configmaps", "/configmaps/default/a", "/watch/configmaps"):
            status, headers, body = await served.get(path)
            assert (status, headers["retry-after"]) == (503, "1"), path
            assert b"lifespan=informers.lifespan" in body
        async with informers.lifespan(app):
            assert (await served.get("/readyz"))[0] == 200
        assert (await served.get("/readyz"))[0] == 503
        with contextlib.suppress(OSError):
            assert (await served.get("/healthz"))[0] == 200
