"""A connection of its own for each watch, read without aiohttp: from the socket into one buffer, from there in pieces.

What this saves (docs/design/0005): a part of the time that reading takes, and the quarter of a megabyte that asyncio
allocates and shrinks for each read, which leaves the heap in pieces.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Final, cast

import anyio

from kinformer.client._http_response import HttpFormatError, ResponseParser

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Mapping

__all__ = ["RawStream", "open_raw_stream"]

# What one read may bring, when a backlog waits in the kernel: some 120 events, a millisecond of work. The larger, the
# fewer turns of the loop; beyond this there is nothing more to gain (docs/design/0005).
_BUFFER_SIZE: Final = 1024 * 1024

# Above this, the socket is not read until the consumer has taken what there is.
_HIGH_WATER: Final = 1024 * 1024


class _Shared(threading.local):
    """Selector loops (and uvloop) ask for the buffer, fill it and hand it back at once: one serves a whole thread."""

    def __init__(self) -> None:
        self.buffer = bytearray(_BUFFER_SIZE)


_shared = _Shared()


class RawStream(asyncio.BufferedProtocol):
    """One GET and its answer.

    Attributes:
        parser: the answer's head, when `head` has returned.
    """

    def __init__(self, request: bytes, tune: Callable[[socket.socket], None]) -> None:
        self.parser = ResponseParser()
        self._request = request
        self._tune = tune
        self._loop = asyncio.get_running_loop()
        self._buffer = _shared.buffer if sys.platform != "win32" else bytearray(_BUFFER_SIZE // 4)
        self._view = memoryview(self._buffer)
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._heard_at = self._loop.time()
        self._gone = asyncio.Event()

    async def head(self) -> None:
        """Wait for the head of the answer.

        Raises:
            ConnectionError: the connection was lost before it came.
            HttpFormatError: what came is not HTTP.
        """
        while not self.parser.status:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise ConnectionResetError("Server disconnected")
            await self._wait()

    async def read(self, silence: float) -> list[bytes]:
        """Take what has come of the body, at least a piece; nothing when it has come to its end.

        If cancelled, nothing is lost: the next call goes on.

        Args:
            silence: seconds without a byte after which to give up.

        Raises:
            TimeoutError: nothing came for that long.
            EOFError: the connection ended in the middle.
            OSError: the connection was lost.
            HttpFormatError: what came is not HTTP.
        """
        while not self._pieces:
            if self.parser.complete:
                return []
            if self._error is not None:
                raise self._error
            if self._ended:
                raise EOFError("not completed")
            timer = self._loop.call_at(self._heard_at + silence, self._look_for_silence, silence)
            try:
                await self._wait()
            finally:
                timer.cancel()
        pieces, self._pieces = self._pieces, []
        self._waiting = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return pieces

    async def read_to_end(self) -> bytes:
        """The whole rest of the body; for a refusal, which is short."""
        whole = b""
        while pieces := await self.read(60.0):
            whole += b"".join(pieces)
        return whole

    def fail(self, error: Exception) -> None:
        """Let whoever reads have an error."""
        self._error = self._error or error
        self._wake()

    def abort(self) -> None:
        """Close the connection, a turn of the loop from now."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Close the connection; returns when it is."""
        self.abort()
        # Also when a cancelled anyio scope is being left, in which every unshielded wait ends at once.
        with anyio.CancelScope(shield=True):
            await self._gone.wait()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there, TLS and all: ask."""
        # Not asserted: uvloop's, which uvicorn takes where it is installed, are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        if (sock := transport.get_extra_info("socket")) is not None:
            self._tune(sock)
        self._transport.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to put what comes."""
        del sizehint
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Something has come."""
        self._heard_at = self._loop.time()
        try:
            pieces = self.parser.feed(self._view[:nbytes])
        except HttpFormatError as error:
            self.fail(error)
            self.abort()
            return
        if pieces:
            self._pieces += pieces
            self._waiting += nbytes
            if self._waiting > _HIGH_WATER and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
        if pieces or self.parser.complete or (self.parser.status and self._waiter is not None):
            self._wake()

    def eof_received(self) -> bool:
        """The server sends nothing more."""
        self.parser.close()
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self.parser.close()
        self._ended = True
        if exc is not None and not self.parser.complete:
            self._error = self._error or exc
        self._transport = None
        self._gone.set()
        self._wake()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _look_for_silence(self, silence: float) -> None:
        # What has come meanwhile has woken the reader, so this is the silence it was set for.
        if not self._pieces and not self.parser.complete:
            self._error = self._error or TimeoutError(f"nothing came for {silence:g} seconds")
            self._wake()


async def open_raw_stream(
    host: str,
    port: int,
    *,
    target: str,
    headers: Mapping[str, str],
    context: ssl.SSLContext | None,
    server_hostname: str | None,
    tune: Callable[[socket.socket], None],
) -> RawStream:
    """Connect, and send a GET.

    Args:
        host: whom to connect to.
        port: where.
        target: path and query, encoded.
        headers: sent along; `Host` among them.
        context: for TLS; `None` for plain HTTP.
        server_hostname: the name the certificate must have; by default the host.
        tune: sets options of the socket.

    Raises:
        OSError: no connection, or no trust.
        ValueError: a header with a line break in it.
    """
    for name, value in headers.items():
        if "\r" in value or "\n" in value or "\0" in value:
            msg = f"the header {name} has a line break in its value"
            raise ValueError(msg)
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    request = "\r\n".join(lines).encode("latin-1")
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(
        lambda: RawStream(request, tune),
        host,
        port,
        ssl=context,
        server_hostname=(server_hostname or host) if context is not None else None,
    )
    return stream
