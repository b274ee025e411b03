"""Events of a cache as an asynchronous iterator: the object that `SharedInformer.events()` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, cast

from kinformer._time_slice import TimeSlice
from kinformer.informer._mailbox import NoEvent
from kinformer.informer._pace import drop_decoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import TypeVar

    from kinformer.events import Event
    from kinformer.informer._event_feed import EventFeed

    E = TypeVar("E", default=Event)
else:
    from typing import TypeVar

    E = TypeVar("E")

__all__ = ["EventStream"]


class EventStream(Generic[E]):
    """Asynchronous iterator over events, from the moment that it was made.

    It begins with `Added(initial=True)` for every object in the cache, unless `initial=False` was given. It ends when
    the informer stops, after the last event was taken. The informer forgets it with its last reference, so it is
    enough to leave an `async for` early; `aclose()` and `async with` are the explicit ways. Use it in one task only.
    """

    def __init__(
        self, feed: EventFeed, forget: Callable[[EventFeed], None], refuse_other_loop: Callable[[], None]
    ) -> None:
        self._feed = feed
        self._forget = forget
        self._refuse_other_loop = refuse_other_loop
        self._time_slice: TimeSlice | None = None
        self._last: Event | None = None

    @property
    def waiting(self) -> int:
        """Number of events that wait to be taken."""
        return self._feed.waiting

    def take_waiting(self) -> list[E]:
        """Take every event that waits now, possibly none. Does not wait."""
        return cast("list[E]", self._feed.take_waiting())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """Wait for the next event and return it. If cancelled, no event is lost.

        While events wait, other tasks of the loop get their turn every millisecond or two.

        Raises:
            WrongLoopError: no event waits, and the informer runs in another event loop.
        """
        feed = self._feed
        if self._last is not None:
            if feed.pace.lagging:
                drop_decoded(self._last)
            self._last = None
        if self._time_slice is None:
            self._time_slice = TimeSlice()
        if self._time_slice.over:
            await self._time_slice.begin()
        while True:
            item: Any = feed.mailbox.take()
            if item is not None and not isinstance(item, NoEvent):
                self._last = item
                return cast("E", item)
            if item is not None:
                if self._time_slice.over:
                    await self._time_slice.begin()
            else:
                if feed.closed:
                    raise StopAsyncIteration
                self._refuse_other_loop()
                feed.wakeup.clear()
                await feed.wakeup.wait()

    async def aclose(self) -> None:
        """End the iteration, and drop the events that wait."""
        self._forget(self._feed)
        self._feed.mailbox.clear()
        self._feed.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
