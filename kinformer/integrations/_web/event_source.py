"""A cache's events as server-sent events (HTML, 9.2), which a browser reads with `EventSource`.

    event: reset            forget all objects (not when resuming)
    event: added            data: the object
    event: updated          data: the object
    event: deleted          data: apiVersion, kind, metadata with name, namespace and uid
    event: synced           all that existed (or was missed) has been sent; news follows
    id: 12345               everything up to this resource version has been sent

An id comes by itself, after its events. A browser that reconnects sends it in `Last-Event-ID`, and receives the changes
since then: everything that it missed, possibly also something that it knows. Events are upserts by name.

A reader that is slower than the events receives the newest state of each object, so its backlog is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING, Final

from kinformer._survivable import is_survivable
from kinformer._time_slice import TimeSlice
from kinformer.errors import StoppedError
from kinformer.events import Added, Deleted, Updated
from kinformer.integrations._web.answers import PIECE_BYTES
from kinformer.integrations._web.sse import (
    HEARTBEAT_SECONDS,
    NOT_IN_SYNC,
    RESET,
    RETRY,
    SYNCED,
    frame,
    frame_of_json,
    position,
)
from kinformer.objects import version_number

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

    from kinformer.events import Event
    from kinformer.informer import SharedInformer
    from kinformer.integrations._web.open_streams import Ending
    from kinformer.integrations._web.selection import Selection
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.resources import Resource

__all__ = ["event_source"]

_log = logging.getLogger(__name__)

_MOST_DELETIONS: Final = 10_000
"""The most deletions that are remembered for reconnecting readers; after more of them, everything is sent anew."""


_LONGEST_VERSION: Final = 20
"""Digits: etcd's revisions are 64-bit integers. A longer number need not be read."""


class _Journal:
    """The objects of a cache that changed since a version, from the start of the journal on."""

    def __init__(self, informer: SharedInformer) -> None:
        self._informer = weakref.ref(informer)
        self._since = version_number(informer.resource_version)
        # By key: the version after which it changed last, and after which it came.
        self._touched: dict[ObjectKey, tuple[int, int]] = {}
        self._gone: dict[ObjectKey, tuple[int, str]] = {}
        self._registration = informer.add_event_handler(
            self._record, resync=0, delivery="latest", name="event journal of kinformer.integrations"
        )

    async def caught_up(self) -> None:
        """Wait until the journal has all events up to this call."""
        while self._registration.waiting and not self._registration.removed:  # noqa: ASYNC110 - others' turn, no wait
            await asyncio.sleep(0)

    def reaches_back_to(self, version: int, now: int) -> bool:
        """Return whether the journal has everything between that version and now."""
        return self._since <= version <= now

    def touched_since(self, version: int) -> Iterator[tuple[ObjectKey, bool]]:
        """Yield the objects that changed and still exist, and whether they were created since."""
        for key, (at, came) in [*self._touched.items()]:
            if at >= version:
                yield key, came >= version

    def gone_since(self, version: int) -> Iterator[tuple[ObjectKey, str]]:
        """Yield keys and uids of deleted objects."""
        for key, (at, uid) in [*self._gone.items()]:
            if at >= version:
                yield key, uid

    def _record(self, event: Event) -> None:
        informer = self._informer()
        if informer is None or (isinstance(event, Added) and event.initial):
            return
        # If it were too low, a client would miss the event; if it is too high, the client receives it twice. A deletion
        # that only a list showed has no version of its own: it happened before that of the list.
        unseen = isinstance(event, Deleted) and not event.final_state_known
        position = informer.status.received_version if unseen else informer.resource_version
        at = max(version_number(position), version_number(event.obj.resource_version))
        key = event.key
        _, came = self._touched.pop(key, (0, -1))
        if isinstance(event, Deleted):
            self._gone.pop(key, None)
            self._gone[key] = (at, event.obj.uid)
            if len(self._gone) > _MOST_DELETIONS:
                forgotten, _ = self._gone.pop(next(iter(self._gone)))
                self._since = max(self._since, forgotten + 1)
            return
        self._gone.pop(key, None)
        self._touched[key] = (at, at if isinstance(event, Added) else came)


_ATTRIBUTE: Final = "_kinformer_event_journal"


def _journal_of(informer: SharedInformer) -> _Journal:
    # A weak dictionary would hold every informer for ever: the registration of its journal refers to it.
    journal = getattr(informer, _ATTRIBUTE, None)
    if not isinstance(journal, _Journal):
        journal = _Journal(informer)
        setattr(informer, _ATTRIBUTE, journal)
    return journal


