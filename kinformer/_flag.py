"""A flag for which tasks can wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Flag"]


class Flag:
    """An `asyncio.Event` that takes a tenth of the memory while no task waits.

    An `asyncio.Event` creates a `deque`, which takes 760 bytes on CPython 3.11. An informer with a handler has eight
    flags.
    `is_set`, `set`, `clear` and `wait` behave as those of `asyncio.Event`: `set` wakes all tasks that wait, in their
    order, even if `clear` follows before they run. Tasks of one event loop use it.
    """

    __slots__ = ("_set", "_waiters")

    def __init__(self) -> None:
        self._set = False
        # Nearly always, one task waits: then there is no list, which the collector would visit.
        self._waiters: asyncio.Future[None] | list[asyncio.Future[None]] | None = None

    def __repr__(self) -> str:
        state = "set" if self._set else "unset"
        return f"<Flag {state}, {len(self._all_waiters())} waiting>"

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        return self._set

    def set(self) -> None:
        """Set the flag, and wake all tasks that wait for it."""
        if self._set:
            return
        self._set = True
        for waiter in self._all_waiters():
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        """Reset the flag. Tasks that wait from now on wait for the next `set`."""
        self._set = False

    async def wait(self) -> None:
        """Return when the flag is set; at once if it is set already. A cancelled wait leaves nothing behind."""
        if self._set:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before = self._waiters
        if before is None:
            self._waiters = waiter
        elif isinstance(before, list):
            before.append(waiter)
        else:
            self._waiters = [before, waiter]
        try:
            await waiter
        finally:
            waiting = self._waiters
            if isinstance(waiting, list):
                waiting.remove(waiter)
            if waiting is waiter or not waiting:
                self._waiters = None

    def _all_waiters(self) -> Sequence[asyncio.Future[None]]:
        waiters = self._waiters
        if waiters is None:
            return ()
        return waiters if isinstance(waiters, list) else (waiters,)
