"""The reports of a measured work queue: how long keys wait, and how long workers have them.

A queue without metrics has none of this, and never reads a clock. The figures are those of client-go (util/workqueue/
metrics.go). Its gauges, which it writes each half second, are read on demand here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from kinformer._survivable import is_survivable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer.metrics import WorkMetrics

__all__ = ["WorkTimes"]

K = TypeVar("K", bound=Hashable)


_log = logging.getLogger(__name__)


def _now() -> float | None:
    """Return the loop's time; `None` if no loop runs: a key that is added then has no waiting time."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return None


class WorkTimes(Generic[K]):
    """The clock of one queue; its gauges (`kinformer.metrics.QueueGauges`) as well.

    Attributes:
        failures: number of times that the metrics raised.

    Raises:
        ValueError: the queue has no name to be counted under.
    """

    def __init__(self, name: str, metrics: WorkMetrics, depth: Callable[[], Mapping[int, int]]) -> None:
        if not name:
            raise ValueError("a work queue that is measured needs a name: WorkQueue(name=..., metrics=...)")
        self._name = name
        self._depth = depth
        self.failures = 0
        self._added: dict[K, float] = {}
        self._taken: dict[K, float] = {}
        self._metrics = metrics.queue(name, self)

    def depth(self) -> Mapping[int, int]:
        """Return the number of keys that wait for a worker, by priority."""
        return self._depth()

    def unfinished_work(self) -> float:
        """Return the total seconds for which the keys in progress have been processed so far."""
        now = _now()
        return 0.0 if now is None else sum(now - since for since in self._taken.values())

    def longest_running(self) -> float:
        """Return the longest time in seconds for which a key in progress has been processed; 0 if there is none."""
        now = _now()
        return 0.0 if now is None or not self._taken else now - min(self._taken.values())

    def added(self, key: K) -> None:
        """Record that a key was added that did not wait before."""
        now = _now()
        if now is not None:
            self._added[key] = now
        self._tell(self._metrics.added)

    def taken(self, key: K) -> None:
        """Record that a worker took the key."""
        now = _now()
        since = self._added.pop(key, None)
        if now is None:
            return
        self._taken[key] = now
        if since is not None:
            self._tell(self._metrics.taken, now - since)

    def finished(self, key: K) -> None:
        """Record that the worker finished the key."""
        now = _now()
        since = self._taken.pop(key, None)
        if now is not None and since is not None:
            self._tell(self._metrics.finished, now - since)

    def retried(self) -> None:
        """Record that a key was added with a delay."""
        self._tell(self._metrics.retried)

    def _tell(self, call: Callable[..., None], *seconds: float) -> None:
        try:
            call(*seconds)
        except BaseException as error:
            if not is_survivable(error):
                raise
            # It must not, but a queue that loses keys because of its metrics would be worse. Logged once, not per key.
            self.failures += 1
            if self.failures == 1:
                message = "work queue %s: its metrics raised; its figures may be wrong from now on"
                _log.error(message, self._name, exc_info=error)
