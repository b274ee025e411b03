"""The event streams that are open, and their end when the server shuts down.

A web server that is stopped waits for open responses first, and stops the application afterwards (uvicorn waits for
ever by default). A response without an end must therefore notice the signal itself. So while any stream is open, this
module handles SIGTERM and SIGINT first, and passes them on to the handler that was there before.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from kinformer.cache._compact.malloc_trim import give_back_free_memory

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Iterator
    from types import FrameType

    from kinformer.informer import SharedInformer

__all__ = ["MOST_STREAMS", "STALL_SECONDS", "Ending", "OpenStreams", "close_event_streams"]

MOST_STREAMS: Final = 1000
"""The most event streams that one event loop serves at a time; further requests are answered 503."""

STALL_SECONDS: Final = 30.0
"""The longest time in seconds that a reader may take nothing. Then its stream ends, and its backlog is freed.

A browser reconnects by itself, with the version that it knows."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_STAYS_CLOSED: Final = 10.0
"""Seconds for which new streams end at once, too: a server may still accept some after the signal."""


_SETTLE: Final = 0.5


class Ending:
    """Says whether a stream is to end, and wakes it for that."""

    def __init__(self) -> None:
        self.due = False
        self._wait: asyncio.Timeout | None = None

    def end(self) -> None:
        """End the stream."""
        self.due = True
        # A timeout that has just expired cannot be rescheduled, and need not be.
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(0.0)

    @contextlib.asynccontextmanager
    async def or_after(self, seconds: float) -> AsyncGenerator[None, None]:
        """Wait inside; the wait is cut short when the stream is to end, or after so many seconds.

        Raises:
            TimeoutError: it was.
        """
        async with asyncio.timeout(0 if self.due else seconds) as wait:
            self._wait = wait
            try:
                yield
            finally:
                self._wait = None

    async def or_synced(self, informer: SharedInformer, seconds: float) -> bool:
        """Wait until the cache of an informer is in sync or the stream is to end; return false after so many seconds.

        Raises:
            StoppedError: the informer has ended.
        """
        if informer.has_synced or self.due:
            return True
        try:
            async with self.or_after(seconds):
                await informer.synced()
        except TimeoutError:
            return self.due
        return True


class OpenStreams:
    """The open streams of one event loop."""

    def __init__(self) -> None:
        self._ends: dict[object, tuple[object, Callable[[], None]]] = {}
        self._stalled: set[object] = set()
        self._closed_until = 0.0
        self._passed_on: dict[int, Any] = {}

    @classmethod
    def of_this_loop(cls) -> OpenStreams:
        """Return those of the running loop."""
        loop = asyncio.get_running_loop()
        found = _BY_LOOP.get(loop)
        if found is None:
            found = _BY_LOOP[loop] = cls()
        return found

    def __len__(self) -> int:
        """Return how many streams are open, without those whose readers have stalled."""
        return len(self._ends) - len(self._stalled)

    @contextlib.contextmanager
    def one(self, end: Callable[[], None], owner: object = None) -> Iterator[Callable[[], None]]:
        """While this context is open, so is a stream.

        Args:
            end: called on the loop when the stream should end, possibly at once.
            owner: what the stream reads; see `close_those_of`.

        Yields:
            A function to call when the reader has stalled: the stream counts no longer, and is still ended.
        """
        token = object()
        if not self._ends:
            self._listen()
        self._ends[token] = (owner, end)
        try:
            if asyncio.get_running_loop().time() < self._closed_until:
                end()
            yield lambda: self._set_aside(token)
        finally:
            del self._ends[token]
            self._stalled.discard(token)
            self._give_back()
            if not self._ends:
                self._stop_listening()

    def _set_aside(self, token: object) -> None:
        self._stalled.add(token)
        # Later, when the stream has released its backlog.
        asyncio.get_running_loop().call_later(_SETTLE, self._give_back)

    def _give_back(self) -> None:
        if not len(self):
            give_back_free_memory()

    def close(self) -> None:
        """End all streams, and those that are opened in the next seconds."""
        self._closed_until = asyncio.get_running_loop().time() + _STAYS_CLOSED
        for _, end in [*self._ends.values()]:
            end()

    def close_those_of(self, owners: Collection[object]) -> None:
        """End the streams that read one of these; others on the same loop go on."""
        for owner, end in [*self._ends.values()]:
            if any(owner is one for one in owners):
                end()

    def _listen(self) -> None:
        # Only the main thread may set handlers; a server in another thread gets no signals either.
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def pass_on(number: int, frame: FrameType | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.close)
            before = self._passed_on.get(number)
            if callable(before):
                before(number, frame)

        for number in _SIGNALS:
            before = signal.getsignal(number)
            # If the signal ends the process or is ignored, no server waits.
            if callable(before) and before is not signal.default_int_handler:
                self._passed_on[number] = before
                signal.signal(number, pass_on)
        self._ours = pass_on

    def _stop_listening(self) -> None:
        if not self._passed_on:
            return
        for number, before in self._passed_on.items():
            # A handler that was put in front of ours meanwhile stays.
            if signal.getsignal(number) is self._ours:
                signal.signal(number, before)
        self._passed_on.clear()


_BY_LOOP: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, OpenStreams]] = weakref.WeakKeyDictionary()


def close_event_streams() -> None:
    """End all event streams of the running loop, as SIGTERM and SIGINT do.

    For a server that is stopped otherwise, before it waits for its open responses: `server.should_exit = True` of an
    embedded uvicorn. Streams that are opened in the next 10 seconds end at once.
    """
    OpenStreams.of_this_loop().close()
