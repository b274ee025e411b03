"""The work on the slices of a shard group: the calls of a group to workers and caches, and changes for other code."""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

from kinformer._flag import Flag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

__all__ = ["Gained", "Losing", "SliceCaches", "SliceChange", "SliceChanges", "SliceWorker"]


class SliceWorker(Protocol):
    """Works on slices: a controller, or a stream of changes. All calls come from the loop of the group."""

    @property
    def name(self) -> str:
        """The name for logs."""
        ...

    @property
    def started(self) -> bool:
        """True from the moment at which it can take slices."""
        ...

    @property
    def caught_up(self) -> bool:
        """True if it has been informed of everything that the caches show."""
        ...

    def gained(self, slices: frozenset[int]) -> None:
        """Begin to work on slices."""
        ...

    def stop(self, slices: frozenset[int], *, at_once: bool) -> None:
        """Begin no work on slices; repeated calls change nothing.

        Args:
            slices: the slices.
            at_once: cancel the work under way. Otherwise it goes on to its end, and deletions are worked off.
        """
        ...

    def has_stopped(self, number: int) -> bool:
        """Return whether no work on a slice is under way, nor due before it ends."""
        ...

    def forget(self, slices: frozenset[int]) -> None:
        """Drop the records of slices: the caches do not cover them any more."""
        ...

    def close(self) -> None:
        """Take note that the group has ended."""
        ...


class SliceCaches(Protocol):
    """An informer that covers the slices of a group."""

    @property
    def ended(self) -> bool:
        """True once the informer has ended."""
        ...

    def want(self, slices: frozenset[int]) -> None:
        """Cover these slices from now on."""
        ...

    def listed(self, number: int) -> int:
        """Return a version of the server from which on the cache shows all changes of a slice; 0 if it does not."""
        ...

    def seen(self, number: int) -> int:
        """Return the version up to which the cache shows all deletions in a slice."""
        ...

    async def follow(self) -> None:
        """Bring the cache in line with `want`, until cancelled."""
        ...

    async def catch_up(self, due: Mapping[int, int]) -> None:
        """Have `seen` of each slice reach a version, also if nothing changes and no event would come."""
        ...


class Gained:
    """The work on a slice may begin.

    Attributes:
        slice: number of the slice.
        token: see `ShardGroup.token`.
    """

    __slots__ = ("slice", "token")

    def __init__(self, number: int, token: int) -> None:
        self.slice = number
        self.token = token

    def __repr__(self) -> str:
        return f"Gained(slice={self.slice}, token={self.token})"


class Losing:
    """The work on a slice must end. The slice is given when the body of `async with losing:` has ended.

    Attributes:
        slice: number of the slice.
        at_once: the Lease was lost: another member may work on the slice within seconds.
    """

    __slots__ = ("_ended", "at_once", "slice")

    def __init__(self, number: int, *, at_once: bool, ended: Callable[[], None]) -> None:
        self.slice = number
        self.at_once = at_once
        self._ended = ended

    def __repr__(self) -> str:
        return f"Losing(slice={self.slice}, at_once={self.at_once})"

    async def __aenter__(self) -> Self:
        """Begin to end the work."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Report that the work has ended, or has failed."""
        self._ended()


SliceChange: TypeAlias = Gained | Losing


class SliceChanges:
    """The changes of a group's slices, for code without a Controller.

    Args:
        token: returns the token of a slice.
        poke: called when the work on a slice has ended.
    """

    name = "changes()"
    started = True
    caught_up = True

    def __init__(self, token: Callable[[int], int], poke: Callable[[], None]) -> None:
        self._token = token
        self._poke = poke
        self._queue: deque[SliceChange] = deque()
        self._news = Flag()
        self._working: set[int] = set()
        self._ending: set[int] = set()
        self._closed = False

    def gained(self, slices: frozenset[int]) -> None:
        """Queue a `Gained` of each slice."""
        for number in sorted(slices):
            self._working.add(number)
            self._queue.append(Gained(number, self._token(number)))
        self._news.set()

    def stop(self, slices: frozenset[int], *, at_once: bool) -> None:
        """Queue a `Losing` of each slice that is worked on."""
        for number in sorted(slices & self._working):
            waiting = next((one for one in self._queue if one.slice == number), None)
            self._working.discard(number)
            if isinstance(waiting, Gained):
                # Its work has not begun.
                self._queue.remove(waiting)
                continue
            self._ending.add(number)
            self._queue.append(Losing(number, at_once=at_once, ended=functools.partial(self._has_ended, number)))
        self._news.set()

    def has_stopped(self, number: int) -> bool:
        """Return whether the work on a slice has ended."""
        return number not in self._working and number not in self._ending

    def forget(self, slices: frozenset[int]) -> None:
        """Do nothing: there is no cache here."""

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        self._ending.clear()
        self._working.clear()
        self._news.set()

    async def iterate(self) -> AsyncIterator[SliceChange]:
        """Iterate over the changes, until the group has ended."""
        try:
            while True:
                while self._queue:
                    yield self._queue.popleft()
                if self._closed:
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            # Without a reader, no work is under way any more.
            self.close()
            self._poke()

    def _has_ended(self, number: int) -> None:
        self._ending.discard(number)
        self._poke()
