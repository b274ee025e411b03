"""The batches of an open watch: reads the socket, with the patience that an event gets, and feeds a decoder.

The decoder is pure (`kinformer.client._decoding.watches`). Here are the waits: for the next bytes, for the rest of an
event that has begun, and for the loop's other tasks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeAlias

from kinformer._time_slice import TimeSlice
from kinformer.client._http.limits import EVENT_WITHIN
from kinformer.errors import ProtocolError, TransportTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.client._http.response_parser import Pieces
    from kinformer.client._http.watch_body import WatchBody
    from kinformer.errors import KinformerError
    from kinformer.listwatch import WatchBatch

__all__ = ["Decoder", "TakeBatch", "WatchStream"]

TakeBatch: TypeAlias = "Callable[[WatchBatch, bool], None]"
"""Takes a batch, and whether the loop passes it, outside of all tasks."""


class Decoder(Protocol):
    """The part of a decoder that a `WatchStream` uses."""

    @property
    def ended(self) -> bool:
        """True if an ERROR event has ended the stream."""
        ...

    @property
    def behind(self) -> bool:
        """True if `go_on` has more to give before anything else is fed."""
        ...

    @property
    def incomplete(self) -> bool:
        """True if an event has begun and not ended."""
        ...

    def begin(self, data: Pieces | bytes) -> list[WatchBatch]:
        """Take the bytes of one read, and give the completed batches, as many as one turn of the loop should take."""
        ...

    def go_on(self) -> list[WatchBatch]:
        """Give more of what the last read completed."""
        ...

    def close(self) -> list[WatchBatch]:
        """Take the end of the stream."""
        ...


class WatchStream:
    """The batches of an open watch, as an asynchronous iterator.

    Nothing is awaited per event. When cancelled in `__anext__`, no read bytes are lost: the next call goes on.

    Args:
        body: the bytes of the watch.
        decoder: makes batches of them.
        silence: seconds without an event or bookmark after which the watch is given up, though empty lines come.
    """

    __slots__ = ("_body", "_decoder", "_empty_since", "_eof", "_incomplete_since", "_ready", "_silence", "_take_batch")

    def __init__(self, body: WatchBody, decoder: Decoder, *, silence: float) -> None:
        self._body = body
        self._decoder = decoder
        self._silence = silence
        self._empty_since: float | None = None  # when the first bytes came that were empty lines, after the last event
        self._ready: list[WatchBatch] = []  # in reverse
        self._eof = False
        self._incomplete_since: float | None = None
        self._take_batch: TakeBatch | None = None

    def __aiter__(self) -> WatchStream:
        return self

    async def __anext__(self) -> WatchBatch:
        if not await self._fill():
            raise StopAsyncIteration
        return self._ready.pop()

    async def deliver(self, take: TakeBatch) -> KinformerError | None:
        """Pass each batch to a function as it comes, until the stream ends; return the error that ended it, if any.

        Batches of a few events are passed by the loop itself, while the caller waits. All others are passed by the
        caller's task, in time slices. Cancelling this loses no event.

        Args:
            take: called with a batch, and true if the loop calls it.

        Raises:
            TransportError: the stream broke.
            Exception: an exception of `take`.
        """
        time_slice = TimeSlice()
        self._take_batch = take
        while await self._fill(self._push):
            await time_slice.begin()
            batch = self._ready.pop()
            take(batch, False)
            error = batch.error
            del batch  # a quiet watch holds no events, with the sections that were read
            if error is not None:
                return error
        return None

    async def _fill(self, push: Callable[[Pieces], bool] | None = None) -> bool:
        """Read until at least one batch is ready; return false at the end of the stream."""
        while not self._ready:
            if self._eof or self._decoder.ended:
                return False
            if self._decoder.behind:
                await asyncio.sleep(0)
                self._ready = self._ended(self._decoder.go_on())[::-1]
            elif not await self._read(push):
                self._eof = True
                self._ready = self._decoder.close()[::-1]
        return True

    async def _read(self, push: Callable[[Pieces], bool] | None) -> bool:
        patience = self._patience()
        try:
            going_on = await self._body.read(self._take, push, patience)
        except TransportTimeoutError as error:
            if self._incomplete_since is None or not error.answered:
                raise
            raise _unended() from error
        if self._ready or not going_on or self._decoder.behind or self._decoder.incomplete:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = asyncio.get_running_loop().time()
        return going_on

    def _patience(self) -> float | None:
        """Return the seconds that the rest of an event, or the next one after empty lines, may still take, if any.

        Raises:
            ProtocolError: that time is over.
        """
        if not self._decoder.incomplete:
            self._incomplete_since = None
            if self._empty_since is None:
                return None
            left = self._empty_since + self._silence - asyncio.get_running_loop().time()
            if left <= 0:
                msg = f"a watch has sent nothing but empty lines for {self._silence:g} s"
                raise ProtocolError(msg)
            return left
        now = asyncio.get_running_loop().time()
        if self._incomplete_since is None:
            self._incomplete_since = now
        left = self._incomplete_since + EVENT_WITHIN - now
        if left <= 0:
            raise _unended()
        return left

    def _take(self, pieces: Pieces) -> None:
        self._ready = self._ended(self._decoder.begin(pieces))[::-1] + self._ready

    def _ended(self, batches: list[WatchBatch]) -> list[WatchBatch]:
        """Take note of events that have ended: one that is incomplete now has begun after them."""
        if batches:
            self._incomplete_since = None
        return batches

    def _push(self, pieces: Pieces) -> bool:
        """Pass on the batches in some pieces; return whether something is left for `deliver`."""
        take, decoder = self._take_batch, self._decoder
        assert take is not None
        was_incomplete = self._incomplete_since is not None
        batches = decoder.begin(pieces)
        if batches:
            # An event has ended: one that is incomplete now has begun after it.
            self._empty_since = self._incomplete_since = None
        for place, batch in enumerate(batches):
            if batch.error is not None:
                self._ready = batches[place:][::-1]
                break
            take(batch, True)
        if not batches and not decoder.incomplete:
            return True  # empty lines: `_read` looks at the clock
        return bool(self._ready) or decoder.behind or decoder.ended or decoder.incomplete or was_incomplete


def _unended() -> ProtocolError:
    # The cache is listed then: another watch would meet the same event.
    return ProtocolError(f"an event of a watch has not ended {EVENT_WITHIN:g} s after it began")
