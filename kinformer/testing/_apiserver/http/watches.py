"""Watches: from a version on, in order, with bookmarks, until the client, the clock or a fault ends them."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from kinformer.testing._apiserver.http.reads import selection_of
from kinformer.testing._apiserver.http.views import bookmark_bytes, object_bytes
from kinformer.testing._apiserver.http.watch_streams import refused_handshake, sink_of, wants_websocket
from kinformer.testing._apiserver.schemas import protobuf
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.custom_versions import UnconvertedError
from kinformer.testing._apiserver.store.storage import Change, Stored, encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from aiohttp import web

    from kinformer.testing._apiserver.http.requests import ListOptions, Target
    from kinformer.testing._apiserver.store.storage import Store
    from kinformer.testing.faults import Faults

__all__ = ["OpenWatch"]

MIN_TIMEOUT: Final = 1800
"""Seconds a watch lasts at least when its client names no time (kube-apiserver --min-request-timeout)."""

LAST_BOOKMARK: Final = 2.0
"""Seconds before its end at which a watch gets its last bookmark (apiserver storage/cacher, cache_watcher.go)."""


_UNCOMPRESSED: Final = {"1.36"}
"""The releases that compress no watch (the feature WatchListCompression began in 1.37)."""


class _Unconverted(NamedTuple):
    """An event whose object a webhook must convert."""

    kind: str
    stored: Stored
    first: bool


class OpenWatch:
    """One watch that is open.

    Attributes:
        target: the resource or object that is watched.
        query: the request's query.
        user: the name of the user.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        options: ListOptions,
        *,
        query: dict[str, str],
        user: str,
        view: str,
        in_protobuf: bool = False,
        bookmark_interval: float,
        clock: Callable[[], datetime],
        faults: Faults,
        convert: Callable[[UnconvertedError], Awaitable[None]],
    ) -> None:
        """Validate, and collect the present state to send; nothing is missed from here on.

        Raises:
            Refusal: it cannot be opened.
        """
        self.target = target
        self.query = query
        self.user = user
        self._store = store
        self._kind = target.kind
        self._options = options
        self._view = view
        self._in_protobuf = in_protobuf and view != "Table"
        self._clock = clock
        self._faults = faults
        self._bookmark_interval = bookmark_interval
        self._scope = selection_of(target, options)
        self._start = options.version(watch=True)
        self._convert = convert
        self._waiting: list[bytes | _Unconverted] = []
        self._first = True
        self._sent = self._start
        self._bookmarked = 0
        self._wakeup = asyncio.Event()
        self._ending = False
        self._dropped = False
        self._cut = False
        self._moving = asyncio.Event()
        if not faults.freezes_new:
            self._moving.set()
        self._request: web.BaseRequest | None = None
        self._stop_listening = self._begin()

    def __repr__(self) -> str:
        return f"<OpenWatch of {self._kind.plural} in {self.target.namespace or 'all namespaces'} {self.query}>"

    def end(self) -> None:
        """End the stream cleanly, after the waiting events."""
        self._ending = True
        self._wakeup.set()

    def drop(self) -> None:
        """Cut the connection, as a network does."""
        self._stop_listening()
        self._dropped = True
        self._moving.set()
        if self._request is not None and self._request.transport is not None:
            self._request.transport.abort()
        self._ending = True
        self._wakeup.set()

    def freeze(self) -> None:
        """Stay open, and send nothing."""
        self._moving.clear()

    def thaw(self) -> None:
        """Go on, with the events that have waited."""
        self._moving.set()

    def cut_mid_line(self) -> None:
        """Cut the connection in the middle of an event, after the waiting events."""
        self._cut = True
        self.end()

    def send(self, line: bytes) -> None:
        """Send any bytes in the stream, for faults."""
        self._waiting.append(line)
        self._wakeup.set()

    def refuse(self, refusal: status.Refusal) -> None:
        """Send an ERROR event, and end."""
        self._waiting.append(self._frame("ERROR", msgspec.json.encode(refusal.body)))
        self.end()

    def bookmark(self) -> None:
        """Send a bookmark of the present version now, if the client takes bookmarks and has none of that version."""
        if self._options.bookmarks and self._bookmarked < self._store.revision:
            self._bookmark()
            self._wakeup.set()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer the request; returns when the watch has ended."""
        self._request = request
        loop = asyncio.get_running_loop()
        lasting = self._options.timeout_seconds
        deadline = loop.time() + (lasting or random.uniform(MIN_TIMEOUT, 2 * MIN_TIMEOUT))  # noqa: S311
        # From 1.37 on, streaming lists are compressed (WatchListCompression; endpoints/handlers/watch.go).
        compressible = self._options.send_initial_events and self._kind.types.release not in _UNCOMPRESSED
        sink = sink_of(request, in_protobuf=self._in_protobuf, compressible=compressible, gone=self.drop)
        try:
            if wants_websocket(request) and (refused := refused_handshake(request)) is not None:
                return refused
            await sink.begin(request)
            reached = loop.time()
            bookmark_at = self._next_bookmark(reached, deadline)
            while True:
                await self._moving.wait()
                if self._waiting:
                    lines, self._waiting = self._waiting, []
                    await sink.send([line for waiting in lines if (line := await self._line(waiting))])
                    continue
                # A timeout comes early by up to one step of the clock.
                now = max(loop.time(), reached)
                if self._ending or now >= deadline:
                    break
                if self._options.bookmarks and now >= bookmark_at:
                    self._bookmark()
                    bookmark_at = deadline if now >= deadline - LAST_BOOKMARK else self._next_bookmark(now, deadline)
                    continue
                self._wakeup.clear()
                until = min(deadline, bookmark_at) if self._options.bookmarks else deadline
                try:
                    async with asyncio.timeout_at(until):
                        await self._wakeup.wait()
                except TimeoutError:
                    reached = until
                    continue
            if self._cut and request.transport is not None:
                await sink.send_half()
                request.transport.close()
            elif not self._dropped:
                await sink.end()
        except ConnectionError:
            # The client has gone, or a fault cut the connection.
            pass
        finally:
            self._stop_listening()
            await sink.close()
        return sink.answer

    def _next_bookmark(self, now: float, deadline: float) -> float:
        """The time of the next bookmark; the end of a watch that lasts too short for one."""
        at = min(now + self._bookmark_interval, deadline - LAST_BOOKMARK)
        return deadline if at < now else at

    def _begin(self) -> Callable[[], None]:
        store, storage = self._store, self._kind.storage
        if self._options.send_initial_events and not self._faults.streaming_lists:
            raise status.streaming_lists_forbidden()
        if self._options.send_initial_events or self._start == 0:
            for key, stored in store.listed(storage, self._scope.namespace):
                if self._selects(key[0], stored):
                    self._event("ADDED", stored)
            self._sent = store.revision
            if self._options.send_initial_events and self._options.bookmarks and self._faults.end_bookmarks:
                self._bookmark(ends_initial=True)
        elif self._start < store.watchable_from:
            self.refuse(status.version_expired(self._start, store.watchable_from))
            return lambda: None
        else:
            for change in store.since(storage, self._start):
                self._changed(change)
        return store.listen(storage, self._changed, self._scope.namespace)

    def _changed(self, change: Change) -> None:
        if change.revision <= self._start:
            # Watched from a version that is yet to come.
            return
        now = self._selects(change.key[0], change.new)
        before = change.old is not None and self._selects(change.key[0], change.old)
        if change.kind == "DELETED":
            if before:
                self._event("DELETED", change.new)
        elif now:
            self._event("MODIFIED" if before else "ADDED", change.new)
        elif before and change.old is not None:
            # It left the selection: gone, with its last selected state, at the version of the change that took it out.
            self._event("DELETED", self._at_version(change.old, change.revision))

    def _selects(self, namespace: str, stored: Stored) -> bool:
        scope = self._scope
        if scope.namespace and scope.namespace != namespace:
            return False
        return scope.selects is None or scope.selects(stored.manifest)

    def _at_version(self, stored: Stored, revision: int) -> Stored:
        metadata = stored.manifest["metadata"] | {"resourceVersion": str(revision)}
        manifest: dict[str, Any] = stored.manifest | {"metadata": metadata}
        return Stored(manifest, encode(manifest, custom=self._kind.custom), revision)

    def _event(self, kind: str, stored: Stored) -> None:
        metadata = stored.manifest["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        stored = self._faults.disguised(self._kind.plural, key, stored, custom=self._kind.custom)
        try:
            line: bytes | _Unconverted = self._framed(kind, stored, first=self._first)
        except UnconvertedError:
            line = _Unconverted(kind, stored, self._first)
        self._first = False
        self._waiting.extend([line] * self._faults.times_sent)
        self._sent = stored.revision
        self._wakeup.set()

    def _framed(self, kind: str, stored: Stored, *, first: bool) -> bytes:
        return self._frame(kind, object_bytes(self._kind, stored, self._view, now=self._clock(), first=first))

    async def _line(self, line: bytes | _Unconverted) -> bytes:
        """An event as it is sent, after its object is converted if need be."""
        if isinstance(line, bytes):
            return line
        while not self._ending:
            try:
                return self._framed(line.kind, line.stored, first=line.first)
            except UnconvertedError as error:
                try:
                    await self._convert(error)
                except status.Refusal as refusal:
                    self.end()
                    return self._frame("ERROR", msgspec.json.encode(refusal.body))
        return b""

    def _bookmark(self, *, ends_initial: bool = False) -> None:
        """Send a bookmark of the version that the watch has reached; no version is sent twice."""
        revision = self._store.revision
        if not ends_initial and revision <= self._start:
            return
        self._bookmarked = revision
        body = bookmark_bytes(self._kind, revision, self._view, ends_initial=ends_initial, now=self._clock())
        self._waiting.append(self._frame("BOOKMARK", body))

    def _frame(self, kind: str, body: bytes) -> bytes:
        """One event as it is sent: a line of JSON, or a message of protobuf with its length in front."""
        if self._in_protobuf:
            encoded = protobuf.encode(msgspec.json.decode(body), self._kind.types)
            if encoded is not None:
                return protobuf.encode_watch_event(kind, encoded)
        return b'{"type":"%s","object":%s}\n' % (kind.encode(), body)
