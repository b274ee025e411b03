"""The event streams that are open, and their end when the server shuts down.

A web server that is told to stop waits for the responses that are under way, and only then tells the application
(uvicorn does, for ever by default). A response without an end must therefore learn of the signal itself. So while any
stream is open, SIGTERM and SIGINT pass through here on their way to whoever handles them.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from types import FrameType

__all__ = ["Ending", "OpenStreams", "close_event_streams"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_STAYS_CLOSED: Final = 10.0
"""Seconds for which new streams end at once, too: a server may still accept some after the signal."""


class Ending:
    """Whether a stream is to end, and what wakes it for that."""

    def __init__(self) -> None:
        self.due = False
        self._wait: asyncio.Timeout | None = None

    def end(self) -> None:
        """Let it end."""
        self.due = True
        # One that has just run out can be changed no more, and need not be.
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


class OpenStreams:
    """Those of one event loop."""

    def __init__(self) -> None:
        self._ends: dict[object, Callable[[], None]] = {}
        self._closed_until = 0.0
        self._passed_on: dict[int, Any] = {}

    @classmethod
    def of_this_loop(cls) -> OpenStreams:
        """Those of the running loop."""
        loop = asyncio.get_running_loop()
        found = _BY_LOOP.get(loop)
        if found is None:
            found = _BY_LOOP[loop] = cls()
        return found

    def __len__(self) -> int:
        return len(self._ends)

    @contextlib.contextmanager
    def one(self, end: Callable[[], None]) -> Iterator[None]:
        """While this context is open, so is a stream; `end` is called on the loop when that should end, or at once."""
        token = object()
        if not self._ends:
            self._listen()
        self._ends[token] = end
        try:
            if asyncio.get_running_loop().time() < self._closed_until:
                end()
            yield
        finally:
            del self._ends[token]
            if not self._ends:
                self._stop_listening()

    def close(self) -> None:
        """Have all of them end."""
        self._closed_until = asyncio.get_running_loop().time() + _STAYS_CLOSED
        for end in [*self._ends.values()]:
            end()

    def _listen(self) -> None:
        # Only the main thread may; a server that runs in another one gets no signals either.
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
            # Where the signal simply ends the process, or is ignored, there is no server that would wait.
            if callable(before) and before is not signal.default_int_handler:
                self._passed_on[number] = before
                signal.signal(number, pass_on)
        self._ours = pass_on

    def _stop_listening(self) -> None:
        if not self._passed_on:
            return
        for number, before in self._passed_on.items():
            # If somebody put a handler of his own in front of ours meanwhile, it stays.
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
