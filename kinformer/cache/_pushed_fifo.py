"""The queue of an informer: a `DeltaFIFO` whose consumer can take changes in the call that queues them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer.cache.delta_fifo import DeltaFIFO

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.cache.delta_fifo import KnownObjects

__all__ = ["PushedFIFO"]


class PushedFIFO(DeltaFIFO):
    """A `DeltaFIFO` through which a few changes go without a turn of the loop: set `held`, queue them, call `release`.

    Args:
        known_objects: the cache that this queue feeds.

    Attributes:
        idle: true while the consumer waits, and nothing has woken it.
        consumer: takes everything that is queued, at once, and returns whether it did. The consumer sets it. Its
            argument says whether handlers may be called, too: only a callback of the loop may do that.
    """

    __slots__ = ("consumer", "idle")

    def __init__(self, known_objects: KnownObjects | None = None) -> None:
        super().__init__(known_objects)
        self.idle = False
        self.consumer: Callable[[bool], bool] | None = None

    def release(self, *, calls_handlers: bool = True) -> None:
        """End `held`: let `consumer` take the queued changes if the consumer waits; wake `wait` if it takes none.

        Args:
            calls_handlers: false if a task has the turn, so that handlers get the changes by their own tasks.
        """
        self.held = False
        if not self.idle or self.consumer is None or not self.consumer(calls_handlers):
            self._wake()

    async def wait(self) -> None:
        """Wait as `DeltaFIFO.wait` does."""
        self._own_loop.take_once()
        wakeup = self._wakeup
        self.idle = not wakeup.is_set()
        try:
            # Not `super().wait()`: that would be one more coroutine for as long as the queue is empty.
            await wakeup.wait()
        finally:
            self.idle = False
        if not self._closed:
            wakeup.clear()

    def close(self) -> None:
        """Close the queue; see `DeltaFIFO.close`."""
        self.held = False
        super().close()

    def _wake(self) -> None:
        if not self.held:
            self.idle = False
            super()._wake()
