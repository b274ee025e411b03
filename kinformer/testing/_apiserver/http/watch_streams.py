"""The two ways in which a watch is sent: as a chunked answer, or as messages of a WebSocket, one per event.

Most clients take the first. Fabric8 and clients in a browser ask for the second (apiserver
endpoints/handlers/watch.go, HandleHTTP and HandleWS).
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from kinformer._tasks import BackgroundTask
from kinformer.testing._apiserver.schemas import protobuf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["WatchSink", "refused_handshake", "sink_of", "wants_websocket"]

_LENGTH: Final = 4
"""Bytes of the length before each event of protobuf; a message of a WebSocket has no need of it."""

_HALF: Final = b'{"type":"MODIFIED","object":{"metadata":{"na'


class WatchSink(Protocol):
    """Takes the events of a watch."""

    @property
    def answer(self) -> web.StreamResponse:
        """The answer that the handler returns."""

    async def begin(self, request: web.BaseRequest) -> None:
        """Send the head; from then on `close` is due."""

    async def send(self, events: Sequence[bytes]) -> None:
        """Send whole events, in order."""

    async def send_half(self) -> None:
        """Send the beginning of an event, for faults."""

    async def end(self) -> None:
        """End the stream cleanly."""

    async def close(self) -> None:
        """Free the resources of the stream, however it has ended."""


def wants_websocket(request: web.BaseRequest) -> bool:
    """Return whether a request asks for a WebSocket (apimachinery util/httpstream/wsstream, IsWebSocketRequest)."""
    return (
        request.headers.get("Upgrade", "").lower() == "websocket"
        and "upgrade" in request.headers.get("Connection", "").lower()
    )


def refused_handshake(request: web.BaseRequest) -> web.Response | None:
    """Return the refusal of a handshake, as golang.org/x/net/websocket refuses it; `None` if nothing is wrong."""
    if not request.headers.get("Origin"):
        return web.Response(status=403, text="null origin")
    if len(_protocols(request)) > 1:
        return web.Response(status=400, text="missing or bad WebSocket-Protocol")
    return None


def sink_of(request: web.BaseRequest, *, in_protobuf: bool, compressible: bool, gone: Callable[[], None]) -> WatchSink:
    """Return the sink for the events of the watch that a request asks for.

    Args:
        request: the request.
        in_protobuf: whether events are messages of protobuf, with their length in front.
        compressible: whether the events are compressed if the request takes gzip; never those of a WebSocket.
        gone: called when the client has closed a WebSocket.
    """
    if wants_websocket(request):
        return _WebSocketSink(_protocols(request), in_protobuf=in_protobuf, gone=gone)
    compressed = compressible and "gzip" in request.headers.get("Accept-Encoding", "")
    return _ChunkedSink(in_protobuf=in_protobuf, compressed=compressed)


def _protocols(request: web.BaseRequest) -> list[str]:
    return [name for part in request.headers.getall("Sec-WebSocket-Protocol", ()) for name in part.split(",")]


class _ChunkedSink:
    """Lines of JSON, or messages of protobuf with their length in front, in the body of the answer.

    A compressed body is a member of gzip for all events that are sent at once (RFC 1952, section 2.2).
    """

    def __init__(self, *, in_protobuf: bool, compressed: bool) -> None:
        media = f"{protobuf.MEDIA_TYPE};stream=watch" if in_protobuf else "application/json"
        headers = {"Content-Type": media, "Cache-Control": "no-cache, private"}
        if compressed:
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        self._compressed = compressed
        self.answer = web.StreamResponse(headers=headers)

    async def begin(self, request: web.BaseRequest) -> None:
        await self.answer.prepare(request)

    async def send(self, events: Sequence[bytes]) -> None:
        await self._write(b"".join(events))

    async def send_half(self) -> None:
        await self._write(_HALF)

    async def _write(self, body: bytes) -> None:
        if body:
            await self.answer.write(gzip.compress(body, compresslevel=1) if self._compressed else body)

    async def end(self) -> None:
        await self.answer.write_eof()

    async def close(self) -> None:
        """Nothing is held."""


class _WebSocketSink:
    """A text message for each event of JSON, a binary one for each of protobuf."""

    def __init__(self, protocols: Sequence[str], *, in_protobuf: bool, gone: Callable[[], None]) -> None:
        self.answer = web.WebSocketResponse(protocols=[name.strip() for name in protocols])
        self._in_protobuf = in_protobuf
        self._gone = gone
        self._reader = BackgroundTask("kinformer messages to a watch")

    async def begin(self, request: web.BaseRequest) -> None:
        await self.answer.prepare(request)
        self._reader.start(self._ignore_messages())

    async def _ignore_messages(self) -> None:
        while (await self.answer.receive()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            pass
        self._gone()

    async def send(self, events: Sequence[bytes]) -> None:
        for event in events:
            if self._in_protobuf and not event.startswith(b"{"):
                await self.answer.send_bytes(event[_LENGTH:])
            else:
                await self.answer.send_str(event.decode())

    async def send_half(self) -> None:
        await self.answer.send_str(_HALF.decode())

    async def end(self) -> None:
        await self._reader.stop()  # aiohttp's close reads by itself
        await self.answer.close(code=WSCloseCode.OK)

    async def close(self) -> None:
        await self._reader.stop()
