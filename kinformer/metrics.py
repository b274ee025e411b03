"""Metrics: Protocols with defaults that do nothing, so that the core depends on no metrics library."""

from __future__ import annotations

import logging
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from kinformer._survivable import is_survivable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NO_METRICS",
    "AllMetrics",
    "ControllerGauges",
    "ControllerMetrics",
    "FailureCause",
    "Histogram",
    "Metrics",
    "NoMetrics",
    "QueueGauges",
    "QueueMetrics",
    "ReconcileResult",
    "RequestMetrics",
    "SinkGuard",
    "WorkMetrics",
    "guarded",
]

_log = logging.getLogger(__name__)


class Histogram:
    """Counts values by size. Each value costs one `bisect`, so that the counts can always be kept.

    Args:
        bounds: the upper bounds of the buckets, rising, each included in its bucket; one more bucket has the rest.

    Attributes:
        bounds: as given.
        counts: number of values in each bucket; the last entry counts those above all bounds.
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

    def add(self, other: Histogram) -> None:
        """Count all that another one of the same bounds has counted."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Metrics(Protocol):
    """The reports of an informer. Calls are synchronous, on the event loop, and should not raise.

    Events are not reported: an informer counts them in its `status`, which can be read at any moment. `informer` is the
    name of the informer (its resource and scope): a small, bounded set of values.
    """

    def informer_started(self, informer: Any) -> None:
        """A `SharedInformer` has been started. Its `status`, `handlers` and `pending` may be read from now on."""
        ...

    def informer_stopped(self, informer: Any) -> None:
        """A `SharedInformer` that had been started has ended, and counts no further."""
        ...

    def listed(self, informer: str, *, objects: int, reason: str, seconds: float) -> None:
        """A list was finished, so long after it was asked for; `reason` is why: "initial", "expired", ..."""
        ...

    def watch_opened(self, informer: str, *, seconds: float) -> None:
        """A watch was answered, so long after it was asked for."""
        ...

    def failed(self, informer: str, error: BaseException) -> None:
        """Something went wrong, and will be tried again."""
        ...

    def handler_failed(self, informer: str, handler: str, error: BaseException) -> None:
        """A handler raised."""
        ...


class RequestMetrics(Protocol):
    """The reports of a client. Calls are synchronous, on the event loop, and should not raise."""

    def requested(self, method: str, host: str, code: str, seconds: float) -> None:
        """A request was answered, or failed.

        Args:
            method: the HTTP method.
            host: the API server's, with its port.
            code: the HTTP status; "<error>" when there was none (client-go: rest/request.go).
            seconds: until the head of the answer; a watch goes on after that.
        """
        ...

    def retried(self, method: str, host: str, code: str) -> None:
        """A request is repeated by the client (`RetryPolicy`).

        Args:
            method: the HTTP method.
            host: the API server's, with its port.
            code: the HTTP status that is the reason; "<error>" for a lost connection.
        """
        ...


class NoMetrics:
    """Counts nothing. A base for sinks that need a few reports only."""

    def informer_started(self, informer: Any) -> None:
        """Do nothing."""

    def informer_stopped(self, informer: Any) -> None:
        """Do nothing."""

    def listed(self, informer: str, *, objects: int, reason: str, seconds: float) -> None:
        """Do nothing."""

    def watch_opened(self, informer: str, *, seconds: float) -> None:
        """Do nothing."""

    def failed(self, informer: str, error: BaseException) -> None:
        """Do nothing."""

    def handler_failed(self, informer: str, handler: str, error: BaseException) -> None:
        """Do nothing."""


NO_METRICS = NoMetrics()


class SinkGuard:
    """Calls the methods of one sink. Exceptions of the sink are logged and counted, and go no further.

    The first failure is logged with its traceback, and then each tenth, hundredth, ... one.

    Args:
        sink: the metrics of a user.

    Attributes:
        failures: number of calls that raised.
    """

    __slots__ = ("_sink", "failures")

    def __init__(self, sink: object) -> None:
        self._sink = sink
        self.failures = 0

    def call(self, method: str, *values: Any, **named: Any) -> None:
        """Call a method of the sink."""
        try:
            getattr(self._sink, method)(*values, **named)
        except BaseException as error:
            if not is_survivable(error):
                raise
            self.failures += 1
            if str(self.failures).rstrip("0") == "1":
                text = "%s.%s raised (failure %d); the metrics may be wrong from now on"
                _log.error(text, type(self._sink).__qualname__, method, self.failures, exc_info=error)


