"""Keys that become due later, each once, at a time that can be moved or cancelled."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from kinformer._survivable import is_survivable
from kinformer.workqueue._faulty_keys import removed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Delays"]

_log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

# Keys that become due together are released in slices, so that 100,000 of them do not block the loop.
_RELEASED_PER_TURN: Final = 1000


class _Entry(NamedTuple):
    """The due time and priority of a key; the number distinguishes entries of one key."""

    due: float
    number: int
    priority: int


class Delays(Generic[K]):
    """Calls `release(key, priority)` when a key is due; keys are released in the order of their due times.

    It belongs to one event loop, which must run when the first key is put.
    """

    __slots__ = ("_entries", "_heap", "_number", "_release", "_timer")

    def __init__(self, release: Callable[[K, int], None]) -> None:
        self._release = release
        self._entries: dict[K, _Entry] = {}
        # The due times in order; some are outdated, and are skipped.
        self._heap: list[tuple[float, int, K]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def keys(self) -> list[K]:
        """Return the keys."""
        return [*self._entries]

    def due_by(self, moment: float) -> int:
        """Return the number of keys that are due at the loop's time `moment` or before."""
        return sum(entry.due <= moment for entry in self._entries.values())

    def put(self, key: K, due: float, priority: int, *, replace: bool = False) -> None:
        """Release a key at the loop's time `due` (seconds).

        Args:
            key: the key.
            due: the due time. If a key is put several times, the earliest time counts.
            priority: the priority at the release. If a key is put several times, the highest priority counts.
            replace: drop the earlier time and priority of the key.
        """
        known = None if replace else self._entries.get(key)
        if known is not None and known.due <= due:
            if priority > known.priority:
                self._entries[key] = known._replace(priority=priority)
            return
        self._number += 1
        self._entries[key] = _Entry(due, self._number, priority if known is None else max(priority, known.priority))
        heapq.heappush(self._heap, (due, self._number, key))
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [item for item in self._heap if self._is_present(item)]
            heapq.heapify(self._heap)
        self._set_timer()

    def priority(self, key: K) -> int | None:
        """Return the priority with which a key will be released; `None` for a key that is not there."""
        entry = self._entries.get(key)
        return None if entry is None else entry.priority

    def cancel(self, key: K) -> bool:
        """Remove a key; return whether it was there."""
        if self._entries.pop(key, None) is None:
            return False
        # Outdated entries stay in the heap until their turn, or until there are too many. A timer may find no key.
        if not self._entries:
            self.clear()
        return True

    def clear(self) -> None:
        """Remove all keys."""
        self._entries.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def release_all(self) -> None:
        """Release all keys now, in the order of their due times."""
        waiting = sorted(self._entries.items(), key=lambda item: item[1])
        self.clear()
        for key, entry in waiting:
            try:
                self._release(key, entry.priority)
            except BaseException as error:
                if not is_survivable(error):
                    raise
                self._drop(key, error)

    def _is_present(self, item: tuple[float, int, K]) -> bool:
        try:
            entry = self._entries.get(item[2])
        except BaseException as error:
            if not is_survivable(error):
                raise
            self._drop(item[2], error)
            return False
        return entry is not None and entry.number == item[1]

    def _drop(self, key: K, error: BaseException) -> None:
        """Drop a key whose `__hash__` or `__eq__` raises, so that it holds up no other."""
        removed(self._entries, key)
        _log.error("a key that was to come later is dropped: its __hash__ or __eq__ raises", exc_info=error)

    def _set_timer(self) -> None:
        """Set the one timer to the earliest due time of the heap."""
        heap = self._heap
        while heap and not self._is_present(heap[0]):
            heapq.heappop(heap)
        if self._timer is not None:
            if heap and self._timer.when() <= heap[0][0]:
                return
            self._timer.cancel()
            self._timer = None
        if heap:
            self._timer = asyncio.get_running_loop().call_at(heap[0][0], self._ring)

    def _ring(self) -> None:
        assert self._timer is not None
        # The loop calls a timer up to one step of its clock early. Such a key is due: a new timer would be called again
        # at once, without end on a virtual clock that stands still meanwhile.
        now = max(asyncio.get_running_loop().time(), self._timer.when())
        self._timer = None
        try:
            for _ in range(_RELEASED_PER_TURN):
                if not self._heap or self._heap[0][0] > now:
                    break
                item = heapq.heappop(self._heap)
                if self._is_present(item):
                    self._release(item[2], self._entries.pop(item[2]).priority)
        finally:
            self._set_timer()
