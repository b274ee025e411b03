"""Registration of a handler with an informer: the object that `SharedInformer.add_event_handler` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer.informer._handler_task import CATCH_UP_BUCKETS

if TYPE_CHECKING:
    from kinformer.events import EventHandler
    from kinformer.informer._handler_task import HandlerTask
    from kinformer.metrics import Histogram

__all__ = ["CATCH_UP_BUCKETS", "HandlerRegistration"]


class HandlerRegistration:
    """Registration of a handler, returned by `SharedInformer.add_event_handler`.

    The handler is called with one event at a time, in order, in a task of its own. A handler that raises is logged with
    the object's key, and counted. The next event is delivered all the same.
    """

    __slots__ = ("_task",)

    def __init__(self, task: HandlerTask) -> None:
        self._task = task

    def __repr__(self) -> str:
        return f"<HandlerRegistration {self.name} waiting={self.waiting} failures={self.failures}>"

    @property
    def name(self) -> str:
        """Name of the handler in logs, metrics and statuses."""
        return self._task.name

    @property
    def handler(self) -> EventHandler:
        """Function that is called with each event."""
        return self._task.handler

    @property
    def resync(self) -> float:
        """Seconds between resyncs; 0 for none."""
        return self._task.resync

    @property
    def failures(self) -> int:
        """Number of times that the handler has raised."""
        return self._task.failures

    @property
    def last_failure(self) -> BaseException | None:
        """The exception that the handler raised last; `None` if it never raised."""
        return self._task.last_failure

    @property
    def behind_since(self) -> float | None:
        """Time, by the loop's clock, from which on events have waited; `None` if every event has been handled."""
        return self._task.behind_since

    @property
    def catch_ups(self) -> Histogram:
        """Histogram of catch-up times: seconds from `behind_since` until every event had been handled.

        It has one sample per backlog, not per event, so it is cheap. No event of the backlog has waited longer.
        """
        return self._task.catch_ups

    @property
    def waiting(self) -> int:
        """Number of events that wait for the handler."""
        return self._task.waiting

    @property
    def idle(self) -> bool:
        """True if no event waits and the handler does not run; also after the handler was removed."""
        return self._task.idle

    @property
    def has_synced(self) -> bool:
        """True once the handler has returned from every object of the initial list. Never goes back to false."""
        return self._task.has_synced

    @property
    def removed(self) -> bool:
        """True if the handler was removed, or its informer has stopped."""
        return self._task.removed

    async def synced(self) -> None:
        """Wait until the handler has returned from every object of the initial list.

        Raises:
            StoppedError: the handler was removed, or the informer stopped, before that.
            WrongLoopError: the informer runs in another event loop.
        """
        await self._task.synced()

    async def remove(self, *, drain: bool = False) -> None:
        """Remove the handler. After this has returned, the handler is not called again.

        A call that is in progress ends first. Removing twice does no harm. A handler may remove itself: then this
        returns at once, and the handler is not called again after the present call.

        If cancelled, the handler gets no further events, but the present call may still be in progress.

        Args:
            drain: first deliver the events that wait now, but none that arrive later. Not from inside the handler.

        Raises:
            WrongLoopError: the informer runs in another event loop.
        """
        await self._task.remove(drain=drain)
