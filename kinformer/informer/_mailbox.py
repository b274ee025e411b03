"""Buffers of the events that wait for one handler.

The dispatcher fills a mailbox as the cache changes, and the handler empties it at its own pace. So a slow handler
delays neither the cache nor another handler. A mailbox only stores events: tasks and wake-ups are in `_handler_task`.

A mailbox also carries a mark. The mark comes out after everything that was put before it. By this, a handler is known
to have seen the whole initial list.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from kinformer.cache._front_keys import front_keys
from kinformer.events import Added, Deleted, Updated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kinformer.events import Delivery, Event
    from kinformer.objects import KubeObject, ObjectKey

__all__ = [
    "NOTHING_NOW",
    "SYNC_MARK",
    "EventOf",
    "LatestMailbox",
    "Mailbox",
    "NoEvent",
    "QueueMailbox",
    "SyncMark",
    "initial_event",
    "make_mailbox",
]


class NoEvent:
    """An item of a mailbox that is no event."""

    __slots__ = ()


class SyncMark(NoEvent):
    """Mark of the end of the initial list."""

    __slots__ = ()


_NO_OBJECTS: Final[Iterator[KubeObject]] = iter(())

SYNC_MARK: Final = SyncMark()

NOTHING_NOW: Final = NoEvent()
"""What `take` returns in place of an event that does not concern the reader. More may wait, but a reader that has used
up its time slice gives way first: there may be 100,000 such events in a row."""

EventOf: TypeAlias = "Callable[[KubeObject], Event]"
"""Makes the event by which a new listener gets an object of the cache."""


def initial_event(stored: KubeObject) -> Event:
    """Return the `Added` of an object that was in the cache before the listener, with a view of its own."""
    return Added(stored.view(), initial=True)


class Mailbox(Protocol):
    """Events that wait for one handler."""

    def __len__(self) -> int: ...

    def put(self, events: Iterable[Event]) -> None:
        """Add events."""
        ...

    def put_initial(self, objects: dict[ObjectKey, KubeObject], event_of: EventOf = ...) -> None:
        """Add an `Added` for each object of a cache, before any other event. Each is made when it is taken.

        Args:
            objects: a copy of the cache, which belongs to the mailbox from now on.
            event_of: makes the event of an object.
        """
        ...

    def put_mark(self) -> None:
        """Add the mark. It comes out after everything that is in the mailbox now."""
        ...

    def take(self) -> Event | NoEvent | None:
        """Take the next event or mark, or `NOTHING_NOW`; `None` if nothing waits."""
        ...

    def clear(self) -> None:
        """Drop everything."""
        ...


class QueueMailbox:
    """Mailbox for `delivery="every"`: every event, in order, without a bound."""

    __slots__ = ("_event_of", "_initial", "_initial_left", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Event | SyncMark] = deque()
        self._initial: Iterator[KubeObject] = _NO_OBJECTS
        self._initial_left = 0
        self._event_of: EventOf = initial_event

    def __len__(self) -> int:
        return self._initial_left + len(self._waiting)

    def put_initial(self, objects: dict[ObjectKey, KubeObject], event_of: EventOf = initial_event) -> None:
        """Add an `Added` for each object of a cache."""
        self._initial = iter(objects.values())
        self._initial_left = len(objects)
        self._event_of = event_of

    def put(self, events: Iterable[Event]) -> None:
        """Add events."""
        self._waiting.extend(events)

    def put_mark(self) -> None:
        """Add the mark."""
        self._waiting.append(SYNC_MARK)

    def take(self) -> Event | SyncMark | None:
        """Take the next event or mark."""
        if self._initial_left:
            obj = next(self._initial)
            self._initial_left -= 1
            if not self._initial_left:
                self._initial = _NO_OBJECTS
            return self._event_of(obj)
        return self._waiting.popleft() if self._waiting else None

    def clear(self) -> None:
        """Drop everything."""
        self._initial, self._initial_left = iter(()), 0
        self._waiting.clear()


class LatestMailbox:
    """Mailbox for `delivery="latest"`: per key the oldest `old` and the newest `new`; bounded by the number of keys.

    The events of each object are still a legal history. An object that came and went unseen leaves no event. An object
    that was replaced by another one of the same name is Deleted, then Added. A key keeps its first place in the order.
    """

    __slots__ = ("_count", "_event_of", "_initial", "_initial_keys", "_waiting")

    def __init__(self) -> None:
        # The newest state of each initial object. Its `Added` is made when it is due.
        self._initial: dict[ObjectKey, KubeObject] = {}
        self._initial_keys: Iterator[ObjectKey] = iter(())
        self._event_of: EventOf = initial_event
        self._count = 0  # number of events in `_waiting`
        # An OrderedDict finds its first key in constant time; a dict would walk over all keys that were taken before.
        # The mark is a key, too: the only one without events.
        self._waiting: OrderedDict[ObjectKey | SyncMark, tuple[Event, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._initial) + self._count

    def put_initial(self, objects: dict[ObjectKey, KubeObject], event_of: EventOf = initial_event) -> None:
        """Add an `Added` for each object of a cache."""
        self._initial = objects
        self._initial_keys = front_keys(objects)
        self._event_of = event_of

    def put(self, events: Iterable[Event]) -> None:
        """Add events, each merged with the events that wait for its key."""
        waiting, initial = self._waiting, self._initial
        for event in events:
            key = event.key
            if initial and key in initial:
                # The handler has not had the initial event of this key yet. It gets the newest state, or no event.
                if isinstance(event, Deleted):
                    del initial[key]
                else:
                    initial[key] = event.source
                continue
            pending = waiting.get(key)
            if not pending:
                waiting[key] = (event,)
                self._count += 1
                continue
            merged = pending[:-1] + _merge(pending[-1], event)
            self._count += len(merged) - len(pending)
            if merged:
                waiting[key] = merged
            else:
                del waiting[key]

    def put_mark(self) -> None:
        """Add the mark."""
        self._waiting[SYNC_MARK] = ()

    def take(self) -> Event | NoEvent | None:
        """Take the next event or mark, or `NOTHING_NOW`."""
        if self._initial:
            # An object that was deleted before its event was due leaves its key.
            obj = self._initial.pop(next(self._initial_keys), None)
            return NOTHING_NOW if obj is None else self._event_of(obj)
        for key, events in self._waiting.items():
            if not events:
                del self._waiting[key]
                return SYNC_MARK
            self._count -= 1
            if len(events) == 1:
                del self._waiting[key]
            else:
                self._waiting[key] = events[1:]
            return events[0]
        return None

    def clear(self) -> None:
        """Drop everything."""
        self._initial = {}
        self._count = 0
        self._waiting.clear()


def _merge(before: Event, after: Event) -> tuple[Event, ...]:
    """Merge two events of one object that both wait; return the events to deliver instead."""
    match before, after:
        case Added(_, initial), Updated(_, new):
            return (Added(new, initial),)
        case Added(), Deleted():
            return ()
        case Updated(old, _), Updated(_, new):
            return (Updated(old, new),)
        case Updated(), Deleted():
            return (after,)
    # Deleted, then Added: another object of that name. Both are delivered.
    return (before, after)


def make_mailbox(delivery: Delivery) -> Mailbox:
    """Make the mailbox for a kind of delivery.

    Raises:
        ValueError: there is no such kind.
    """
    match delivery:
        case "every":
            return QueueMailbox()
        case "latest":
            return LatestMailbox()
    msg = f"delivery={delivery!r} is unknown; it is 'every' (each event) or 'latest' (per object the newest state)"
    raise ValueError(msg)
