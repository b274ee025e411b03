"""Reads the response of a watch into a buffer, in which its consumer finds the events.

aiohttp has made the connection and written the request. Reading without aiohttp saves a part of the time that reading
takes, and the quarter of a megabyte that asyncio allocates and shrinks for each read, which leaves the heap in pieces
(docs/design/0005).
"""

from __future__ import annotations

import asyncio
import mmap
import sys
import threading
from typing import TYPE_CHECKING, Final

from kinformer._tasks import shielded
from kinformer._time_slice import TimeSlice
from kinformer.client._http.response_parser import HttpFormatError, Pieces, ResponseParser, whole

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RawStream"]

# What one read may bring, when a backlog waits in the kernel: some 120 events, a millisecond of work. The larger, the
# fewer turns of the loop; beyond this there is nothing more to gain (docs/design/0005).
_BUFFER_SIZE: Final = 1024 * 1024

# Of small objects that would be thousands of events at once, and hold the loop. So the next read brings no more than
# makes some 500 pieces as large as the last ones, but always so much at least.
_PIECES_PER_READ: Final = 512
_LEAST_READ: Final = 64 * 1024

# With so much of the buffer filled, the socket is not read until the consumer has taken what there is.
_HIGH_WATER: Final = _BUFFER_SIZE // 4 * 3

# A proactor goes on reading into a buffer that it was given, while the consumer is still at what is in it.
_BUFFER_IS_OURS: Final = sys.platform != "win32"


class _Buffers(threading.local):
    """A thread's buffers. A stream has one for as long as there is something in it: nearly always, one serves all.

    Not of the heap, which megabytes that come and go would leave in pieces; and memory only where it was written to.
    """

    def __init__(self) -> None:
        self._spare: list[mmap.mmap] = []

    def take(self) -> mmap.mmap:
        """Return a buffer that no other stream uses."""
        return self._spare.pop() if self._spare else mmap.mmap(-1, _BUFFER_SIZE)

    def give_back(self, buffer: mmap.mmap) -> None:
        """Let others have it."""
        if not self._spare:
            self._spare.append(buffer)


_buffers = _Buffers()


class RawStream(asyncio.BufferedProtocol):
    """The response to one GET, on a connection that is closed after it.

    Attributes:
        parser: the response's head, when `head` has returned.
    """

    def __init__(self) -> None:
        self.parser = ResponseParser()
        self._loop = asyncio.get_running_loop()
        self._time_slice = TimeSlice()
        self._buffer: mmap.mmap | None = None
        self._filled = 0  # of the buffer
        self._room = _LEAST_READ  # for the next read
        self._copied: list[bytes] = []  # earlier bytes: those read together with the head, for example
        self._waiting = 0  # how many bytes that is in all
        self._transport: asyncio.Transport | None = None
        self._before: asyncio.BaseProtocol | None = None
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._heard_at = self._loop.time()
        self._gone = asyncio.Event()

    def take_over(self, transport: asyncio.Transport, before: asyncio.BaseProtocol) -> None:
        """Read the bytes of a connection from now on; the protocol before learns only of its end.

        Args:
            transport: the connection, on which the request has been written.
            before: the connection's protocol up to now.
        """
        self._transport, self._before = transport, before
        # A loop may have chosen by the old protocol how it reads (uvloop does), and chooses again when it resumes.
        transport.pause_reading()
        transport.set_protocol(self)
        transport.resume_reading()

    async def head(self) -> None:
        """Wait for the head of the response. If cancelled, nothing is lost: the next call goes on.

        Raises:
            ConnectionError: the connection was lost before it came.
            HttpFormatError: the response is not HTTP.
        """
        while not self.parser.status:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise ConnectionResetError("Server disconnected")
            await self._wait()

    async def read(self, take: Callable[[Pieces], object], silence: float) -> bool:
        """Give the body received so far, at least a piece, to its consumer; false when it has ended.

        If cancelled, nothing is lost: the next call goes on.

        Args:
            take: called with pieces that are good until it returns. Its exceptions go on to the caller.
            silence: seconds without a byte after which to give up.

        Raises:
            TimeoutError: nothing came for that long.
            EOFError: the connection ended in the middle.
            OSError: the connection was lost.
            HttpFormatError: the response is not HTTP.
        """
        if self.parser.held_back:
            await asyncio.sleep(0)
        while not self._hand_over(take):
            if self.parser.complete or (self._ended and self.parser.close()):
                return False
            if self._error is not None:
                raise self._error
            if self._ended:
                raise EOFError("not completed")
            timer = self._loop.call_at(self._heard_at + silence, self._look_for_silence, silence)
            try:
                await self._wait()
            finally:
                timer.cancel()
            if self._waiting:
                # The consumer decodes up to a megabyte at once, and so do other streams that have been woken.
                await self._time_slice.begin()
        return True

    def fail(self, error: Exception) -> None:
        """Raise an error in the reader."""
        self._error = self._error or error
        self._wake()

    def abort(self) -> None:
        """Close the connection, a turn of the loop from now."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Close the connection; returns when it is."""
        self.abort()
        # Without the shield, a cancelled scope of anyio would end this wait at once.
        with shielded():
            await self._gone.wait()

    # What asyncio calls

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the place for the next bytes."""
        del sizehint
        if self._buffer is None:
            self._buffer = _buffers.take()
        return memoryview(self._buffer)[self._filled : self._filled + self._room]

    def buffer_updated(self, nbytes: int) -> None:
        """Something has come."""
        assert self._buffer is not None
        self._heard_at = self._loop.time()
        self._filled += nbytes
        self._waiting += nbytes
        if not self.parser.status or not _BUFFER_IS_OURS:
            try:
                self._copied.append(self.parser.feed(self._buffer, self._filled).join())
            except HttpFormatError as error:
                self.fail(error)
                self.abort()
            self._filled = 0
        if self._waiting > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The server sends nothing more."""
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._ended = True
        if exc is not None and not self.parser.complete:
            self._error = self._error or exc
        self._transport = None
        if self._before is not None:
            self._before.connection_lost(exc)
        self._gone.set()
        self._wake()

    def _hand_over(self, take: Callable[[Pieces], object]) -> bool:
        """Give the body received so far to the consumer; returns whether there was something."""
        if self.parser.held_back:
            copied, self._copied = b"".join(self._copied), []
            if copied:
                take(whole(copied))
            take(self.parser.feed(b""))
            return True
        if not self._waiting:
            return False
        first, self._copied = whole(b"".join(self._copied)), []
        try:
            if first.spans:
                take(first)
            pieces = (
                self.parser.feed(self._buffer, self._filled) if self._filled and self._buffer is not None else first
            )
            if pieces.spans and pieces is not first:
                size = self._filled // len(pieces.spans)
                self._room = max(_LEAST_READ, min(_BUFFER_SIZE, size * _PIECES_PER_READ))
                take(pieces)
        finally:
            self._waiting = self._filled = 0
            if self._buffer is not None and _BUFFER_IS_OURS:
                _buffers.give_back(self._buffer)
                self._buffer = None
            if self._paused and self._transport is not None:
                self._paused = False
                self._transport.resume_reading()
        return bool(first.spans or pieces.spans)

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
        # Bytes in the meantime would have woken the reader, so this is the silence that the timer is for.
        if not self._waiting and not self.parser.complete:
            self._error = self._error or TimeoutError(f"nothing came for {silence:g} seconds")
            self._wake()
