"""Connections over TLS: each socket is closed when the session is, though the peer is silent from some moment on."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme

from kinformer import Client, ClusterConfig
from kinformer._connector import Connector
from kinformer.resources import PODS
from tests.apiserver.lying_proxy import LyingProxy
from tests.wire.raw_server import RawServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\n"


def sockets_to(port: int) -> list[socket.socket]:
    """Return the open sockets of this process that are connected to a port."""
    found = []
    for thing in gc.get_objects():
        if type(thing) is socket.socket and thing.family == socket.AF_INET and thing.fileno() >= 0:
            try:
                if thing.getpeername()[1] == port:
                    found.append(thing)
            except OSError:
                pass
    return found


class Silent:
    """A server that says the beginning of an answer over TLS, and a network that lets nothing through after it."""

    def __init__(self, ca: Path, server: RawServer, proxy: LyingProxy) -> None:
        self.ca = ca
        self.proxy = proxy
        self.beginning = b""
        self._said = asyncio.Event()
        server.respond = self._respond

    @property
    def port(self) -> int:
        return int(self.proxy.url.rpartition(":")[2])

    async def _respond(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(self.beginning)
        self._said.set()
        await asyncio.Event().wait()

    async def cancelled_in(self, request: Coroutine[Any, Any, None]) -> None:
        """Send a request; cancel it when the client waits for more of the answer, and the network is silent."""
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(20):
            task = tasks.create_task(request)
            await self._said.wait()
            # The client reads as much as comes; the pipes between are then full.
            for _ in range(200):
                await asyncio.sleep(0)
            self.proxy.freeze()
            task.cancel()
        assert task.cancelled()


@pytest.fixture
async def silent(tmp_path: Path) -> AsyncIterator[Silent]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with RawServer(lambda head, writer: None, context) as server, LyingProxy(server.port) as proxy:
        yield Silent(tmp_path / "ca.pem", server, proxy)


async def get(client: Client) -> None:
    await client.get(PODS, "a", namespace="d")


async def list_all(client: Client) -> None:
    await client.list(PODS)


async def watch(client: Client) -> None:
    async with client.list_watch(PODS).watch(resource_version="1", timeout_seconds=60) as batches:
        async for _ in batches:
            pass


@pytest.mark.parametrize("request_of", [get, list_all, watch])
@pytest.mark.parametrize(
    "beginning",
    [b"", HEAD + b"{", HEAD + b'{"a":"' + b"x" * 4_000_000],
    ids=["no answer", "a part", "more than is read"],
)
async def test_a_closed_client_has_no_socket_though_the_server_does_not_answer_the_end_of_tls(
    silent: Silent, beginning: bytes, request_of: Callable[[Client], Coroutine[Any, Any, None]]
) -> None:
    silent.beginning = beginning
    async with Client(ClusterConfig.for_server(silent.proxy.url, token="t", ca_file=silent.ca)) as client:
        await silent.cancelled_in(request_of(client))
    assert sockets_to(silent.port) == []


async def test_a_refused_handshake_of_a_websocket_leaves_no_socket(silent: Silent) -> None:
    silent.beginning = REFUSAL
    trust = ssl.create_default_context(cafile=str(silent.ca))
    async with aiohttp.ClientSession(silent.proxy.url, connector=Connector(ssl=trust)) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect("/")
        silent.proxy.freeze()
    assert sockets_to(silent.port) == []


async def test_an_answer_that_is_not_read_leaves_no_socket(silent: Silent) -> None:
    silent.beginning = HEAD
    trust = ssl.create_default_context(cafile=str(silent.ca))
    async with (
        aiohttp.ClientSession(silent.proxy.url, connector=Connector(ssl=trust)) as session,
        session.get("/") as answer,
    ):
        assert answer.status == 200
        silent.proxy.freeze()
    assert sockets_to(silent.port) == []
