"""What is counted: a Protocol with a do-nothing default, so that the core depends on no metrics library."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NO_METRICS",
    "ControllerGauges",
    "ControllerMetrics",
    "FailureCause",
    "Histogram",
    "Metrics",
    "NoMetrics",
    "QueueGauges",
    "QueueMetrics",
    "ReconcileResult",
    "WorkMetrics",
]


class Histogram:
    """Counts values by size; what it costs is one `bisect`, so that it can be kept whether anybody asks or not.

    Args:
        bounds: the upper bounds of the buckets, rising, each included in its bucket; there is one more for the rest.

    Attributes:
        bounds: as given.
        counts: how many values there were in each bucket, and last those above all bounds.
        total: the sum of all values.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Metrics(Protocol):
    """What an implementation is told. Calls are synchronous, on the event loop, and must not raise.

    `informer` is the informer's name (its resource and scope): a small, bounded set of values.
    """

    def listed(self, informer: str, *, objects: int, reason: str) -> None:
        """A list was finished; `reason` is why it was made: "initial", "expired", ..."""
        ...

    def watch_opened(self, informer: str) -> None:
        """A watch was answered."""
        ...

    def received(self, informer: str, *, events: int) -> None:
        """A batch of watch events arrived."""
        ...

    def failed(self, informer: str, error: BaseException) -> None:
        """Something went wrong, and will be tried again."""
        ...

    def handler_failed(self, informer: str, handler: str, error: BaseException) -> None:
        """A handler raised."""
        ...


class NoMetrics:
    """Counts nothing."""

    def listed(self, informer: str, *, objects: int, reason: str) -> None:
        """Do nothing."""

    def watch_opened(self, informer: str) -> None:
        """Do nothing."""

    def received(self, informer: str, *, events: int) -> None:
        """Do nothing."""

    def failed(self, informer: str, error: BaseException) -> None:
        """Do nothing."""

    def handler_failed(self, informer: str, handler: str, error: BaseException) -> None:
        """Do nothing."""


NO_METRICS = NoMetrics()


class QueueGauges(Protocol):
    """What can be read of a work queue at any moment, for what is collected when somebody asks."""

    def depth(self) -> Mapping[int, int]:
        """How many keys wait for a worker, by priority. Priorities in which none waits may be missing."""
        ...

    def unfinished_work(self) -> float:
        """Seconds that the keys being processed now have been processed so far, together."""
        ...

    def longest_running(self) -> float:
        """Seconds that the key which is being processed the longest has been so; 0 when there is none."""
        ...


class QueueMetrics(Protocol):
    """What one work queue tells as it happens. Calls are synchronous, on the event loop, and must not raise."""

    def added(self) -> None:
        """A key was added that did not wait already."""
        ...

    def taken(self, waited: float) -> None:
        """A worker took a key, so many seconds after it was added."""
        ...

    def finished(self, worked: float) -> None:
        """A worker was done with a key, so many seconds after it took it."""
        ...

    def retried(self) -> None:
        """A key was added with a delay: after a failure, or because a reconcile asked to be called again."""
        ...


class ControllerGauges(Protocol):
    """What can be read of a controller at any moment, for what is collected when somebody asks."""

    @property
    def workers(self) -> int:
        """How many reconciles may run at once."""
        ...

    @property
    def active_workers(self) -> int:
        """How many reconciles run now."""
        ...


ReconcileResult: TypeAlias = Literal["success", "requeue", "requeue_after", "error"]
"""How a reconcile ended, in controller-runtime's words. "requeue": it is to be called again at once."""

FailureCause: TypeAlias = Literal["raised", "terminal", "timeout", "cancelled"]
"""Why a reconcile failed: it raised; raised `TerminalError`; took longer than `timeout`; was cancelled from within."""


class ControllerMetrics(Protocol):
    """What one controller tells as it happens. Calls are synchronous, on the event loop, and must not raise."""

    def reconciled(self, result: ReconcileResult, seconds: float, cause: FailureCause | None = None) -> None:
        """A reconcile has ended after so many seconds; `cause` is given with the result "error" only."""
        ...


class WorkMetrics(Protocol):
    """Where work queues and controllers get what they count with, each once, when it is made.

    Names are a small, bounded set of values. A second queue or controller of the same name takes the place of the
    first one, which has been shut down.
    """

    def queue(self, name: str, gauges: QueueGauges) -> QueueMetrics:
        """A work queue of this name was made. Its gauges may be read from now on, at any time, on the event loop."""
        ...

    def controller(self, name: str, gauges: ControllerGauges) -> ControllerMetrics:
        """A controller of this name was made. Its gauges may be read from now on, at any time, on the event loop."""
        ...
