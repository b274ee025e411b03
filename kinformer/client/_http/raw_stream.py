"""Read the response of a watch into a buffer, from which the decoder takes the events.

aiohttp has made the connection and written the request. Reading without aiohttp takes less time, and avoids the 256 KB
that asyncio allocates and shrinks for each read, which fragments the heap (docs/design/0005).
"""

from __future__ import annotations

import asyncio
import mmap
import sys
import threading
from typing import TYPE_CHECKING, Final

from kinformer._flag import Flag
from kinformer._tasks import shielded
from kinformer._time_slice import TimeSlice
from kinformer.client._http.response_parser import HttpFormatError, Pieces, ResponseParser, whole

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RawStream"]

# Bytes of one read when a backlog waits in the kernel: some 120 events, a millisecond of work. A larger buffer means
# fewer turns of the loop; beyond this size nothing more is gained (docs/design/0005).
_BUFFER_SIZE: Final = 1024 * 1024

# A full buffer of small objects would be thousands of events, and hold the loop. So the next read takes about 512
# pieces of the size of the last ones, and never less than the second figure.
_PIECES_PER_READ: Final = 512
_LEAST_READ: Final = 64 * 1024

# Reads of at most so many bytes, some events, go to the consumer at once, in the callback of the loop. Larger reads are
# a backlog, which the reader's task takes in time slices.
_PUSHED: Final = 32 * 1024

# With so many bytes in the buffer, the socket is not read until the consumer has taken them.
_HIGH_WATER: Final = _BUFFER_SIZE // 4 * 3

# Seconds by which a timer may fire too early.
_TIMER_TOLERANCE: Final = 0.001

# A proactor writes into the buffer while the consumer still reads from it.
_BUFFER_IS_OURS: Final = sys.platform != "win32"


