"""No connection stays open when a server stops, also one that was accepted at that moment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from kinformer._local_runner import BoundedServer, LocalRunner, local_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    del request
    return web.Response()


@contextlib.asynccontextmanager
async def serving(server: BoundedServer, context: ssl.SSLContext | None = None) -> AsyncIterator[LocalRunner]:
    """Serve on a free port of loopback; the test may stop the server itself."""
    runner = LocalRunner(server, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner
    finally:
        await runner.cleanup()


async def connected(runner: LocalRunner) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = runner.addresses[0][:2]
    return await asyncio.open_connection(host, port)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_was_made_some_turns_before_the_stop_is_closed(turns: int, *, tls: bool) -> None:
    # Over TLS, the client never begins the handshake.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
    async with serving(local_server(answer), context) as runner:
        with socket.create_connection(runner.addresses[0][:2]) as connection:
            for _ in range(turns):
                await asyncio.sleep(0)
            await runner.cleanup()
            connection.settimeout(0)
            async with asyncio.timeout(60):
                while True:
                    try:
                        assert connection.recv(1) == b""
                    except ConnectionResetError:
                        pass
                    except BlockingIOError:
                        await asyncio.sleep(0.01)
                        continue
                    break


async def test_a_malformed_request_gets_400_and_neither_it_nor_its_token_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(local_server(answer)) as runner:
        reader, writer = await connected(runner)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\x00\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"400"
        writer.close()
    assert caplog.records == []


async def test_a_client_that_goes_before_its_body_has_come_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    ended = asyncio.Event()

    async def read(request: web.BaseRequest) -> web.StreamResponse:
        try:
            await request.read()
        finally:
            ended.set()
        return web.Response()

    async with serving(local_server(read)) as runner:
        _, writer = await connected(runner)
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
        async with asyncio.timeout(60):
            await ended.wait()
        await asyncio.sleep(0.01)
    assert caplog.records == []


async def test_a_failure_of_the_server_itself_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: web.BaseRequest) -> web.StreamResponse:
        raise RuntimeError(request.path)

    async with serving(local_server(fail)) as runner:
        reader, writer = await connected(runner)
        writer.write(b"GET /bad HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"500"
        writer.close()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc"], ids=["nothing", "half a head"])
@pytest.mark.parametrize("first", [True, False], ids=["first request", "next request"])
async def test_a_connection_without_a_complete_request_is_closed_and_one_with_a_slow_answer_is_not(
    sent: bytes, *, first: bool
) -> None:
    end = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/slow":
            await end.wait()
        return web.Response(text="done")

    async with serving(local_server(slow, first_request_seconds=0.2, idle_seconds=0.2)) as runner:
        patient, asking = await connected(runner)
        asking.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reader, writer = await connected(runner)
        if not first:
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"done")
        writer.write(sent)
        assert await reader.read() == b""
        end.set()
        assert await patient.readuntil(b"done")
        writer.close()
        asking.close()
