"""Work queues: de-duplicated keys, by priority, delayed and rate-limited. Independent of Kubernetes.

A key is in at most one of three states, and may be marked once more while it is worked on:

    add ──▶ queued ──get──▶ processing ──done──▶ gone
            ▲ │ ▲               │ add: marked
    release │ │ └──────done─────┘
            held (hold_back)

So however often a key is added, it waits once; no two workers ever have the same key; and a key that is added while a
worker has it comes again when that worker is done. Higher priorities come out first, keys of one priority in the order
in which they went in, and none waits for ever (`kinformer.workqueue._priority_order` has the bound).

The rules are client-go's (util/workqueue: queue.go, delaying_queue.go, rate_limiting_queue.go), those of priorities
controller-runtime's (pkg/controller/priorityqueue). The differences: `done` of a key that no worker has is an error
(there it may queue the key a second time); a draining shutdown also waits for queued keys (there only for those being
processed, so that it may return before the work has begun); a delayed key can be cancelled or put off; and of two
priorities the lower one does not starve.

Queues belong to one event loop and are not thread-safe. They need no loop to be made.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kinformer._flag import Flag
from kinformer._own_loop import OwnLoop
from kinformer._survivable import is_survivable
from kinformer.errors import StoppedError
from kinformer.workqueue._delays import Delays
from kinformer.workqueue._metrics import WorkTimes
from kinformer.workqueue._priority_order import OLDEST_EVERY, Order, WorkOrder
from kinformer.workqueue.rate_limiters import default_rate_limiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kinformer.metrics import WorkMetrics
    from kinformer.workqueue.rate_limiters import RateLimiter

__all__ = ["DEFAULT_PRIORITY", "LOW_PRIORITY", "Debounce", "RateLimitingQueue", "WorkQueue"]

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
            key, priority = self._order.pop()
            if self._must_wait is not None and self._keep(key, priority):
                continue
            self._processing[key] = priority
            if self._times is not None:
                self._times.taken(key)
            if self._shutting_down and not self._order and not self._held:
                self._wake_all()
            return key
        if self._shutting_down and not self._held:
            raise StoppedError("the work queue was shut down and nothing is left in it; the worker should end")
        raise asyncio.QueueEmpty("no key is queued")

    def done(self, key: K) -> None:
        """Report that the work on a key has ended, well or not. A key that was added meanwhile is queued again.

        Raises:
            ValueError: the key is not being processed.
        """
        if key not in self._processing:
            msg = f"{key!r} is not being processed; call done() once for each key that get() returned"
            raise ValueError(msg)
        del self._processing[key]
        if self._times is not None:
            self._times.finished(key)
        priority = self._again.pop(key, None)
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


@dataclass(frozen=True, slots=True)
class Debounce:
    """The time that a key waits for its events to calm down.

    Args:
        quiet: seconds without another event after which the key is queued.
        max_wait: seconds after the first event at which it is queued in any case: without that, a key that changes all
            the time would never be worked on.

    Raises:
        ValueError: not `0 < quiet <= max_wait`, or they are not finite.
    """

    quiet: float
    max_wait: float

    def __post_init__(self) -> None:
        if not (0 < self.quiet <= self.max_wait and math.isfinite(self.max_wait)):
            msg = f"{self!r}: expected finite seconds with 0 < quiet <= max_wait"
            raise ValueError(msg)


class RateLimitingQueue(WorkQueue[K]):
    """A work queue whose keys can be added later: after a time, or after what a rate limiter says.

    Args:
        limiter: how long `add_rate_limited` waits; `default_rate_limiter()` when left out. It is this queue's own:
            limiters count per key, and two queues would count each other's.
        name: as for `WorkQueue`.
        metrics: as for `WorkQueue`.
        oldest_every: as for `WorkQueue`.

    Examples:
        >>> queue = RateLimitingQueue(name="example")
        >>> queue.add_rate_limited("default/web-0")
        >>> async with queue.item() as key:
        ...     queue.forget(key)
    """

    def __init__(
        self,
        limiter: RateLimiter[K] | None = None,
        *,
        name: str = "",
        metrics: WorkMetrics | None = None,
        oldest_every: int = OLDEST_EVERY,
    ) -> None:
        super().__init__(name=name, metrics=metrics, oldest_every=oldest_every)
        self._limiter: RateLimiter[K] = default_rate_limiter() if limiter is None else limiter
        self._delays: Delays[K] = Delays(self._add)
        # Apart from the delayed ones: a retry is not put off by an event, and an event not until the retry.
        self._debounced: Delays[K] = Delays(self._end_debounce)
        self._debounced_since: dict[K, float] = {}

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]} delayed={self.delayed}>"

    @property
    def delayed(self) -> int:
        """Number of entries that wait for their time, debounced ones included; a key may have one of either kind."""
        return len(self._delays) + len(self._debounced)

    def add_after(self, key: K, delay: float, *, priority: int = DEFAULT_PRIORITY, replace: bool = False) -> None:
        """Add a key when a time has passed.

        A key is delayed at most once: of several moments the earliest counts, of several priorities the highest. Keys
        come in the order of their moments. With `delay <= 0` the key is added now. As with a plain `add`, a delayed
        entry of the same key stays and adds it once more in its time (client-go delaying_queue.go), unless it is
        replaced.

        After `shut_down` the key is ignored; delayed keys are dropped by it.

        Args:
            key: the key.
            delay: seconds.
            priority: as for `add`, when its time has come.
            replace: whether this takes the place of the key's delayed entry, if there is one: it can be put off, or
                be added now and not once more.

        Raises:
            ValueError: the delay is infinite or not a number.
            RuntimeError: no event loop is running (and the delay is more than 0).
        """
        if not math.isfinite(delay):
            msg = f"cannot add {key!r} after {delay} seconds: the delay must be a finite number"
            raise ValueError(msg)
        if self._shutting_down:
            return
        if delay > 0:
            self._delays.put(key, asyncio.get_running_loop().time() + delay, priority, replace=replace)
        else:
            if replace:
                self._delays.cancel(key)
            self._add(key, priority)
        if self._times is not None:
            self._times.retried()

    def add_debounced(self, key: K, debounce: Debounce, *, priority: int = DEFAULT_PRIORITY) -> None:
        """Add a key when it was not added in this way for a while, or when it has waited long enough.

        It neither puts off what `add` and `add_after` add nor is put off by them. After `shut_down` the key is ignored.

        Args:
            key: the key.
            debounce: for how long.
            priority: as for `add`, when its time has come; of several priorities the highest counts.

        Raises:
            RuntimeError: no event loop is running.
        """
        if self._shutting_down:
            return
        now = asyncio.get_running_loop().time()
        since = self._debounced_since.setdefault(key, now)
        before = self._debounced.priority(key)
        due = min(now + debounce.quiet, since + debounce.max_wait)
        self._debounced.put(key, due, priority if before is None else max(priority, before), replace=True)

    def add_debounced_now(self) -> None:
        """Add all debounced keys at once."""
        self._debounced.release_all()

    def _end_debounce(self, key: K, priority: int) -> None:
        del self._debounced_since[key]
        self._add(key, priority)

    def cancel_delayed(self, key: K) -> bool:
        """Remove the delayed entry of a key. A debounced, queued or processed key stays so.

        Returns:
            Whether there was one.
        """
        return self._delays.cancel(key)

    def add_rate_limited(self, key: K, *, priority: int = DEFAULT_PRIORITY, at_least: float = 0.0) -> None:
        """Add a key after the time that the rate limiter returns, and count one more failure of the key.

        Call `forget` when the work has succeeded at last, or will not be tried again; that does not replace `done`.

        Args:
            key: the key.
            priority: as for `add`, when its time has come.
            at_least: seconds to wait even if the limiter returns less, such as a server asks for with `Retry-After`.

        Raises:
            ValueError: the limiter returned an infinite time, or no number.
            RuntimeError: no event loop is running.
        """
        if not self._shutting_down:
            delay = self._limiter.when(key, asyncio.get_running_loop().time())
            if not math.isfinite(delay):
                msg = f"cannot add {key!r}: the rate limiter returned {delay!r}; it must return a finite number"
                raise ValueError(msg)
            self.add_after(key, max(delay, at_least), priority=priority)

    def forget(self, key: K) -> None:
        """Reset the failures of a key. A delayed entry of the key stays."""
        self._limiter.forget(key)

    def num_requeues(self, key: K) -> int:
        """Return how often the key was added with `add_rate_limited` since it was forgotten."""
        return self._limiter.num_requeues(key)

    def due_within(self, seconds: float) -> int:
        """Return the number of entries, delayed and debounced ones, that come due within so many seconds.

        Raises:
            RuntimeError: no event loop is running.
        """
        moment = asyncio.get_running_loop().time() + seconds
        return self._delays.due_by(moment) + self._debounced.due_by(moment)

    async def shut_down(self, *, drain: bool = False) -> None:
        """As `WorkQueue.shut_down`; keys whose time has not come are dropped, but debounced ones drained."""
        if drain:
            self._own_loop.check()
        self._delays.clear()
        if drain:
            self.add_debounced_now()
        self._debounced.clear()
        self._debounced_since.clear()
        await super().shut_down(drain=drain)
