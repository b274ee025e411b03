"""Work queues: de-duplicated keys, by priority. Independent of Kubernetes.

A key is in at most one of three states, and may be marked once more while it is worked on:

    add ──▶ queued ──get──▶ processing ──done──▶ gone
            ▲ │ ▲               │ add: marked
    release │ │ └──────done─────┘
            held (hold_back)

So however often a key is added, it waits once; no two workers ever have the same key; and a key that is added while a
worker has it comes again when that worker is done. Higher priorities come out first, keys of one priority in the order
in which they went in, and none waits for ever (`kinformer.workqueue._priority_order` has the bound).

The rules are client-go's (util/workqueue: queue.go), those of priorities controller-runtime's
(pkg/controller/priorityqueue). The differences: `done` of a key that no worker has is an error (there it may queue the
key a second time); a draining shutdown also waits for queued keys (there only for those being processed, so that it may
return before the work has begun); and of two priorities the lower one does not starve.

Queues belong to one event loop and are not thread-safe. They need no loop to be made.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kinformer._flag import Flag
from kinformer._own_loop import OwnLoop
from kinformer._survivable import is_survivable
from kinformer.errors import StoppedError
from kinformer.workqueue._faulty_keys import removed
from kinformer.workqueue._metrics import WorkTimes
from kinformer.workqueue._priority_order import OLDEST_EVERY, Order, WorkOrder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kinformer.metrics import WorkMetrics

__all__ = ["DEFAULT_PRIORITY", "LOW_PRIORITY", "WorkQueue"]

K = TypeVar("K", bound=Hashable)

_log = logging.getLogger("kinformer.workqueue")

DEFAULT_PRIORITY: Final = 0
# controller-runtime: pkg/handler/eventhandler.go (LowPriority)
LOW_PRIORITY: Final = -100


class WorkQueue(Generic[K]):
    """A queue that holds each key at most once and gives it to at most one worker at a time.

        async with queue.item() as key:
            ...                                 # done(key) when the block is left

    `len(queue)` is the number of keys that wait for a worker, without those being processed.

    Args:
        name: the name in metrics.
        metrics: gets the reports of the queue; without it nothing is measured.
        oldest_every: while keys of several priorities wait, of how many keys one is the one that has waited longest,
            whatever its priority. A key before which `k` keys waited is one of the next `oldest_every * (k + 1)`.

    Attributes:
        name: as given.

    Raises:
        ValueError: there are metrics and no name, or `oldest_every` is less than 1.

    Examples:
        >>> queue = WorkQueue(name="example")
        >>> queue.add("default/web-0")
        >>> queue.add("default/web-0")
        >>> async with queue.item() as key:
        ...     print(key, len(queue))
        default/web-0 0
    """

    def __init__(self, *, name: str = "", metrics: WorkMetrics | None = None, oldest_every: int = OLDEST_EVERY) -> None:
        self.name = name
        self._order: Order[K] = self._new_order(oldest_every)
        # Priorities of the keys that workers have, and of those that were added again meanwhile.
        self._processing: dict[K, int] = {}
        self._again: dict[K, int] = {}
        # Keys that `must_wait` holds back, with their priorities: neither queued nor processing.
        self._held: dict[K, int] = {}
        self._must_wait: Callable[[K], bool] | None = None
        self._times: WorkTimes[K] | None = None if metrics is None else WorkTimes(name, metrics, self._order.depth)
        self._getters: deque[asyncio.Future[None]] = deque()
        self._shutting_down = False
        self._drained = Flag()
        self._own_loop = OwnLoop(f"work queue {name}".rstrip() + " was first waited for")

    def _new_order(self, oldest_every: int) -> Order[K]:
        return WorkOrder(oldest_every)

    def __len__(self) -> int:
        return len(self._order)

    def __repr__(self) -> str:
        state = " shutting down" if self._shutting_down else ""
        return f"<{type(self).__name__} queued={len(self._order)} processing={len(self._processing)}{state}>"

    @property
    def shutting_down(self) -> bool:
        """True after a call of `shut_down`."""
        return self._shutting_down

    @property
    def idle(self) -> bool:
        """True if no key is queued, held back or being processed. Delayed keys do not count."""
        return not self._order and not self._processing and not self._held

    @property
    def held(self) -> frozenset[K]:
        """The keys that are held back (see `hold_back`)."""
        return frozenset(self._held)

    @property
    def processing(self) -> frozenset[K]:
        """The keys that workers have now."""
        return frozenset(self._processing)

    @property
    def depth(self) -> dict[int, int]:
        """Number of keys that wait for a worker, by priority; priorities without keys are missing."""
        return self._order.depth()

    @property
    def metrics_failures(self) -> int:
        """Number of times that the metrics of the queue raised; their figures may be wrong."""
        return 0 if self._times is None else self._times.failures

    def priority(self, key: K) -> int | None:
        """Return the priority with which a worker took a key; `None` for a key that no worker has."""
        return self._processing.get(key)

    def waits(self, key: K) -> bool:
        """Return whether a key waits for a worker, also if it is held back, or is being processed and comes again."""
        return key in self._order or key in self._held or key in self._again

    def add(self, key: K, *, priority: int = DEFAULT_PRIORITY) -> None:
        """Add a key to work on.

        A key that waits already is not queued twice; one that is being processed is queued again when it is done.
        After `shut_down` the key is ignored, so that late events do no harm.

        Args:
            key: the key.
            priority: higher ones come first. A key that waits with a lower one is raised, and comes after the others
                of the higher one that wait already; one that waits with a higher one stays where it is.

        Raises:
            TypeError: the key cannot be hashed; nothing has changed.
            Exception: as raised by the `__hash__` or `__eq__` of the key, or by the `__eq__` of a key in the queue that
                has the same hash; nothing has changed.
        """
        if not self._shutting_down:
            self._add(key, priority)

    def _add(self, key: K, priority: int) -> None:
        order = self._order
        if key in order:
            order.raise_priority(key, priority)
            return
        if key in self._processing:
            marked = self._again.get(key)
            if marked is None or priority > marked:
                self._again[key] = priority
            if marked is not None:
                return
        elif self._held and key in self._held:
            self._held[key] = max(priority, self._held[key])
            return
        else:
            order.push(key, priority)
            if self._getters:
                self._wake_one()
        if self._times is not None:
            self._times.added(key)

    def hold_back(self, must_wait: Callable[[K], bool]) -> None:
        """Ask a function about each key before it is handed out; keep the keys for which it returns true.

        A key that is held back is not handed out before `release` is called with it, and then the function is asked
        again. Other keys are handed out meanwhile. Adding the key again changes nothing but its priority. After
        `shut_down`, `get` still waits for keys that are held back.

        If the function raises, that is logged, and the key is handed out.

        Args:
            must_wait: a function from a key to whether it must wait. It must not call the queue.

        Raises:
            ValueError: the queue has such a function already.
        """
        if self._must_wait is not None:
            msg = f"{self!r} holds keys back already; give each controller a queue of its own"
            raise ValueError(msg)
        self._must_wait = must_wait

    def release(self, key: K) -> None:
        """Queue a key that is held back, behind the others of its priority. Does nothing for any other key."""
        if key in self._held:
            self._order.push(key, self._held.pop(key))
            if self._getters:
                self._wake_one()

    def _keep(self, key: K, priority: int) -> bool:
        """Hold a key back if it must wait; return whether that is so."""
        assert self._must_wait is not None
        try:
            if not self._must_wait(key):
                return False
        except BaseException as error:
            if not is_survivable(error):
                raise
            _log.error("%r: the function given to hold_back raised; %r is handed out", self, key, exc_info=error)
            return False
        self._held[key] = priority
        return True

    async def get(self) -> K:
        """Take the next key; call `done` with it when the work on it has ended.

        If cancelled, no key is taken. Several workers may wait; each key goes to one of them.

        Raises:
            StoppedError: the queue was shut down and nothing is left in it; the worker should end.
            WrongLoopError: the first wait for a key was in another event loop.
        """
        while True:
            try:
                return self.get_nowait()
            except asyncio.QueueEmpty:
                pass
            await self._next_turn()

    async def _next_turn(self) -> None:
        """Wait until a key was queued, or the queue was shut down."""
        self._own_loop.take_once()
        getter = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except BaseException:
            getter.cancel()
            with contextlib.suppress(ValueError):
                self._getters.remove(getter)
            # It was the turn of this getter: another one must take the key now.
            if self._order and not getter.cancelled():
                self._wake_one()
            raise

    def get_nowait(self) -> K:
        """Take the next key, without waiting for one.

        Raises:
            asyncio.QueueEmpty: nothing is queued now.
            StoppedError: the queue was shut down and nothing is left in it.
        """
        while self._order:
            try:
                key, priority = self._order.pop()
            except asyncio.QueueEmpty:
                if self._order:
                    raise
                break
            if self._must_wait is not None and self._keep(key, priority):
                continue
            try:
                self._processing[key] = priority
            except BaseException as error:
                if not is_survivable(error):
                    raise
                _log.error("%r drops a key, whose __hash__ or __eq__ raises", self, exc_info=error)
                self._dropped(key)
                continue
            if self._times is not None:
                self._times.taken(key)
            if self._shutting_down and not self._order and not self._held:
                self._wake_all()
            return key
        if self._shutting_down and not self._held:
            raise StoppedError("the work queue was shut down and nothing is left in it; the worker should end")
        raise asyncio.QueueEmpty("no key is queued")

    def _dropped(self, key: K) -> None:
        """Do what else is to do when a key is taken and dropped at once."""

    def done(self, key: K) -> None:
        """Report that the work on a key has ended, well or not. A key that was added meanwhile is queued again.

        Raises:
            ValueError: the key is not being processed.
        """
        if not removed(self._processing, key):
            msg = f"{key!r} is not being processed; call done() once for each key that get() returned"
            raise ValueError(msg)
        if self._times is not None:
            self._times.finished(key)
        priority = self._again.pop(key, None) if self._again else None
        if priority is not None:
            self._order.push(key, priority)
            if self._getters:
                self._wake_one()
        elif self._shutting_down and self.idle:
            self._drained.set()

    def give_back(self, key: K) -> None:
        """Be done with a key without having worked on it: it is queued again, with the priority it had or a higher one.

        This also holds after `shut_down`: a key that was handed out is never lost.

        Raises:
            ValueError: the key is not being processed.
        """
        priority = self._processing.get(key)
        if priority is not None:
            self._add(key, priority)
        self.done(key)

    @contextlib.asynccontextmanager
    async def item(self) -> AsyncIterator[K]:
        """Take a key as `get` does, and call `done` when the block ends, also by an exception.

        Raises:
            StoppedError: as `get`; the block is not entered.
        """
        key = await self.get()
        try:
            yield key
        finally:
            self.done(key)

    async def shut_down(self, *, drain: bool = False) -> None:
        """Accept no more keys. Queued keys are still handed out; then `get` raises `StoppedError`.

        May be called more than once. If cancelled while draining, the queue stays shut down.

        Args:
            drain: wait until every queued key was taken and every taken one is done, those too that were added again
                while they were processed. With no worker left that never happens: a later `shut_down()` without
                `drain` ends the wait.

        Raises:
            WrongLoopError: the queue is used in another event loop, and would have to be waited for.
        """
        if drain and not self.idle:
            self._own_loop.take_once()
        self._shutting_down = True
        self._wake_all()
        if not drain or self.idle:
            self._drained.set()
            return
        self._drained.clear()
        await self._drained.wait()

    def _wake_all(self) -> None:
        while self._getters:
            self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
