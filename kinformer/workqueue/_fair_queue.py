"""A queue whose keys belong to groups, such as clusters: the groups take turns, and none has all workers."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kinformer.workqueue._faulty_keys import holds
from kinformer.workqueue._priority_order import OLDEST_EVERY, Order, WorkOrder
from kinformer.workqueue._rate_limiting_queue import RateLimitingQueue
from kinformer.workqueue._work_queue import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.metrics import WorkMetrics
    from kinformer.workqueue.rate_limiters import RateLimiter

__all__ = ["FairQueue"]

K = TypeVar("K", bound=Hashable)

PER_GROUP: Final = 2


class _FairOrder(Generic[K]):
    """Waiting keys by group. The group of the next key is the one whose last turn is longest ago.

    Args:
        group_of: returns the group of a key.
        per_group: number of keys of one group that workers may have at once.
        oldest_every: as for `WorkOrder`, within each group.
    """

    def __init__(self, group_of: Callable[[K], Hashable], per_group: int, oldest_every: int) -> None:
        self._group_of = group_of
        self._per_group = per_group
        self._oldest_every = oldest_every
        # Groups with waiting keys, in the order of their turns: those that may be served, and those that are full.
        self._next: OrderedDict[Hashable, WorkOrder[K]] = OrderedDict()
        self._full: OrderedDict[Hashable, WorkOrder[K]] = OrderedDict()
        self._busy: Counter[Hashable] = Counter()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __contains__(self, key: K) -> bool:
        order = self._order_of(self._group_of(key))
        return order is not None and key in order

    @property
    def may_be_taken(self) -> bool:
        """True if a key may be taken now."""
        return bool(self._next)

    def depth(self) -> dict[int, int]:
        """Return the number of keys by priority."""
        found: Counter[int] = Counter()
        for order in (*self._next.values(), *self._full.values()):
            found.update(order.depth())
        return dict(sorted(found.items()))

    def push(self, key: K, priority: int) -> None:
        """Add a key that does not wait yet."""
        group = self._group_of(key)
        order = self._order_of(group)
        if order is None:
            order = WorkOrder(self._oldest_every)
            (self._full if self._busy.get(group, 0) >= self._per_group else self._next)[group] = order
        order.push(key, priority)
        self._length += 1

    def raise_priority(self, key: K, priority: int) -> None:
        """Give a waiting key a higher priority; a lower one changes nothing."""
        order = self._order_of(self._group_of(key))
        assert order is not None
        order.raise_priority(key, priority)

    def pop(self) -> tuple[K, int]:
        """Take the next key of the group whose turn it is. Call `done` with it later.

        Raises:
            asyncio.QueueEmpty: all groups with waiting keys are full.
        """
        while True:
            if not self._next:
                raise asyncio.QueueEmpty("all groups with waiting keys have as many workers as they may")
            group, order = self._next.popitem(last=False)
            before = len(order)
            try:
                found = order.pop()
                break
            except asyncio.QueueEmpty:
                continue
            finally:
                self._length -= before - len(order)
        self._busy[group] += 1
        if order:
            (self._full if self._busy.get(group, 0) >= self._per_group else self._next)[group] = order
        return found

    def done(self, key: K) -> None:
        """Note that a worker has one key less of a group."""
        group = self._group_of(key)
        self._busy[group] -= 1
        if self._busy[group] <= 0:
            del self._busy[group]
        order = self._full.pop(group, None)
        if order is not None:
            self._next[group] = order

    def is_busy(self, group: Hashable) -> bool:
        """Return whether workers have keys of a group."""
        return group in self._busy

    def drop(self, group: Hashable) -> list[K]:
        """Remove the waiting keys of a group, and return them."""
        order = self._order_of(group)
        if order is None:
            return []
        self._next.pop(group, None)
        self._full.pop(group, None)
        self._length -= len(order)
        return order.keys()

    def _order_of(self, group: Hashable) -> WorkOrder[K] | None:
        order = self._next.get(group)
        return self._full.get(group) if order is None else order


class FairQueue(RateLimitingQueue[K]):
    """A `RateLimitingQueue` whose keys belong to groups, such as clusters or tenants.

    Groups take turns: a group with one key waits for one key of each other group at most, however many they have.
    Workers have at most `per_group` keys of one group at once, so a group whose keys take long leaves workers to others
    as long as there are more workers than that. Priorities count within a group.

    Args:
        group_of: returns the group of a key; a plain function that does not raise.
        per_group: number of keys of one group that workers may have at once.
        limiter: as for `RateLimitingQueue`.
        name: as for `WorkQueue`.
        metrics: as for `WorkQueue`.
        oldest_every: as for `WorkQueue`, within each group.

    Raises:
        ValueError: `per_group` is less than 1.

    Examples:
        >>> queue = FairQueue(lambda key: key[0], name="example")
        >>> for key in ("a/1", "a/2", "b/1"):
        ...     queue.add(key)
        >>> [queue.get_nowait() for _ in range(3)]
        ['a/1', 'b/1', 'a/2']
    """

    def __init__(
        self,
        group_of: Callable[[K], Hashable],
        *,
        per_group: int = PER_GROUP,
        limiter: RateLimiter[K] | None = None,
        name: str = "",
        metrics: WorkMetrics | None = None,
        oldest_every: int = OLDEST_EVERY,
    ) -> None:
        if per_group < 1:
            msg = f"per_group={per_group}: expected 1 or more, or no key would ever be taken"
            raise ValueError(msg)
        self._group_of = group_of
        self._fair: _FairOrder[K] = _FairOrder(group_of, per_group, oldest_every)
        # Groups that get no keys; those of them that are opened when no worker has a key of them.
        self._closed: set[Hashable] = set()
        self._ending: set[Hashable] = set()
        super().__init__(limiter, name=name, metrics=metrics, oldest_every=oldest_every)

    def _new_order(self, oldest_every: int) -> Order[K]:  # noqa: ARG002 - it has it already
        return self._fair

    def _keep(self, key: K, priority: int) -> bool:
        kept = super()._keep(key, priority)
        if kept:
            # No worker has it.
            self._fair.done(key)
        return kept

    def _dropped(self, key: K) -> None:
        self._fair.done(key)

    def done(self, key: K) -> None:
        """Report that the work on a key has ended; see `WorkQueue.done`.

        Raises:
            ValueError: the key is not being processed.
        """
        if holds(self._processing, key):
            self._fair.done(key)
        super().done(key)
        if self._ending:
            self._end_groups()
        if self._getters and self._fair.may_be_taken:
            self._wake_one()

    def _add(self, key: K, priority: int) -> None:
        if not (self._closed and self._group_of(key) in self._closed):
            super()._add(key, priority)

    def add_after(self, key: K, delay: float, *, priority: int = DEFAULT_PRIORITY, replace: bool = False) -> None:
        """Add a key when a time has passed; see `RateLimitingQueue.add_after`. A closed group gets none.

        Raises:
            ValueError: the delay is infinite or not a number.
            RuntimeError: no event loop is running (and the delay is more than 0).
        """
        if self._closed and self._group_of(key) in self._closed:
            self.forget(key)
        else:
            super().add_after(key, delay, priority=priority, replace=replace)

    def close_group(self, group: Hashable) -> None:
        """Remove all keys of a group, and ignore those that are added to it from now on, until `open_group`.

        Queued, held back, delayed and debounced keys are removed, and their failures are forgotten. A key that a worker
        has stays with it, and does not come again.
        """
        self._closed.add(group)
        for key in self._fair.drop(group):
            self.forget(key)
        for key in [key for key in self._again if self._group_of(key) == group]:
            del self._again[key]
        for key in [key for key in self._held if self._group_of(key) == group]:
            del self._held[key]
            self.forget(key)
        for delays in (self._delays, self._debounced):
            for key in delays.keys():  # noqa: SIM118 - no mapping
                if self._group_of(key) == group:
                    delays.cancel(key)
                    self._debounced_since.pop(key, None)
                    self.forget(key)
        if self._shutting_down:
            self._wake_all()
            if self.idle:
                self._drained.set()

    def open_group(self, group: Hashable) -> None:
        """Accept keys of a group again."""
        self._closed.discard(group)
        self._ending.discard(group)

    def forget_group(self, group: Hashable) -> None:
        """Hold nothing of a closed group any more, once no worker has a key of it."""
        if group in self._closed:
            self._ending.add(group)
            self._end_groups()

    def _end_groups(self) -> None:
        ended = {group for group in self._ending if not self._fair.is_busy(group)}
        self._closed -= ended
        self._ending -= ended
