"""Ports of pods: `portforward` over WebSocket, and `proxy`. Each leads to the listener that a test has named.

A connection has two channels for each port, for its data and for its errors. The first byte of a message is its
channel, and the first message of a channel is the number of the port (kubelet server/portforward/websocket.go).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import WSMsgType, web

from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from kinformer.testing._apiserver.http.requests import Target
    from kinformer.testing._apiserver.rules.pod_scripts import PodScripts

__all__ = ["answer_portforward", "answer_proxy"]

_PROTOCOLS: Final = ("v4.channel.k8s.io",)
"""A client that names none gets the same."""
_CHUNK: Final = 64 * 1024
_HOP_BY_HOP: Final = {"connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"}
_HIGHEST: Final = 65535


async def answer_portforward(
    request: web.BaseRequest, scripts: PodScripts, target: Target, uid: str
) -> web.StreamResponse:
    """Carry bytes between a client and the listeners of a pod's ports, until the client goes.

    Raises:
        Refusal: 400 without ports or an upgrade.
    """
    ports = _ports(request)
    socket = web.WebSocketResponse(protocols=_PROTOCOLS)
    if not socket.can_prepare(request):
        raise status.bad_request("unable to upgrade: unable to find WebSocket protocol headers in the request")
    if not ports:
        raise status.bad_request('query parameter "port" is required')
    await socket.prepare(request)
    writers: dict[int, asyncio.StreamWriter] = {}
    async with contextlib.AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        readers: list[asyncio.Task[None]] = []
        for number, port in enumerate(ports):
            for channel in (2 * number, 2 * number + 1):
                await socket.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))
            listener = scripts.listener_of(target.namespace, target.name, port)
            try:
                if listener is None:
                    raise ConnectionRefusedError
                reader, writers[2 * number] = await asyncio.open_connection(*listener)
            except OSError:
                await socket.send_bytes(bytes([2 * number + 1]) + _refused(port, target, uid).encode())
                continue
            readers.append(tasks.create_task(_send(reader, socket, 2 * number)))
        await _receive(socket, writers)
        for task in readers:
            task.cancel()
    for writer in writers.values():
        writer.close()
    return socket


def _ports(request: web.BaseRequest) -> list[int]:
    texts = [text for given in request.query.getall("ports", []) for text in given.split(",")]
    ports = [int(text) if text.isdecimal() else 0 for text in texts]
    if wrong := next((text for text, port in zip(texts, ports, strict=True) if not 0 < port <= _HIGHEST), None):
        raise status.bad_request(f'unable to parse "{wrong}" as a port: invalid port')
    return ports


def _refused(port: int, target: Target, uid: str) -> str:
    return (
        f"error forwarding port {port} to pod {target.name}, uid {uid}: failed to connect to localhost:{port}: "
        f"dial tcp4 127.0.0.1:{port}: connect: connection refused"
    )


async def _send(reader: asyncio.StreamReader, socket: web.WebSocketResponse, channel: int) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(bytes([channel]) + data)
    await socket.close()


async def _receive(socket: web.WebSocketResponse, writers: dict[int, asyncio.StreamWriter]) -> None:
    async for message in socket:
        if message.type is not WSMsgType.BINARY or len(message.data) < 2:
            continue
        writer = writers.get(message.data[0])
        if writer is not None:
            with contextlib.suppress(ConnectionError):
                writer.write(message.data[1:])
                await writer.drain()


async def answer_proxy(request: web.BaseRequest, listener: tuple[str, int], path: str) -> web.StreamResponse:
    """Answer a request with the answer of a listener.

    Raises:
        Refusal: 503, it cannot be reached.
    """
    host, port = listener
    headers = {name: text for name, text in request.headers.items() if name.lower() not in _HOP_BY_HOP}
    query = request.rel_url.raw_query_string
    url = f"http://{host}:{port}/{path}" + (f"?{query}" if query else "")
    options: dict[str, Any] = {"headers": headers, "data": await request.read(), "allow_redirects": False}
    try:
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, url, **options) as found,
        ):
            kept = [(name, text) for name, text in found.headers.items() if name.lower() not in _HOP_BY_HOP]
            answer = web.Response(status=found.status, body=await found.read())
            answer.headers.extend(kept)
            return answer
    except (aiohttp.ClientError, OSError) as error:
        message = f"error trying to reach service: {error}"
        raise status.Refusal(503, message, "ServiceUnavailable") from None
