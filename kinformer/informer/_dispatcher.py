"""Applies the changes of the FIFO to the cache, then notifies handlers, iterators and calls of `wait_for`."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING, Final

from kinformer._clock import running_clock
from kinformer._own_writes.pending import PendingWrites
from kinformer._time_slice import TimeSlice, spend_turn
from kinformer.cache._compact.malloc_trim import give_back_free_memory
from kinformer.cache._process_deltas import apply_changes
from kinformer.events import Updated
from kinformer.informer._pace import Pace
from kinformer.informer._waiters import Waiters
from kinformer.status import Changes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from kinformer.cache._informer_indexer import InformerIndexer
    from kinformer.cache._pushed_fifo import PushedFIFO
    from kinformer.cache.delta_fifo import Delta, Deltas
    from kinformer.events import Event
    from kinformer.informer._event_feed import EventFeed
    from kinformer.informer._handler_task import HandlerTask

__all__ = ["Dispatcher"]

_log = logging.getLogger(__name__)

# Number of keys taken between two reads of the clock: some 50 µs, unless index functions are slow.
_KEYS_PER_CLOCK: Final = 32

# The C library keeps freed memory that lies between blocks in use. After this many bytes of deletions, the dispatcher
# makes it return the memory, so that each step is a short one: some milliseconds per 100 MB. Slow handlers still use
# deleted objects then. So it does this again a little later, until they have handled the events.
_WORTH_GIVING_BACK: Final = 8 << 20
_SETTLING_SECONDS: Final = 1.0

# Events of a batch up to this size keep the sections that index functions decoded. Most events of a larger batch would
# wait for long: their memory would be cold when it is read, and the garbage collector would walk over it.
_SHARED: Final = 16

_NO_STREAMS: Final[frozenset[weakref.ref[EventFeed]]] = frozenset()


class Dispatcher:
    """Changes the cache first, then notifies all listeners, in the order of the changes.

    Args:
        fifo: the changes to apply.
        indexer: the cache.
        name: name of the informer, for logs.
        on_synced: called once, when the first list is completely in the cache.
        on_listed: called when one more list is completely in the cache, with the number of all such lists.
    """

    def __init__(
        self,
        fifo: PushedFIFO,
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
        """Number of lists that are completely in the cache."""
        look = indexer.get_by_key
        self.waiters = Waiters(look)
        self.pending_writes = PendingWrites(look, self._version)
        self.delivered = 0
        """Number of events so far."""
        self.deletions = 0
        """Number of deletions among them."""
        self._pace = Pace()
        self._fifo = fifo
        self._indexer = indexer
        self._name = name
        self._on_synced = on_synced
        self._on_listed = on_listed
        self._registrations: list[HandlerTask] = []
        # Not a WeakSet, of which each loop over it takes eight calls.
        self._streams: frozenset[weakref.ref[EventFeed]] = _NO_STREAMS
        self._group: asyncio.TaskGroup | None = None
        self._broken: BaseException | None = None
        self._takes_now = False  # a handler that is called at once may bring the answer to a write
        self._settling = False
        fifo.consumer = self._take_now

    @property
    def changes(self) -> Changes:
        """Number of changes of the cache, by kind.

        Additions are not counted. They follow from the size of the cache and the number of deletions.
        """
        added = len(self._indexer) + self.deletions
        return Changes(added, self.delivered - added - self.deletions, self.deletions)

    @property
    def handlers(self) -> tuple[HandlerTask, ...]:
        """The registered handlers."""
        return tuple(self._registrations)

    def register(self, registration: HandlerTask) -> None:
        """Add a handler. Its first events are the objects that are in the cache already."""
        registration.pace = self._pace
        self._bring_up_to_date(registration)
        self._registrations.append(registration)
        if self._group is not None:
            self._start(registration, self._group)

    def forget(self, registration: HandlerTask) -> None:
        """Give a handler no further event."""
        if registration in self._registrations:
            self._registrations.remove(registration)

    def attach(self, stream: EventFeed, *, initial: bool) -> None:
        """Add an iterator, until its last reference goes; with `initial` it begins with the objects of the cache."""
        if initial:
            self._bring_up_to_date(stream)
        stream.pace = self._pace
        self._streams |= {weakref.ref(stream, self._discard)}

    def detach(self, stream: EventFeed) -> None:
        """Give an iterator no further event."""
        self._discard(weakref.ref(stream))

    def _discard(self, stream: weakref.ref[EventFeed]) -> None:
        # Nearly always empty: then there is no set of its own, which the collector would visit.
        self._streams = self._streams - {stream} or _NO_STREAMS

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Apply the changes of the FIFO until cancelled, in time slices; handlers run in tasks of the group."""
        self._group = group
        for registration in self._registrations:
            self._start(registration, group)
        fifo, indexer = self._fifo, self._indexer
        clock = running_clock()
        time_slice = TimeSlice()
        while True:
            await fifo.wait()
            if self._broken is not None:
                raise self._broken
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

    def in_background(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run a coroutine in a task that ends with the informer; drop it if the informer does not run."""
        if self._group is None:
            work.close()
        else:
            self._group.create_task(work, name=name)

    def _take_now(self, calls_handlers: bool, /) -> bool:
        """Apply a few changes at once; return whether it did: those of a small read, or the answer to a write.

        The queue calls it only while the cache's task waits, so the order of the changes stays.

        Args:
            calls_handlers: call handlers at once, too. False in a task, which is in the midst of something of its own.
        """
        fifo = self._fifo
        left = len(fifo)
        if left > _KEYS_PER_CLOCK or self._broken is not None or self._takes_now:
            return False
        events: list[Event] = []
        self._takes_now = True
        try:
            while left:
                changes, initial = fifo.take(left)
                self.deletions += apply_changes(changes, self._indexer, events, initial=initial)
                left -= len(changes)
            self._tell(events, at_once=calls_handlers)
        except BaseException as error:  # noqa: BLE001 - the task of the cache raises it, as if it had been there
            self._broken = error
            return False
        finally:
            self._takes_now = False
        return True

    def is_synced(self) -> bool:
        """Return `has_synced`, as a function that others can hold."""
        return self.has_synced

    def _version(self) -> str:
        return self.resource_version

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
        """Give a new listener the objects of the cache. The cache cannot change between this and the next event."""
        if len(self._indexer):
            spend_turn()
            listener.put_initial(self._indexer.copy())
        if self.has_synced:
            listener.put_mark()

    def _tell(self, events: list[Event], *, at_once: bool = False) -> None:
        callable_now: Sequence[HandlerTask] = ()
        alone: Event | None = None
        if events:
            self.delivered += len(events)
            registrations = self._registrations
            if (
                at_once
                and len(events) == len(registrations) == 1
                and not self._streams
                and registrations[0].parked
                and registrations[0].takes_as_is
            ):
                # The usual case: an event that comes alone, and the only listener has no other.
                self._pace.lagging = False
                callable_now, alone = registrations.copy(), events[0]
            else:
                callable_now = self._distribute(events, at_once)
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
        elif events and self.waiters.waiting:
            self.waiters.check(event.key for event in events)
        if self.pending_writes.by_key:
            self.pending_writes.changed({event.key for event in events})
            self.pending_writes.progressed()
        if self._indexer.freed_bytes >= _WORTH_GIVING_BACK:
            self._begin_giving_back()
        if mark is not None and mark.lists > self.lists:
            self.lists = mark.lists
            self._on_listed(mark.lists)
        # The last step, because a handler may do anything.
        for registration in callable_now:
            registration.deliver_now(len(events), alone)

    def _distribute(self, events: list[Event], at_once: bool) -> Sequence[HandlerTask]:
        """Give some events to all listeners; return the handlers that `deliver_now` can call."""
        streams = self._present_streams()
        self._set_pace(events, [*self._registrations, *streams])
        callable_now: list[HandlerTask] = []
        for registration in self._registrations:
            if at_once and registration.offer(events):
                callable_now.append(registration)
            else:
                registration.put(events)
        for stream in streams:
            stream.put(events)
        return callable_now

    def _set_pace(self, events: list[Event], listeners: list[HandlerTask | EventFeed]) -> None:
        """Find out whether a listener lags behind: then decoded sections must not wait with the events."""
        lagging = len(events) > _SHARED or any(listener.waiting for listener in listeners)
        if lagging and len(self._indexer.index_names) > 1:
            # These events will wait, so they drop the sections that index functions decoded.
            for event in events:
                (event.new if type(event) is Updated else event.source).drop_decoded()
        self._pace.lagging = lagging and len(listeners) > 1

    def _begin_giving_back(self) -> None:
        self._indexer.freed_bytes = 0
        self.in_background(self._give_back(), name=f"kinformer memory {self._name}")
        if not self._settling:
            self._settling = True
            asyncio.get_running_loop().call_later(_SETTLING_SECONDS, self._give_back_rest)

    async def _give_back(self) -> None:
        """Return free memory to the system."""
        await TimeSlice().begin()
        give_back_free_memory()

    def _give_back_rest(self) -> None:
        """Return the memory of deleted objects that handlers still used; again later, if they use some even now."""
        self._settling = any(listener.waiting for listener in self._listeners())
        if self._settling:
            asyncio.get_running_loop().call_later(_SETTLING_SECONDS, self._give_back_rest)
        spend_turn()
        give_back_free_memory()

    async def _resync(self, registration: HandlerTask) -> None:
        """Give one handler every object of the cache again, once per resync period (docs/design/0001)."""
        time_slice = TimeSlice()
        while True:
            await asyncio.sleep(registration.resync)
            if not self.has_synced or registration.waiting > len(self._indexer):
                # The cache is incomplete, or the backlog of the handler is larger than the cache: it is too early.
                continue
            await time_slice.begin()
            for key in [*self._indexer.list_keys()]:
                obj = self._indexer.get_by_key(key)
                if obj is not None:
                    registration.put([Updated(obj, obj)])
                if time_slice.over:
                    await time_slice.begin()

    def _listeners(self) -> list[HandlerTask | EventFeed]:
        return [*self._registrations, *self._present_streams()]

    def _present_streams(self) -> list[EventFeed]:
        return [stream for reference in self._streams if (stream := reference()) is not None]
