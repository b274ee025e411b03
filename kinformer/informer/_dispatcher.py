"""From the FIFO into the cache, and on to those who listen: handlers, iterators, and who waits for an object."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING, Final

from kinformer._own_writes.pending import PendingWrites
from kinformer._time_slice import TimeSlice
from kinformer.cache._compact.malloc_trim import give_back_free_memory
from kinformer.cache._process_deltas import apply_changes
from kinformer.events import Updated
from kinformer.informer._pace import Pace
from kinformer.informer._waiters import Waiters
from kinformer.status import Changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.cache._informer_indexer import InformerIndexer
    from kinformer.cache.delta_fifo import Delta, DeltaFIFO, Deltas
    from kinformer.events import Event
    from kinformer.informer._event_feed import EventFeed
    from kinformer.informer._handler_task import HandlerTask

__all__ = ["Dispatcher"]

_log = logging.getLogger(__name__)

# How many keys are taken between two looks at the clock: some 50 µs, unless index functions are slow.
_KEYS_PER_CLOCK: Final = 32

# The C library keeps freed memory that lies between blocks in use. After so many bytes of deletions it is made to give
# it back, which takes some milliseconds per 100 MB; and a little later, when the events of the deletions are handled.
_WORTH_GIVING_BACK: Final = 32 << 20
_SETTLING_SECONDS: Final = 1.0

# So many events at once may wait with what index functions decoded of them. Of a larger batch most would wait for long:
# their memory would be cold when it is read, and full of what the garbage collector walks over.
_SHARED: Final = 16


class Dispatcher:
    """Changes the cache first, then tells; everybody in the order in which it happened.

    Args:
        fifo: what is to happen.
        indexer: the cache.
        name: the informer's, for logs.
        on_synced: called once, when the first list is completely in the cache.
        on_listed: called when one more list is completely in the cache, with the number of all such lists.
    """

    def __init__(
        self,
        fifo: DeltaFIFO,
        indexer: InformerIndexer,
        *,
        name: str,
        on_synced: Callable[[], None],
        on_listed: Callable[[int], None],
    ) -> None:
        self.has_synced = False
        self.resource_version = ""
        """Everything up to this version is in the cache. "" before the first list."""
        self.lists = 0
        """How many lists are completely in the cache."""
        self.waiters = Waiters(indexer.get_by_key)
        self.pending_writes = PendingWrites(indexer.get_by_key, lambda: self.resource_version)
        self.told = 0
        """How many events there were to tell."""
        self.deletions = 0
        """How many of them were deletions."""
        self._pace = Pace()
        self._fifo = fifo
        self._indexer = indexer
        self._name = name
        self._on_synced = on_synced
        self._on_listed = on_listed
        self._registrations: list[HandlerTask] = []
        self._streams: weakref.WeakSet[EventFeed] = weakref.WeakSet()
        self._group: asyncio.TaskGroup | None = None

    @property
    def changes(self) -> Changes:
        """How often the cache was changed. Nothing is counted per kind: what was added and not deleted is there."""
        added = len(self._indexer) + self.deletions
        return Changes(added, self.told - added - self.deletions, self.deletions)

    @property
    def handlers(self) -> tuple[HandlerTask, ...]:
        """The registered handlers."""
        return tuple(self._registrations)

    def register(self, registration: HandlerTask) -> None:
        """Add a handler; what is in the cache already is the first it hears of."""
        registration.pace = self._pace
        self._bring_up_to_date(registration)
        self._registrations.append(registration)
        if self._group is not None:
            self._start(registration, self._group)

    def forget(self, registration: HandlerTask) -> None:
        """Tell a handler nothing more."""
        if registration in self._registrations:
            self._registrations.remove(registration)

    def attach(self, stream: EventFeed, *, initial: bool) -> None:
        """Add an iterator, for as long as somebody holds it; with `initial` it begins with what is in the cache."""
        if initial:
            self._bring_up_to_date(stream)
        stream.pace = self._pace
        self._streams.add(stream)

    def detach(self, stream: EventFeed) -> None:
        """Tell an iterator nothing more."""
        self._streams.discard(stream)

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Take what comes into the FIFO, for ever, in slices; handlers run in tasks of the group."""
        self._group = group
        for registration in self._registrations:
            self._start(registration, group)
        fifo, indexer = self._fifo, self._indexer
        clock = asyncio.get_running_loop().time
        time_slice = TimeSlice()
        while True:
            await fifo.wait()
            more = True
            while more:
                until = await time_slice.begin()
                events: list[Event] = []
                changes: list[Delta | Deltas] = []
                while more:
                    changes, initial = fifo.take(_KEYS_PER_CLOCK)
                    self.deletions += apply_changes(changes, indexer, events, initial=initial)
                    more = len(fifo) > 0
                    if clock() >= until:
                        break
                self._tell(events)
                del events, changes

    def close(self) -> None:
        """Let handlers and iterators end."""
        self._group = None
        for listener in self._listeners():
            listener.close()
        self._registrations.clear()

    def _start(self, registration: HandlerTask, group: asyncio.TaskGroup) -> None:
        registration.start(group)
        if registration.resync:
            name = f"kinformer resync {registration.name}"
            registration.end_with(group.create_task(self._resync(registration), name=name))

    def _bring_up_to_date(self, listener: HandlerTask | EventFeed) -> None:
        """What is in the cache, for one who comes late; nothing can happen between this and what follows."""
        if len(self._indexer):
            listener.put_initial(self._indexer.copy())
        if self.has_synced:
            listener.put_mark()

    def _tell(self, events: list[Event]) -> None:
        if events:
            self.told += len(events)
            registrations, streams = self._registrations, self._streams
            lagging = (
                len(events) > _SHARED
                or any(registration.waiting for registration in registrations)
                or any(stream.waiting for stream in streams)
            )
            if lagging and len(self._indexer.index_names) > 1:
                # They will wait: what index functions decoded of them is not to wait with them.
                for event in events:
                    (event.new if type(event) is Updated else event.source).drop_decoded()
            self._pace.lagging = lagging and len(registrations) + len(streams) > 1
            for registration in self._registrations:
                registration.put(events)
            for stream in tuple(self._streams):
                stream.put(events)
        mark = self._fifo.take_mark()
        if mark is not None:
            self.resource_version = mark.resource_version
        if not self.has_synced and self._fifo.has_synced:
            self.has_synced = self.waiters.absence_counts = True
            for listener in self._listeners():
                listener.put_mark()
            self.waiters.check_all()
            _log.debug("%s: in sync with %d objects", self._name, len(self._indexer))
            self._on_synced()
        elif events and len(self.waiters):
            self.waiters.check(event.key for event in events)
        if self.pending_writes:
            self.pending_writes.changed({event.key for event in events})
            self.pending_writes.progressed()
        if self._indexer.freed_bytes >= _WORTH_GIVING_BACK:
            self._indexer.freed_bytes = 0
            # Handlers are still at work on what was deleted.
            asyncio.get_running_loop().call_later(_SETTLING_SECONDS, give_back_free_memory)
        if mark is not None and mark.lists > self.lists:
            self.lists = mark.lists
            self._on_listed(mark.lists)

    async def _resync(self, registration: HandlerTask) -> None:
        """Tell one handler of everything again, every so often, straight from the cache (docs/design/0001)."""
        time_slice = TimeSlice()
        while True:
            await asyncio.sleep(registration.resync)
            if not self.has_synced or registration.waiting > len(self._indexer):
                # It has not even been told everything once since the last time: more of it would only pile up.
                continue
            await time_slice.begin()
            for key in [*self._indexer.list_keys()]:
                obj = self._indexer.get_by_key(key)
                if obj is not None:
                    registration.put([Updated(obj, obj)])
                if time_slice.over:
                    await time_slice.begin()

    def _listeners(self) -> list[HandlerTask | EventFeed]:
        return [*self._registrations, *self._streams]
