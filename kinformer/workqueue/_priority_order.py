"""The order of waiting keys: by priority, first come first served within one; regularly the oldest key of all.

Priority alone starves keys: while keys of a higher priority keep coming, a key of a lower one would wait for ever. So
every `oldest_every`-th key handed out is the key that has waited longest, of any priority. This bounds the wait: if `k`
keys wait when a key comes, it is one of the next `oldest_every * (k + 1)` keys handed out, no matter how many urgent
keys come after it. The bound counts keys, not seconds, so it needs no clock. Urgent keys lose at most one turn in
`oldest_every`.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, Protocol, TypeVar

from kinformer._survivable import is_survivable

__all__ = ["OLDEST_EVERY", "Order", "WorkOrder"]

K = TypeVar("K", bound=Hashable)

_log = logging.getLogger("kinformer.workqueue")

OLDEST_EVERY: Final = 8


class Order(Protocol[K]):
    """The waiting keys of a queue, each once."""

    def __len__(self) -> int: ...

    def __contains__(self, key: K) -> bool: ...

    def depth(self) -> dict[int, int]:
        """Return the number of keys by priority."""
        ...

    def push(self, key: K, priority: int) -> None:
        """Add a key that does not wait yet."""
        ...

    def raise_priority(self, key: K, priority: int) -> None:
        """Give a waiting key a higher priority; a lower one changes nothing."""
        ...

    def pop(self) -> tuple[K, int]:
        """Take the next key and its priority.

        Raises:
            asyncio.QueueEmpty: keys wait, and none of them may be taken now.
        """
        ...


class WorkOrder(Generic[K]):
    """The waiting keys, each once.

    `push`, `pop` and `raise_priority` take time logarithmic in the number of priorities.

    Args:
        oldest_every: every so many keys, hand out the key that has waited longest; 1 is first come, first served.

    Raises:
        ValueError: `oldest_every` is less than 1.
    """

    __slots__ = ("_ages", "_levels", "_oldest_every", "_priorities", "_turns")

    def __init__(self, oldest_every: int = OLDEST_EVERY) -> None:
        if oldest_every < 1:
            msg = f"oldest_every={oldest_every}: expected 1 or more, or a key of low priority might wait for ever"
            raise ValueError(msg)
        self._oldest_every = oldest_every
        # Ordered dicts: in a plain dict, finding the first key takes ever longer as keys are removed from its front.
        self._ages: OrderedDict[K, int] = OrderedDict()
        self._levels: dict[int, OrderedDict[K, None]] = {}
        self._priorities: list[int] = []
        # Keys handed out since the last oldest key.
        self._turns = 0

    def __len__(self) -> int:
        return len(self._ages)

    def __contains__(self, key: K) -> bool:
        return key in self._ages

    def keys(self) -> list[K]:
        """Return the keys, the oldest first."""
        return [*self._ages]

    def depth(self) -> dict[int, int]:
        """Return the number of keys by priority."""
        return {priority: len(self._levels[priority]) for priority in self._priorities}

    def push(self, key: K, priority: int) -> None:
        """Add a key that does not wait yet, behind the keys of its priority."""
        self._ages[key] = priority
        self._enter(key, priority)

    def raise_priority(self, key: K, priority: int) -> None:
        """Move a waiting key behind the keys of a higher priority, keeping its age; a lower one changes nothing."""
        known = self._ages[key]
        if priority > known:
            self._ages[key] = priority
            self._leave(key, known)
            self._enter(key, priority)

    def pop(self) -> tuple[K, int]:
        """Take the next key and its priority; at least one key must wait.

        Keys whose `__hash__` or `__eq__` raises are dropped, with an error in the log.

        Raises:
            asyncio.QueueEmpty: all keys were dropped.
        """
        while self._ages:
            try:
                return self._pop()
            except BaseException as error:
                if not is_survivable(error) or not self._drop_faulty(error):
                    raise
        raise asyncio.QueueEmpty("no key is left: those that waited were dropped")

    def _pop(self) -> tuple[K, int]:
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
            # By identity: the `__eq__` of a key is code of a user, and may raise.
            self._turns = 0 if key is oldest else self._turns + 1
        if not self._levels[priority]:
            self._drop_level(priority)
        return key, priority

    def _drop_faulty(self, error: BaseException) -> int:
        """Enter all keys anew, because one of them failed half way; return the number of those that fail again."""
        # An OrderedDict hashes its keys as it is iterated, a dict does not. Both have the same order.
        waiting = [*dict.items(self._ages)]
        self._ages, self._levels, self._priorities = OrderedDict(), {}, []
        for key, priority in waiting:
            try:
                self.push(key, priority)
            except BaseException as failure:
                if not is_survivable(failure):
                    raise
        dropped = len(waiting) - len(self._ages)
        _log.error("a work queue drops %d keys, whose __hash__ or __eq__ raises", dropped, exc_info=error)
        return dropped

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
