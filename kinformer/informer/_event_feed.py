"""Buffer between an informer and one iterator over its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer._flag import Flag
from kinformer.informer._mailbox import NoEvent
from kinformer.informer._pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.events import Event
    from kinformer.informer._mailbox import Mailbox
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["EventFeed"]


class EventFeed:
    """Events that wait for one iterator.

    The informer holds it weakly, the iterator strongly. So an iterator without references costs nothing.

    Attributes:
        mailbox: buffer of the events.
        wakeup: set when an event arrives, or the feed is closed.
        closed: true once no further event arrives.
        pace: whether the listeners of the informer keep up; the dispatcher sets it.
    """

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.wakeup = Flag()
        self.closed = False
        self.pace = Pace()

    @property
    def waiting(self) -> int:
        """Number of events that wait to be taken."""
        return len(self.mailbox)

    def take_waiting(self) -> list[Event]:
        """Take every event that waits now, possibly none. Does not wait."""
        taken: list[Event] = []
        while (item := self.mailbox.take()) is not None:
            if not isinstance(item, NoEvent):
                taken.append(item)
        return taken

    def put(self, events: Iterable[Event]) -> None:
        """Add events."""
        self.mailbox.put(events)
        self.wakeup.set()

    def put_initial(self, objects: dict[ObjectKey, KubeObject]) -> None:
        """Add an `Added` for each object of the cache."""
        self.mailbox.put_initial(objects)
        self.wakeup.set()

    def put_mark(self) -> None:
        """Ignore the end of the initial list; an iterator has no use for it."""

    def close(self) -> None:
        """Add no further event. The iteration ends after the events that wait."""
        self.closed = True
        self.wakeup.set()
