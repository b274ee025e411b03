"""A TCP proxy between a client and a server, which can do to the bytes whatever a network does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

__all__ = ["LyingProxy"]

_PIECE = 64 * 1024


class LyingProxy:
    """Listens on a port of 127.0.0.1 and passes everything on to another: TLS goes through it unread.

    Args:
        port: where the server is; asked with each connection.

    Attributes:
        accepted: how many connections there ever were.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._connections: set[tuple[StreamWriter, StreamWriter]] = set()
        self._moving = asyncio.Event()
        self._moving.set()
        self._refusing = False
        self._delay = 0.0
        self._piece = _PIECE
        self._left: int | None = None
        self.accepted = 0

    @property
    def url(self) -> str:
        """The URL for clients."""
        assert self._server is not None
        return f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def open(self) -> int:
        """The number of connections now."""
        return len(self._connections)

    def cut(self) -> int:
        """Reset every connection; returns how many there were."""
        count = len(self._connections)
        for pair in self._connections:
            for end in pair:
                end.transport.abort()
        return count

    def part(self) -> None:
        """Reset every connection, and accept none until `join`."""
        self._refusing = True
        self.cut()

    def join(self) -> None:
        """Accept connections again, and move all bytes as they come."""
        self._refusing = False
        self._moving.set()
        self._delay = 0.0
        self._piece = _PIECE
        self._left = None

    def freeze(self) -> None:
        """Let no byte through, on connections that stay open, and on those that are made from now on."""
        self._moving.clear()

    def delay(self, seconds: float) -> None:
        """Keep each piece for so long."""
        self._delay = seconds

    def in_pieces_of(self, size: int) -> None:
        """Send so many bytes at a time to the client."""
        self._piece = size

    def cut_after(self, size: int) -> None:
        """Reset every connection when so many more bytes have come from the server, all together."""
        self._left = size

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        self._moving.set()
        while self._connections:
            self.cut()
            await asyncio.sleep(0)
        await self._server.wait_closed()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            writer.transport.abort()
            return
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, to_server)
        self._connections.add(pair)
        try:
            for end in pair:
                end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, to_server, to_client=False))
                group.create_task(self._pump(from_server, writer, to_client=True))
        finally:
            self._connections.discard(pair)
            for end in pair:
                end.transport.abort()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pump(self, source: StreamReader, to: StreamWriter, *, to_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_PIECE):
                await self._moving.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                if to_client and self._left is not None:
                    data = data[: self._left]
                    self._left -= len(data)
                step = self._piece if to_client else _PIECE
                for start in range(0, len(data), step):
                    to.write(data[start : start + step])
                    await to.drain()
                    if step < _PIECE:
                        await asyncio.sleep(0)
                if to_client and self._left == 0:
                    self.cut()
                    self.join()
                    return
            if to.can_write_eof():
                to.write_eof()
