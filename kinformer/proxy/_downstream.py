"""One watch of a reader: the present objects if it asks for them, then each change, with bookmarks."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11

from kinformer._flag import Flag
from kinformer._time_slice import TimeSlice
from kinformer.proxy._bodies import bookmark_line, error_line, event_line, too_old

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from kinformer.proxy._selection import ListOptions
    from kinformer.proxy._watch_cache import WatchCache

__all__ = ["Fanout", "OpenWatch", "written"]

BOOKMARK_INTERVAL: Final = 60.0
"""Seconds between two bookmarks (apiserver pkg/storage/cacher, defaultBookmarkFrequency)."""

LAST_BOOKMARK: Final = 2.0
"""Seconds before the end of a watch at which it gets its last bookmark (the same, cache_watcher.go)."""

MIN_TIMEOUT: Final = 1800
"""Seconds that a watch lasts at least if its client names no time (kube-apiserver --min-request-timeout)."""

_UNSENT_LIMIT: Final = 1024 * 1024
"""Bytes of one watch that may wait in memory for a slow client."""

STALL_SECONDS: Final = 30.0
"""Seconds for which a client may take nothing. What waits for it is then freed, and its connection is cut."""

_CHANGES_AT_ONCE: Final = 500


async def written(request: web.BaseRequest, response: web.StreamResponse, data: bytes) -> None:
    """Write a part of a response; cut off a client that does not read.

    Raises:
        ConnectionError: the client has gone, or has taken nothing for `STALL_SECONDS`.
    """
    try:
        async with asyncio.timeout(STALL_SECONDS):
            await response.write(data)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        msg = f"the client has taken nothing for {STALL_SECONDS:g} s"
        raise ConnectionResetError(msg) from None


class Fanout:
    """Sends the changes of one cache to its open watches.

    Watches of everything that are at the same place are sent the same bytes, which are made once.

    Args:
        cache: the cache.
    """

    def __init__(self, cache: WatchCache) -> None:
        self.cache = cache
        self.watches: set[OpenWatch] = set()
        self.ending = False
        self._made: tuple[int, int, bytes] = (0, 0, b"")
        cache.listen(self._published)

    def end(self) -> None:
        """End all watches cleanly."""
        self.ending = True
        self._published()

    def whole(self, position: int) -> tuple[bytes, int]:
        """Return the lines of the next changes, and the number of the change after them."""
        cache = self.cache
        end = min(cache.next, position + _CHANGES_AT_ONCE)
        if self._made[:2] != (position, end):
            lines = b"".join([change.whole_line(cache.form) for change in cache.changes(position, end - position)])
            self._made = (position, end, lines)
        return self._made[2], end

    def _published(self) -> None:
        for watch in [*self.watches]:
            watch.push()
        # No other watch at this place needs these bytes.
        self._made = (0, 0, b"")


class OpenWatch:
    """One watch.

    Args:
        fanout: the fan-out of the resource.
        options: the options of the request.
        shape: turns lines of events into the form that the client takes; `None` for whole objects.
    """

    def __init__(self, fanout: Fanout, options: ListOptions, shape: Callable[[bytes], bytes] | None = None) -> None:
        self._shape = shape
        self._fanout = fanout
        self._cache = fanout.cache
        self._options = options
        self._is_whole = options.selection.is_whole
        self._epoch = self._cache.epoch
        self._position = 0
        self._bookmarked = options.version
        self._bookmarks = self._cache.bookmarks
        self._wakeup = Flag()
        self._idle = False
        self._transport: asyncio.Transport | None = None
        self._framed: Callable[[bytes], bytes] = chunk

    @property
    def behind(self) -> int:
        """The number of changes that are still to be sent."""
        return self._cache.next - self._position

    def push(self) -> None:
        """Send the changes at once if nothing else waits to be sent, else wake the task of the watch."""
        transport = self._transport
        if transport is not None and self._position < self._cache.first:
            # The client is too slow: its next changes are not kept any more. A clean end would wait for it, too.
            transport.abort()
        elif self._idle and self._goes_on and transport is not None:
            if self._position < self._cache.next and transport.get_write_buffer_size() < _UNSENT_LIMIT:
                lines = self._next_changes()
                if lines:
                    transport.write(self._framed(lines))
            if self._position == self._cache.next and self._bookmark_came:
                # As it came: it shows the reader that the API server is alive.
                transport.write(self._framed(self._bookmark()))
            if self._position == self._cache.next:
                return
        self._wakeup.set()

    async def serve(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Send the watch until its time is over, the client goes, or the cache begins anew."""
        cache, options = self._cache, self._options
        loop = asyncio.get_running_loop()
        lasting = options.timeout_seconds or random.uniform(MIN_TIMEOUT, 2 * MIN_TIMEOUT)  # noqa: S311 - no secret
        deadline = loop.time() + lasting
        # Both are taken before anything is awaited, so that no change is between them.
        present = cache.selected(options.selection) if options.present_first else []
        began_at = cache.version
        position = cache.next if options.present_first else cache.position(options.version)
        oldest = cache.oldest
        await response.prepare(request)
        # Not a subclass of asyncio's class with uvloop, and `None` if the client has gone.
        transport = request.transport
        if transport is None:
            return
        self._transport = transport
        if request.version < HttpVersion11:
            # The body has no chunks, and ends with the connection.
            self._framed = bytes
        if position is None:
            await response.write(error_line(too_old(options.version, oldest)))
            return
        self._position = position
        time_slice = TimeSlice()
        await time_slice.begin()
        for at in range(0, len(present), 50):
            lines = b"".join([event_line(b"ADDED", obj, cache.form) for obj in present[at : at + 50]])
            await written(request, response, self._shaped(lines))
            if time_slice.over:
                await time_slice.begin()
        if options.present_first:
            self._bookmarked = began_at
            if options.initial_events and options.bookmarks:
                await response.write(self._shaped(bookmark_line(cache.form, began_at, ends_initial=True)))
        del present
        self._fanout.watches.add(self)
        try:
            await self._follow(request, response, deadline)
        finally:
            self._fanout.watches.discard(self)

    @property
    def _goes_on(self) -> bool:
        cache = self._cache
        return self._epoch == cache.epoch and self._position >= cache.first and not self._fanout.ending

    async def _follow(self, request: web.BaseRequest, response: web.StreamResponse, deadline: float) -> None:
        cache, transport = self._cache, self._transport
        assert transport is not None
        clock = asyncio.get_running_loop().time
        bookmarks = self._options.bookmarks
        bookmark_at = min(clock() + BOOKMARK_INTERVAL, deadline - LAST_BOOKMARK)
        while self._goes_on and not transport.is_closing():
            if self._position < cache.next:
                # This waits while the client is slow.
                lines = self._next_changes()
                if lines:
                    await written(request, response, lines)
                # A long way behind, the other watches have their turns in between.
                await asyncio.sleep(0)
                continue
            now = clock()
            if now >= deadline:
                return
            if self._bookmark_came:
                await response.write(self._bookmark())
                continue
            if bookmarks and now >= bookmark_at:
                if cache.version > self._bookmarked:
                    await response.write(self._bookmark())
                late = now >= deadline - LAST_BOOKMARK
                bookmark_at = deadline if late else min(now + BOOKMARK_INTERVAL, deadline - LAST_BOOKMARK)
                continue
            self._wakeup.clear()
            self._idle = True
            try:
                async with asyncio.timeout_at(min(deadline, bookmark_at) if bookmarks else deadline):
                    await self._wakeup.wait()
            except TimeoutError:
                continue
            finally:
                self._idle = False

    @property
    def _bookmark_came(self) -> bool:
        return self._options.bookmarks and self._bookmarks != self._cache.bookmarks

    def _bookmark(self) -> bytes:
        """Return a bookmark of the version that the cache has reached."""
        self._bookmarked = self._cache.version
        self._bookmarks = self._cache.bookmarks
        return self._shaped(bookmark_line(self._cache.form, self._cache.version))

    def _next_changes(self) -> bytes:
        """Return the lines of the next changes, b"" if none is for this watch, and go on behind them."""
        if self._is_whole:
            made, self._position = self._fanout.whole(self._position)
            return self._shaped(made)
        end = min(self._cache.next, self._position + _CHANGES_AT_ONCE)
        lines = b"".join(self._selected(end))
        self._position = end
        return self._shaped(lines)

    def _shaped(self, lines: bytes) -> bytes:
        return lines if self._shape is None or not lines else self._shape(lines)

    def _selected(self, end: int) -> Iterator[bytes]:
        for change in self._cache.changes(self._position, end - self._position):
            line = change.selected_line(self._options.selection, self._cache.form)
            if line is not None:
                yield line


def chunk(body: bytes) -> bytes:
    """Return a chunk of HTTP/1.1 (RFC 9112, 7.1). It may not be empty: an empty one ends the body."""
    return b"%x\r\n%s\r\n" % (len(body), body)
