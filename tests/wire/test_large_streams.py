"""More than a buffer holds: every event of every stream arrives, in its order and byte for byte, on either loop."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from kinformer.client import Client
from kinformer.config import ClusterConfig
from kinformer.resources import PODS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVENTS = 400
STREAMS = 3


def loops() -> list[Any]:
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return [asyncio.new_event_loop]
    return [asyncio.new_event_loop, uvloop.new_event_loop]


def pod(stream: int, number: int) -> bytes:
    # From 2 to 17 KB, so that chunks and reads end anywhere.
    filling = "éx" * (700 + (number * 7919) % 5000)
    metadata = f'{{"name":"pod-{number}","namespace":"s{stream}","uid":"u","resourceVersion":"{number + 1}"}}'
    return f'{{"kind":"Pod","apiVersion":"v1","metadata":{metadata},"spec":{{"x":"{filling}"}}}}'.encode()


async def serve(context: ssl.SSLContext | None) -> asyncio.Server:
    """Answers each watch of a namespace with its events, written in pieces that have nothing to do with them."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        stream = int(request.split(b"/namespaces/s")[1][:1])
        body = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        for number in range(EVENTS):
            line = b'{"type":"MODIFIED","object":%s}\n' % pod(stream, number)
            body += b"%x\r\n%s\r\n" % (len(line), line)
        body += b"0\r\n\r\n"
        try:
            size = 300_007 + 101 * stream
            for start in range(0, len(body), size):
                writer.write(body[start : start + size])
                await writer.drain()
        finally:
            writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)


async def received(client: Client, stream: int, turns: int) -> list[bytes]:
    found: list[bytes] = []
    source = client.list_watch(PODS, namespace=f"s{stream}")
    async with source.watch(resource_version="1", timeout_seconds=60) as batches:
        async for batch in batches:
            assert not batch.failures
            found += [event.object.raw for event in batch.events]
            for _ in range(turns):
                # Meanwhile the buffer fills up, and the socket must wait.
                await asyncio.sleep(0)
    return found


async def all_received(context: ssl.SSLContext | None, config: Callable[[str], ClusterConfig]) -> None:
    server = await serve(context)
    port = server.sockets[0].getsockname()[1]
    scheme = "http" if context is None else "https"
    async with server, Client(config(f"{scheme}://localhost:{port}")) as client:
        found = await asyncio.gather(*(received(client, stream, 50 * stream) for stream in range(STREAMS)))
    for stream, raws in enumerate(found):
        assert raws == [pod(stream, number) for number in range(EVENTS)]


@pytest.mark.parametrize("new_loop", loops(), ids=lambda loop: loop.__module__.partition(".")[0])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_streams_that_are_read_side_by_side_are_each_whole(new_loop: Any, secure: bool, tmp_path: Path) -> None:
    context = None
    ca_file = str(tmp_path / "ca.pem")
    if secure:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)

    def config(url: str) -> ClusterConfig:
        return ClusterConfig.for_server(url, ca_file=ca_file if secure else None)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(all_received(context, config))
