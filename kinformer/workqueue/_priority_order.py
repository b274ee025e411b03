"""The order of the keys that wait: by priority, equal ones in turn, and now and then the key that has waited longest.

Priority alone starves: as long as work of a higher priority keeps coming, the lower one never has its turn. So while
keys of several priorities wait, each `oldest_every`-th one handed out is the one that has waited longest, whatever its
priority. That is the bound: a key before which `k` keys were waiting when it came is handed out as one of the next
`oldest_every * (k + 1)`, however many come after it, and however urgent they are. It counts keys and not seconds, so it
needs no clock, and urgent keys give up at most one turn in `oldest_every`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

__all__ = ["OLDEST_EVERY", "WorkOrder"]

K = TypeVar("K", bound=Hashable)

OLDEST_EVERY: Final = 8


class WorkOrder(Generic[K]):
    """Keys that wait, each once.

    `push`, `pop` and `raise_priority` take constant time for a handful of priorities, and one more step for each
    doubling of their number.

    Args:
        oldest_every: of how many keys one is the one that has waited longest; 1 is first come, first served.

    Raises:
        ValueError: `oldest_every` is less than 1.
    """

    __slots__ = ("_ages", "_levels", "_oldest_every", "_priorities", "_turns")

    def __init__(self, oldest_every: int = OLDEST_EVERY) -> None:
        if oldest_every < 1:
            msg = f"oldest_every={oldest_every}: expected 1 or more, or a key of low priority might wait for ever"
            raise ValueError(msg)
        self._oldest_every = oldest_every
        # Ordered dicts, since a plain one needs ever more time for its first key when keys are taken from its front.
        self._ages: OrderedDict[K, int] = OrderedDict()
        self._levels: dict[int, OrderedDict[K, None]] = {}
        self._priorities: list[int] = []
        # Keys handed out since the oldest was.
        self._turns = 0

    def __len__(self) -> int:
        return len(self._ages)

    def __contains__(self, key: K) -> bool:
        return key in self._ages

    def depth(self) -> dict[int, int]:
        """Return the number of keys by priority."""
        return {priority: len(self._levels[priority]) for priority in self._priorities}

    def push(self, key: K, priority: int) -> None:
        """Put a key that does not wait yet behind those of its priority."""
        self._ages[key] = priority
        self._enter(key, priority)

    def raise_priority(self, key: K, priority: int) -> None:
        """Put a key that waits behind those of a higher priority; a lower one changes nothing. It gets no younger."""
        known = self._ages[key]
        if priority > known:
            self._ages[key] = priority
            self._leave(key, known)
            self._enter(key, priority)

    def pop(self) -> tuple[K, int]:
        """Take the next key and its priority. One must wait."""
        ages = self._ages
        if self._turns + 1 >= self._oldest_every:
            key, priority = ages.popitem(last=False)
            del self._levels[priority][key]
            self._turns = 0
        else:
            oldest = next(iter(ages))
            priority = self._priorities[-1]
            key, _ = self._levels[priority].popitem(last=False)
            del ages[key]
            self._turns = 0 if key == oldest else self._turns + 1
        if not self._levels[priority]:
            self._drop_level(priority)
        return key, priority

    def _enter(self, key: K, priority: int) -> None:
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = OrderedDict()
            insort(self._priorities, priority)
        level[key] = None

    def _leave(self, key: K, priority: int) -> None:
        level = self._levels[priority]
        del level[key]
        if not level:
            self._drop_level(priority)

    def _drop_level(self, priority: int) -> None:
        del self._levels[priority]
        del self._priorities[bisect_left(self._priorities, priority)]
