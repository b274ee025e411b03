"""A cache's events as an asynchronous iterator: what `SharedInformer.events()` returns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Self, cast

from kinformer._time_slice import TimeSlice
from kinformer.informer._mailbox import SyncMark
from kinformer.informer._pace import Pace, drop_decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import TypeVar

    from kinformer.events import Event
    from kinformer.informer._mailbox import Mailbox
    from kinformer.objects import KubeObject, ObjectKey

    E = TypeVar("E", default=Event)
else:
    from typing import TypeVar

    E = TypeVar("E")

__all__ = ["EventStream"]


class EventStream(Generic[E]):
    """Iterates over events, from the moment it was made.

    It begins with `Added(initial=True)` for everything in the cache, unless that was not wanted, and ends when the
    informer stops, after the last event was taken. It is let go of with its last reference, so leaving an `async for`
    early is enough; `aclose()` or `async with` say it outright. Meant for one consumer.
    """

    def __init__(self, mailbox: Mailbox, forget: Callable[[EventStream[Any]], None]) -> None:
        self._mailbox = mailbox
        self._forget = forget
        self._wakeup = asyncio.Event()
        self._closed = False
        self._time_slice: TimeSlice | None = None
        self._last: Event | None = None
        self.pace = Pace()
        """Whether the listeners of the informer keep up; the dispatcher sets it."""

    @property
    def waiting(self) -> int:
        """How many events wait to be taken."""
        return len(self._mailbox)

    def take_waiting(self) -> list[Event]:
        """Take everything that waits at this moment, possibly nothing. Does not wait itself."""
        taken: list[Event] = []
        while (item := self._mailbox.take()) is not None:
            if not isinstance(item, SyncMark):
                taken.append(item)
        return taken

    def put(self, events: Iterable[Event]) -> None:
        """Let events wait."""
        self._mailbox.put(events)
        self._wakeup.set()

    def put_initial(self, objects: dict[ObjectKey, KubeObject]) -> None:
        """Let an `Added` for each object of the cache wait."""
        self._mailbox.put_initial(objects)
        self._wakeup.set()

    def put_mark(self) -> None:
        """Say that everything of the initial list has been put; an iterator has no use for it."""

    def close(self) -> None:
        """The informer has stopped: what waits can still be taken, then the iteration ends."""
        self._closed = True
        self._wakeup.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """The next event; waits for one. If cancelled, no event is lost.

        While events wait, the loop gets its turn every millisecond or two all the same.
        """
        if self._last is not None:
            if self.pace.lagging:
                drop_decoded(self._last)
            self._last = None
        if self._time_slice is None:
            self._time_slice = TimeSlice()
        if self._time_slice.over:
            await self._time_slice.begin()
        while True:
            item: Any = self._mailbox.take()
            if item is not None and not isinstance(item, SyncMark):
                self._last = item
                return cast("E", item)
            if item is None:
                if self._closed:
                    raise StopAsyncIteration
                self._wakeup.clear()
                await self._wakeup.wait()

    async def aclose(self) -> None:
        """Get no further events, and drop those that wait."""
        self._forget(self)
        self._mailbox.clear()
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
