"""Work queues whose keys can be added later: delayed, debounced and rate-limited.

A key that waits for its time is not in the queue yet. It is added when the time has come, and the rules of
`kinformer.workqueue._work_queue` hold from then on.

The rules are client-go's (util/workqueue: delaying_queue.go, rate_limiting_queue.go). The difference: a delayed key can
be cancelled or put off.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinformer.workqueue._delays import Delays
from kinformer.workqueue._priority_order import OLDEST_EVERY
from kinformer.workqueue._work_queue import DEFAULT_PRIORITY, K, WorkQueue
from kinformer.workqueue.rate_limiters import default_rate_limiter

if TYPE_CHECKING:
    from kinformer.metrics import WorkMetrics
    from kinformer.workqueue.rate_limiters import RateLimiter

__all__ = ["Debounce", "RateLimitingQueue"]


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