class _Buffers(threading.local):
    """The buffers of a thread. A stream holds one only while it has bytes in it, so one buffer serves most streams.

    They are anonymous mappings: on the heap, short-lived megabytes would fragment it. A page of them takes memory only
    after it was written to.
    """

    def __init__(self) -> None:
        self.spare: mmap.mmap | None = None
        """A buffer that no stream uses. A stream takes it, or makes one, and gives it back when it has read it."""


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
        self._copied: tuple[bytes, ...] = ()  # earlier bytes, such as those read together with the head
        self._waiting = 0  # bytes in both, in all
        self._transport: asyncio.Transport | None = None
        self._before: asyncio.BaseProtocol | None = None
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._received_at = self._time_slice.clock()
        self._gone = Flag()
        self._silence = 0.0  # that the timer waits for
        self._timer: asyncio.TimerHandle | None = None  # of the silence; set again when it fires, not at each read
        self._push: Callable[[Pieces], bool] | None = None  # only while the reader waits
        self._called_back = False  # the consumer that was pushed wants the reader
        self._raised: Exception | None = None  # by the consumer that was pushed

    def take_over(self, transport: asyncio.Transport, before: asyncio.BaseProtocol) -> None:
        """Read the bytes of a connection from now on; the protocol before is informed only of its end.

        Args:
            transport: the connection, on which the request has been written.
            before: the connection's protocol up to now.
        """
        self._transport, self._before = transport, before
        # uvloop chooses its way of reading by the old protocol, and chooses again when reading resumes.
        transport.pause_reading()
        transport.set_protocol(self)
        transport.resume_reading()

    async def head(self, within: float | None = None) -> None:
        """Wait for the head of the response. A cancelled call loses nothing: the next call continues.

        Args:
            within: seconds after which to return, also without a head.

        Raises:
            ConnectionError: the connection was lost before it came.
            HttpFormatError: the response is not HTTP.
        """
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            self._wake()

        # Not `asyncio.timeout`, which costs as much again: each watch begins here.
        timer = None if within is None else self._loop.call_later(within, give_up)
        try:
            while not self.parser.status:
                if self._error is not None:
                    raise self._error
                if self._ended:
                    raise ConnectionResetError("Server disconnected")
                if late:
                    return
                await self._wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def read(
        self, take: Callable[[Pieces], object], silence: float, push: Callable[[Pieces], bool] | None = None
    ) -> bool:
        """Pass the body received so far, at least one piece, to its consumer; return false when the body has ended.

        A cancelled call loses nothing: the next call continues.

        Args:
            take: called with pieces that are valid until it returns. Its exceptions reach the caller.
            silence: seconds without a byte after which to give up.
            push: as `take`, but called by the loop when a few bytes come while the reader waits. The reader waits on
                until it returns true. So events that come one at a time need no task to run.

        Raises:
            TimeoutError: no byte came for that long.
            EOFError: the connection ended in the middle.
            OSError: the connection was lost.
            HttpFormatError: the response is not HTTP.
        """
        self._called_back = False
        self._raise_pushed()
        if self.parser.held_back:
            await asyncio.sleep(0)
        while not self._hand_over(take):
            if self.parser.complete or (self._ended and self.parser.close()):
                return False
            if self._error is not None:
                raise self._error
            if self._ended:
                raise EOFError("not completed")
            if silence != self._silence:
                self._end_timer()
                self._silence = silence
            if self._timer is None:
                self._timer = self._loop.call_at(self._received_at + silence, self._check_silence, silence)
            self._push = push
            try:
                await self._wait()
            finally:
                self._push = None
            self._raise_pushed()
            if self._called_back:
                self._called_back = False
                return True
            if self._waiting:
                # The consumer decodes up to a megabyte at once, and other streams that were woken do the same.
                await self._time_slice.begin()
        return True

    def fail(self, error: Exception) -> None:
        """Raise an error in the reader."""
        self._error = self._error or error
        self._wake()

    def abort(self) -> None:
        """Close the connection, a turn of the loop from now."""
        self._end_timer()
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Close the connection; return when it is closed."""
        self.abort()
        # Without the shield, a cancelled scope of anyio would end this wait at once.
        with shielded():
            await self._gone.wait()

    # Called by asyncio

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the place for the next bytes."""
        del sizehint
        if self._buffer is None:
            self._buffer = _buffers.spare or mmap.mmap(-1, _BUFFER_SIZE)
            _buffers.spare = None
        return memoryview(self._buffer)[self._filled : self._filled + self._room]

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of received bytes."""
        assert self._buffer is not None
        now = self._received_at = self._time_slice.clock()
        self._filled += nbytes
        self._waiting += nbytes
        if not self.parser.status or not _BUFFER_IS_OURS:
            try:
                self._copied += (self.parser.feed(self._buffer, self._filled).join(),)
            except HttpFormatError as error:
                self.fail(error)
                self.abort()
            self._filled = 0
        if self._waiting > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        push = self._push
        if push is not None and self._waiting <= _PUSHED and _BUFFER_IS_OURS and self._time_slice.begin_step(now):
            self._push_received(push)
        else:
            self._wake()

    def eof_received(self) -> bool:
        """Take note that the server sends nothing more."""
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection has ended."""
        self._ended = True
        self._end_timer()
        if exc is not None and not self.parser.complete:
            self._error = self._error or exc
        transport, self._transport = self._transport, None
        if transport is not None:
            _free(transport)
        if self._before is not None:
            self._before.connection_lost(exc)
        self._gone.set()
        self._wake()

    def _push_received(self, push: Callable[[Pieces], bool]) -> None:
        """Pass the received bytes to the consumer that the reader has named, and wake the reader if it is needed."""
        parser, buffer = self.parser, self._buffer
        assert buffer is not None
        wanted = False
        try:
            pieces = parser.feed(buffer, self._filled)
            if pieces.spans:
                wanted = push(pieces)
        except Exception as error:  # noqa: BLE001 - whatever it is, the reader raises it
            self._raised = error
        self._waiting = self._filled = 0
        self._buffer = None
        _buffers.spare = buffer
        if wanted:
            self._called_back = True
        elif self._raised is None and not parser.held_back and not parser.complete:
            return
        self._push = None
        self._wake()

    def _raise_pushed(self) -> None:
        error, self._raised = self._raised, None
        if error is not None:
            raise error

    def _hand_over(self, take: Callable[[Pieces], object]) -> bool:
        """Pass the body received so far to the consumer; return whether there was any."""
        if self.parser.held_back:
            copied, self._copied = b"".join(self._copied), ()
            if copied:
                take(whole(copied))
            take(self.parser.feed(b""))
            return True
        if not self._waiting:
            return False
        first, self._copied = whole(b"".join(self._copied)), ()
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
                _buffers.spare, self._buffer = self._buffer, None
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

    def _check_silence(self, silence: float) -> None:
        self._timer = None
        if self._waiter is None or self._waiting or self.parser.complete:
            return  # the next wait of the reader sets the timer again
        due = self._received_at + silence
        if due - self._time_slice.clock() > _TIMER_TOLERANCE:
            self._timer = self._loop.call_at(due, self._check_silence, silence)
            return
        self._error = self._error or TimeoutError(f"nothing came for {silence:g} seconds")
        self._wake()

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _free(transport: asyncio.Transport) -> None:
    """Let a closed transport go at once.

    The transports of asyncio's selector loops hold a method of themselves, with which they read. So each closed one,
    with its socket, would wait for the collector, which takes long for them: a program that changes its scope closes
    many watches.
    """
    if getattr(transport, "_read_ready_cb", None) is not None:
        transport._read_ready_cb = None  # type: ignore[attr-defined]
