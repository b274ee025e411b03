"""The connections of a client: each is given back or closed, whenever its reader is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any

import aiohttp.connector
import pytest

from kinformer import Client, ClusterConfig
from kinformer.errors import ConnectError, KinformerError
from kinformer.resources import CONFIGMAPS, PODS
from tests.wire.raw_server import CHUNKED, RawServer, answer, chunk, event, is_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from kinformer.client import ResourceClient


def held_connections() -> list[aiohttp.connector.Connection]:
    """The connections that aiohttp would report as unclosed."""
    return [
        thing
        for thing in gc.get_objects()
        if isinstance(thing, aiohttp.connector.Connection) and thing.protocol is not None
    ]


async def read_for_ever(watching: ResourceClient) -> None:
    async with watching.watch(resource_version="10", timeout_seconds=60) as batches:
        async for _ in batches:
            pass


async def refused(request_of: Callable[[Client], Coroutine[Any, Any, object]], client: Client) -> None:
    with contextlib.suppress(KinformerError):
        await request_of(client)


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.parametrize("between", range(4))
async def test_a_watch_that_is_cancelled_twice_closes_its_connection(between: int) -> None:
    async def respond(head: bytes, writer: asyncio.StreamWriter) -> None:
        if is_watch(head):
            writer.write(CHUNKED + chunk(event("ADDED", "a", 11)))
            await asyncio.sleep(60)

    async with (
        RawServer(respond) as server,
        Client(ClusterConfig(server=server.url)) as client,
        asyncio.TaskGroup() as tasks,
    ):
        reader = tasks.create_task(read_for_ever(client.list_watch(PODS)))
        while not server.heads:
            await turns(1)
        await turns(20)
        reader.cancel()
        await turns(between)
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader
        assert held_connections() == []


def respond_at_once(head: bytes, writer: asyncio.StreamWriter) -> bytes | None:
    return CHUNKED + chunk(event("ADDED", "a", 11)) if is_watch(head) else answer()


def close_at_once(head: bytes, writer: asyncio.StreamWriter) -> None:
    """Return nothing, which closes the connection."""


REQUESTS: dict[str, Callable[[Client], Coroutine[Any, Any, object]]] = {
    "list": lambda client: client.list(PODS),
    "watch": lambda client: read_for_ever(client.list_watch(PODS)),
    "create": lambda client: client.create(
        CONFIGMAPS, {"metadata": {"name": "a", "namespace": "d"}, "data": {"text": "x" * 900_000}}
    ),
}


@pytest.mark.parametrize("respond", [respond_at_once, close_at_once])
@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
async def test_a_request_that_is_cancelled_at_any_moment_closes_its_connection(
    request_of: Callable[[Client], Coroutine[Any, Any, object]], respond: Callable[..., bytes | None]
) -> None:
    async with RawServer(respond) as server:
        for after in range(0, 40, 3):
            async with Client(ClusterConfig(server=server.url)) as client, asyncio.TaskGroup() as tasks:
                task = tasks.create_task(refused(request_of, client))
                await turns(after)
                task.cancel()
    assert held_connections() == []


OBJECT = (
    b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"d","uid":"u","resourceVersion":"5"}}'
)
WRITTEN: dict[str, Any] = {"metadata": {"name": "a", "namespace": "d"}, "data": {"text": "x"}}

VERBS: dict[str, Callable[[Client], Coroutine[Any, Any, object]]] = {
    "POST": lambda client: client.create(CONFIGMAPS, WRITTEN),
    "PUT": lambda client: client.replace(CONFIGMAPS, WRITTEN),
    "PATCH": lambda client: client.patch(CONFIGMAPS, "a", {"data": {"text": "x"}}, namespace="d"),
    "DELETE": lambda client: client.delete(CONFIGMAPS, "a", namespace="d"),
    "DELETE of all": lambda client: client.delete_collection(CONFIGMAPS, namespace="d"),
    "GET": lambda client: client.get(CONFIGMAPS, "a", namespace="d"),
}


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("verb", VERBS)
async def test_a_write_whose_connection_is_lost_is_sent_once_and_a_read_again(verb: str, end: str) -> None:
    def respond(head: bytes, writer: asyncio.StreamWriter) -> bytes | None:
        if len(server.heads) != 2:
            return answer(OBJECT)
        # The server has processed the request, and its connection, which was in the pool, ends before the response.
        if end == "reset":
            writer.transport.abort()
        return None

    async with RawServer(respond) as server, Client(ClusterConfig(server=server.url), retry=None) as client:
        await client.get(CONFIGMAPS, "a", namespace="d")
        if verb == "GET":
            await VERBS[verb](client)
        else:
            with pytest.raises(ConnectError, match="lost before it answered"):
                await VERBS[verb](client)
    assert [head.split()[0].decode() for head in server.heads[1:]] == (
        ["GET"] * 2 if verb == "GET" else [verb.split(maxsplit=1)[0]]
    )
