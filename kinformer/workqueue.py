"""Keys to work on: de-duplicated, delayed, rate-limited. Knows nothing of Kubernetes.

A key is in at most one of three states, and may be marked once more while it is worked on:

    add ──▶ queued ──get──▶ processing ──done──▶ gone
              ▲                 │ add: marked dirty
              └──────done───────┘

So however often a key is added, it waits once; no two workers ever have the same key; and what is added while a
worker has it comes round again when that worker is done. Keys come out in the order in which they went in.

The rules are client-go's (util/workqueue: queue.go, delaying_queue.go, rate_limiting_queue.go). The differences:
`done` of a key nobody has is an error (there it may queue the key a second time), and a draining shutdown also waits
for what is still queued (there only for what is being processed, so that it may return before the work has begun).

Queues belong to one event loop and are not thread-safe. They need no loop to be made.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import math
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kinformer.errors import StoppedError
from kinformer.rate_limiters import default_rate_limiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer.rate_limiters import RateLimiter

__all__ = ["RateLimitingQueue", "WorkQueue"]

K = TypeVar("K", bound=Hashable)

# Delayed keys that become due together are added in slices, so that 100,000 of them do not hold the loop.
_RELEASED_PER_TURN: Final = 1000


class WorkQueue(Generic[K]):
    """A queue that holds each key at most once and gives it to at most one worker at a time.

        async with queue.item() as key:
            ...                                 # done(key) when the block is left

    `len(queue)` is the number of keys that wait for a worker, without those being processed.
    """

    def __init__(self) -> None:
        self._queue: deque[K] = deque()
        # All that must be worked on: what is queued, and what was added while being processed.
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._shutting_down = False
        self._drained = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def __repr__(self) -> str:
        state = " shutting down" if self._shutting_down else ""
        return f"<{type(self).__name__} queued={len(self._queue)} processing={len(self._processing)}{state}>"

    @property
    def shutting_down(self) -> bool:
        """Whether `shut_down` was called."""
        return self._shutting_down

    @property
    def idle(self) -> bool:
        """Whether no key is queued, and none is being processed. What is delayed does not count."""
        return not self._queue and not self._processing

    @property
    def processing(self) -> frozenset[K]:
        """The keys that workers have now."""
        return frozenset(self._processing)

    def add(self, key: K) -> None:
        """Ask for work on a key.

        A key that waits already is not queued twice; one that is being processed is queued again when it is done.
        After `shut_down` the key is ignored, so that late events disturb nobody.

        Raises:
            TypeError: the key cannot be hashed; nothing has changed.
        """
        if self._shutting_down or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._push(key)

    async def get(self) -> K:
        """Take the key that has waited longest; call `done` with it when the work on it has ended.

        If cancelled, no key is taken. Several workers may wait; each key goes to one of them.

        Raises:
            StoppedError: the queue was shut down and nothing is left in it; the worker should end.
        """
        while not self._queue and not self._shutting_down:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                getter.cancel()
                with contextlib.suppress(ValueError):
                    self._getters.remove(getter)
                # It was this getter's turn: somebody else must have the key now.
                if self._queue and not getter.cancelled():
                    self._wake_one()
                raise
        return self.get_nowait()

    def get_nowait(self) -> K:
        """Take the key that has waited longest, without waiting for one.

        Raises:
            asyncio.QueueEmpty: nothing is queued now.
            StoppedError: the queue was shut down and nothing is left in it.
        """
        if not self._queue:
            if self._shutting_down:
                raise StoppedError("the work queue was shut down and nothing is left in it; the worker should end")
            raise asyncio.QueueEmpty("no key is queued")
        key = self._queue.popleft()
        self._processing.add(key)
        self._dirty.discard(key)
        return key

    def done(self, key: K) -> None:
        """Say that the work on a key has ended, well or not. If the key was added meanwhile, it is queued again.

        Raises:
            ValueError: the key is not being processed.
        """
        if key not in self._processing:
            msg = f"{key!r} is not being processed; call done() once for each key that get() returned"
            raise ValueError(msg)
        self._processing.remove(key)
        if key in self._dirty:
            self._push(key)
        elif self._shutting_down and self.idle:
            self._drained.set()

    @contextlib.asynccontextmanager
    async def item(self) -> AsyncIterator[K]:
        """`get`, and `done` when the block is left, however it is left.

        Raises:
            StoppedError: as `get`; the block is not entered.
        """
        key = await self.get()
        try:
            yield key
        finally:
            self.done(key)

    async def shut_down(self, *, drain: bool = False) -> None:
        """Accept no more keys. What is queued is still handed out; then `get` raises `StoppedError`.

        May be called more than once. If cancelled while draining, the queue stays shut down.

        Args:
            drain: wait until every queued key was taken and every taken one is done, those too that were added again
                while they were processed. With no worker left that never happens: a later `shut_down()` without
                `drain` ends the wait.
        """
        self._shutting_down = True
        while self._getters:
            self._wake_one()
        if not drain or self.idle:
            self._drained.set()
            return
        self._drained.clear()
        await self._drained.wait()

    def _push(self, key: K) -> None:
        self._queue.append(key)
        self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return


class RateLimitingQueue(WorkQueue[K]):
    """A work queue whose keys can be added later: after a time, or after what a rate limiter says.

    Args:
        limiter: how long `add_rate_limited` waits; `default_rate_limiter()` when left out. It is this queue's own:
            limiters count per key, and two queues would count each other's.
    """

    def __init__(self, limiter: RateLimiter[K] | None = None) -> None:
        super().__init__()
        self._limiter: RateLimiter[K] = default_rate_limiter() if limiter is None else limiter
        # When each delayed key is due. The heap holds the same moments in order, and outdated ones, which are skipped.
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]} delayed={len(self._due)}>"

    def add_after(self, key: K, delay: float) -> None:
        """Add a key when a time has passed.

        A key is delayed at most once: of several moments the earliest counts. Keys come in the order of their
        moments. With `delay <= 0` the key is added now. As with a plain `add`, a delayed entry of the same key stays
        and adds it once more in its time (client-go delaying_queue.go).

        After `shut_down` the key is ignored; what was delayed until then is dropped.

        Args:
            key: the key.
            delay: seconds.

        Raises:
            ValueError: the delay is infinite or not a number.
            RuntimeError: no event loop is running (and the delay is more than 0).
        """
        if not math.isfinite(delay):
            msg = f"cannot add {key!r} after {delay} seconds: the delay must be a finite number"
            raise ValueError(msg)
        if self._shutting_down:
            return
        if delay <= 0:
            self.add(key)
            return
        due = asyncio.get_running_loop().time() + delay
        known = self._due.get(key)
        if known is not None and known <= due:
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, key))
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
        self._set_timer()

    def add_rate_limited(self, key: K) -> None:
        """Add a key after the time its rate limiter says, and count one more failure of it.

        Call `forget` when the work has succeeded at last, or will not be tried again; that does not replace `done`.

        Raises:
            RuntimeError: no event loop is running.
        """
        if not self._shutting_down:
            self.add_after(key, self._limiter.when(key, asyncio.get_running_loop().time()))

    def forget(self, key: K) -> None:
        """Begin anew with a key's failures. A delayed entry of the key stays."""
        self._limiter.forget(key)

    def num_requeues(self, key: K) -> int:
        """How often the key was added with `add_rate_limited` since it was forgotten."""
        return self._limiter.num_requeues(key)

    def due_within(self, seconds: float) -> int:
        """How many delayed keys come due within so many seconds.

        Raises:
            RuntimeError: no event loop is running.
        """
        until = asyncio.get_running_loop().time() + seconds
        return sum(due <= until for due in self._due.values())

    async def shut_down(self, *, drain: bool = False) -> None:
        """As `WorkQueue.shut_down`; keys whose time has not come are dropped."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()
        self._heap.clear()
        await super().shut_down(drain=drain)

    def _set_timer(self) -> None:
        """Let the one timer ring when the first of the heap is due."""
        heap = self._heap
        while heap and self._due.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)
        if self._timer is not None:
            if heap and self._timer.when() <= heap[0][0]:
                return
            self._timer.cancel()
            self._timer = None
        if heap:
            self._timer = asyncio.get_running_loop().call_at(heap[0][0], self._release)

    def _release(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for _ in range(_RELEASED_PER_TURN):
            if not self._heap or self._heap[0][0] > now:
                break
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        self._set_timer()