class AllMetrics:
    """Passes everything that an informer reports to several sinks, in their order. No sink can disturb another one.

    Args:
        all: the sinks.
    """

    def __init__(self, *all: Metrics) -> None:  # noqa: A002 - the natural name
        self._all = [SinkGuard(sink) for sink in all]

    def informer_started(self, informer: Any) -> None:
        """Pass it on."""
        self._pass_on("informer_started", informer)

    def informer_stopped(self, informer: Any) -> None:
        """Pass it on."""
        self._pass_on("informer_stopped", informer)

    def listed(self, informer: str, *, objects: int, reason: str, seconds: float) -> None:
        """Pass it on."""
        self._pass_on("listed", informer, objects=objects, reason=reason, seconds=seconds)

    def watch_opened(self, informer: str, *, seconds: float) -> None:
        """Pass it on."""
        self._pass_on("watch_opened", informer, seconds=seconds)

    def failed(self, informer: str, error: BaseException) -> None:
        """Pass it on."""
        self._pass_on("failed", informer, error)

    def handler_failed(self, informer: str, handler: str, error: BaseException) -> None:
        """Pass it on."""
        self._pass_on("handler_failed", informer, handler, error)

    def _pass_on(self, method: str, *values: Any, **named: Any) -> None:
        for sink in self._all:
            sink.call(method, *values, **named)


def guarded(metrics: Metrics) -> Metrics:
    """Return metrics that never raise, and pass everything on to the given ones."""
    return metrics if type(metrics) in {NoMetrics, AllMetrics} else AllMetrics(metrics)


class QueueGauges(Protocol):
    """The figures of a work queue that can be read at any moment, for metrics that are collected on demand."""

    def depth(self) -> Mapping[int, int]:
        """Return the number of keys that wait for a worker, by priority. Priorities without keys may be missing."""
        ...

    def unfinished_work(self) -> float:
        """Seconds that the keys being processed now have been processed so far, together."""
        ...

    def longest_running(self) -> float:
        """Seconds that the key which is being processed the longest has been so; 0 when there is none."""
        ...


class QueueMetrics(Protocol):
    """The reports of one work queue. Calls are synchronous, on the event loop, and should not raise."""

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
    """The figures of a controller that can be read at any moment, for metrics that are collected on demand."""

    @property
    def workers(self) -> int:
        """Maximum number of reconciles at once."""
        ...

    @property
    def active_workers(self) -> int:
        """Number of reconciles that run now."""
        ...

    @property
    def own_write_waits(self) -> int:
        """Number of times that a key had to wait until the caches showed the writes for it; only grows."""
        ...

    @property
    def own_write_timeouts(self) -> int:
        """Number of times that this took too long; only grows."""
        ...


ReconcileResult: TypeAlias = Literal["success", "requeue", "requeue_after", "error"]
"""How a reconcile ended, in controller-runtime's words. "requeue": it is to be called again at once."""

FailureCause: TypeAlias = Literal["raised", "terminal", "timeout", "cancelled"]
"""Why a reconcile failed: it raised; raised `TerminalError`; took longer than `timeout`; was cancelled from within."""


class ControllerMetrics(Protocol):
    """The reports of one controller. Calls are synchronous, on the event loop, and should not raise."""

    def reconciled(self, result: ReconcileResult, seconds: float, cause: FailureCause | None = None) -> None:
        """A reconcile has ended after so many seconds; `cause` is given with the result "error" only."""
        ...


class WorkMetrics(Protocol):
    """A source of metrics for work queues and controllers. Each asks once, when it is made.

    Names are a small, bounded set of values. A second queue or controller of the same name takes the place of the
    first one, which has been shut down.
    """

    def queue(self, name: str, gauges: QueueGauges) -> QueueMetrics:
        """A work queue of this name was made. Its gauges may be read from now on, at any time, on the event loop."""
        ...

    def controller(self, name: str, gauges: ControllerGauges) -> ControllerMetrics:
        """A controller of this name was made. Its gauges may be read from now on, at any time, on the event loop."""
        ...