async def event_source(
    informer: SharedInformer,
    *,
    ending: Ending,
    selection: Selection,
    last_event_id: str = "",
    heartbeat: float = HEARTBEAT_SECONDS,
    render: Callable[[KubeObject], bytes] | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the stream, in pieces of about 64 KiB or of one event.

    The stream ends when the informer has ended.

    Args:
        informer: the source of the events. Until its cache has synced, the stream only sends signs of life.
        ending: ends the stream earlier.
        selection: the objects to send. An object that leaves it by a change is sent as deleted.
        last_event_id: the version up to which the client has everything; "" if it has nothing.
        heartbeat: the longest silence in seconds.
        render: returns the JSON to send of an object; by default the whole object.
    """
    write = _Frames(informer.resource, render or _whole, selection)
    yield RETRY
    try:
        while not await ending.or_synced(informer, heartbeat):
            yield NOT_IN_SYNC
        if ending.due:
            return
        stream = informer.events(delivery="latest", initial=False)
    except StoppedError:
        return
    async with stream:
        # In the same turn of the loop: the stream of all later events, and a snapshot of the cache.
        there = informer.snapshot()
        version = there.resource_version
        journal = _journal_of(informer)
        await journal.caught_up()
        since = _version_of(last_event_id)
        if since is not None and journal.reaches_back_to(since, version_number(version)):
            frames = write.missed(journal, since, informer)
        else:
            frames = write.all(there.values())
        del there
        async for piece in _in_pieces(frames, ending):
            yield piece
        while not ending.due:
            yield position(version)
            try:
                async with ending.or_after(heartbeat):
                    first = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                # The version also advances in silence.
                version = informer.resource_version
                continue
            # In one turn of the loop: all waiting events, and the version up to which they are complete.
            events = [first, *stream.take_waiting()]
            version = informer.resource_version
            async for piece in _in_pieces((frame for event in events for frame in write.event(event)), ending):
                yield piece


class _Frames:
    """Writes the frames of each event."""

    def __init__(self, resource: Resource, render: Callable[[KubeObject], bytes], selection: Selection) -> None:
        self._resource = resource
        self._render = render
        self._failures = 0
        self._selection = selection

    def all(self, objects: Iterable[KubeObject]) -> Iterator[bytes]:
        """Yield everything in the cache."""
        yield RESET
        for obj in objects:
            if self._selection.has(obj):
                yield self._now(b"added", obj)
        yield SYNCED

    def missed(self, journal: _Journal, since: int, informer: SharedInformer) -> Iterator[bytes]:
        """Yield the changes since a version."""
        for key, uid in journal.gone_since(since):
            if self._selection.has_key(key):
                yield self._deleted(key, uid)
        for key, is_new in journal.touched_since(since):
            obj = informer.indexer.get_by_key(key)
            if obj is None or not self._selection.has_key(key):
                continue  # Deleted just now: that event comes next.
            yield self._now(b"added" if is_new else b"updated", obj) if self._selection.has(obj) else self._left(obj)
        yield SYNCED

    def event(self, event: Event) -> Iterator[bytes]:
        """Yield one event as a reader of the selection sees it."""
        has = self._selection.has
        match event:
            case Added(obj):
                if has(obj):
                    yield self._now(b"added", obj)
            case Updated(old, new):
                if has(new):
                    yield self._now(b"updated" if has(old) else b"added", new)
                elif has(old):
                    yield self._left(new)
            case Deleted(obj):
                if has(obj):
                    yield self._left(obj)

    def _now(self, kind: bytes, obj: KubeObject) -> bytes:
        try:
            return frame_of_json(kind, self._render(obj))
        except BaseException as error:
            if not is_survivable(error):
                raise
            # The reader has an older state of the object, or none; all others go on. Logged once per stream.
            self._failures += 1
            if self._failures == 1:
                _log.error("the event stream of %s leaves out objects: render raised", self._resource, exc_info=error)
            return b""

    def _left(self, obj: KubeObject) -> bytes:
        return self._deleted(obj.key, obj.uid)

    def _deleted(self, key: ObjectKey, uid: str) -> bytes:
        metadata = {"name": key.name, "namespace": key.namespace, "uid": uid}
        said = {"apiVersion": self._resource.api_version, "kind": self._resource.kind, "metadata": metadata}
        return frame("deleted", said)


async def _in_pieces(frames: Iterator[bytes], ending: Ending) -> AsyncGenerator[bytes, None]:
    """Join frames to pieces; other tasks run in between."""
    time_slice = TimeSlice()
    together: list[bytes] = []
    size = 0
    await time_slice.begin()
    for one in frames:
        if not one:
            continue
        together.append(one)
        size += len(one)
        if size >= PIECE_BYTES or time_slice.over:
            yield b"".join(together)
            together, size = [], 0
            await asyncio.sleep(0)
            if ending.due:
                return
            await time_slice.begin()
    if together:
        yield b"".join(together)


def _whole(obj: KubeObject) -> bytes:
    return obj.to_json()


def _version_of(last_event_id: str) -> int | None:
    """Return the version that a client names, or `None` for what no stream of ours ever sent."""
    plausible = len(last_event_id) <= _LONGEST_VERSION and last_event_id.isascii() and last_event_id.isdigit()
    return int(last_event_id) if plausible else None
