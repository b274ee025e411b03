"""The events that wait for one handler.

A mailbox is filled as the cache changes and emptied at the handler's own pace, so a slow handler delays neither the
cache nor another handler. It is pure: who waits for what is the business of `registration`.

Beside events a mailbox carries marks. A mark comes out after everything that was put before it: this is how a handler
is known to have seen the whole initial list.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, Protocol

from kinformer.events import Added, Deleted, Updated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.events import Delivery, Event
    from kinformer.objects import ObjectKey

__all__ = ["SYNC_MARK", "LatestMailbox", "Mailbox", "QueueMailbox", "SyncMark", "make_mailbox"]


class SyncMark:
    """Everything of the initial list has been put before this."""

    __slots__ = ()


SYNC_MARK: Final = SyncMark()


class Mailbox(Protocol):
    """What waits for one handler."""

    def __len__(self) -> int: ...

    def put(self, events: Iterable[Event]) -> None:
        """Add events."""
        ...

    def put_mark(self) -> None:
        """Add the mark: it comes out when all that is in now has come out."""
        ...

    def take(self) -> Event | SyncMark | None:
        """Take what is due next, or `None` when nothing waits."""
        ...

    def clear(self) -> None:
        """Drop everything."""
        ...


class QueueMailbox:
    """`delivery="every"`: every event, in order, however many wait."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Event | SyncMark] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, events: Iterable[Event]) -> None:
        """Add events."""
        self._waiting.extend(events)

    def put_mark(self) -> None:
        """Add the mark."""
        self._waiting.append(SYNC_MARK)

    def take(self) -> Event | SyncMark | None:
        """Take what is due next."""
        return self._waiting.popleft() if self._waiting else None

    def clear(self) -> None:
        """Drop everything."""
        self._waiting.clear()


class LatestMailbox:
    """`delivery="latest"`: per key the oldest `old` and the newest `new`; bounded by the number of keys.

    What comes out is still a legal history of each object: an object that came and went unseen leaves no trace, one
    that was replaced by another of the same name is Deleted, then Added. A key keeps the place it got first.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        # An OrderedDict finds its first key in constant time; a dict would walk over all that were taken before. The
        # mark is its own key, and the only one without events.
        self._waiting: OrderedDict[ObjectKey | SyncMark, tuple[Event, ...]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(events) for events in self._waiting.values())

    def put(self, events: Iterable[Event]) -> None:
        """Add events, each merged with what waits for its key."""
        waiting = self._waiting
        for event in events:
            key = event.key
            pending = waiting.get(key)
            if not pending:
                waiting[key] = (event,)
                continue
            merged = pending[:-1] + _merge(pending[-1], event)
            if merged:
                waiting[key] = merged
            else:
                del waiting[key]

    def put_mark(self) -> None:
        """Add the mark."""
        self._waiting[SYNC_MARK] = ()

    def take(self) -> Event | SyncMark | None:
        """Take what is due next."""
        for key, events in self._waiting.items():
            if not events:
                del self._waiting[key]
                return SYNC_MARK
            if len(events) == 1:
                del self._waiting[key]
            else:
                self._waiting[key] = events[1:]
            return events[0]
        return None

    def clear(self) -> None:
        """Drop everything."""
        self._waiting.clear()


def _merge(before: Event, after: Event) -> tuple[Event, ...]:
    """Two events of one object, the second not yet told: what is there to tell."""
    match before, after:
        case Added(_, initial), Updated(_, new):
            return (Added(new, initial),)
        case Added(), Deleted():
            return ()
        case Updated(old, _), Updated(_, new):
            return (Updated(old, new),)
        case Updated(), Deleted():
            return (after,)
    # Deleted, then Added: another object of that name. Both are told.
    return (before, after)


def make_mailbox(delivery: Delivery) -> Mailbox:
    """The mailbox for a kind of delivery.

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
