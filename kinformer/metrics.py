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
    "CachedClientCounts",
    "CachedClientMetrics",
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
    "failures_of",
    "guarded",
]

_log = logging.getLogger(__name__)


class Histogram:
    """Counts values by size. Each value costs one `bisect`, so that the counts can always be kept.

    Args:
        bounds: the upper bounds of the buckets, ascending and inclusive; one more bucket counts all larger values.

    Attributes:
        bounds: as given.
        counts: number of values in each bucket; the last entry counts the values above all bounds.
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
        """Add the counts of another histogram with the same bounds."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Metrics(Protocol):
    """The reports of an informer. Calls are synchronous, on the event loop, and should not raise.

    Events are not reported: an informer counts them in its `status`, which can be read at any moment. `informer` is the
    name of the informer (its resource and scope): a small, bounded set of values.
    """

    def informer_started(self, informer: Any) -> None:
        """Report the start of a `SharedInformer`; its `status`, `handlers` and `pending` may be read from now on."""
        ...

    def informer_stopped(self, informer: Any) -> None:
        """Report the end of a started `SharedInformer`; its counts stay the same from now on."""
        ...

    def listed(self, informer: str, *, objects: int, reason: str, seconds: float) -> None:
        """Report a list, the seconds from its request to its end, and its reason: "initial", "expired", ..."""
        ...

    def watch_opened(self, informer: str, *, seconds: float) -> None:
        """Report that the server answered a watch, and the seconds from its request."""
        ...

    def failed(self, informer: str, error: BaseException) -> None:
        """Report a failure; the informer retries."""
        ...

    def handler_failed(self, informer: str, handler: str, error: BaseException) -> None:
        """Report that a handler raised."""
        ...


class RequestMetrics(Protocol):
    """The reports of a client. Calls are synchronous, on the event loop, and should not raise."""

    def requested(self, method: str, host: str, code: str, seconds: float) -> None:
        """Report that a request was answered, or failed.

        Args:
            method: the HTTP method.
            host: host and port of the API server.
            code: the HTTP status; "<error>" if there was no answer (client-go: rest/request.go).
            seconds: the time until the head of the answer; a watch goes on after that.
        """
        ...

    def retried(self, method: str, host: str, code: str) -> None:
        """Report that the client repeats a request (`RetryPolicy`).

        Args:
            method: the HTTP method.
            host: host and port of the API server.
            code: the HTTP status that is the reason; "<error>" for a lost connection.
        """
        ...


class NoMetrics:
    """Counts nothing. A base class for sinks that need only some of the reports."""

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
    """Calls the methods of one sink. Exceptions of the sink are logged and counted, and do not reach the caller.

    The first, tenth, hundredth, ... failure is logged with its traceback.

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
    """Passes every report of an informer to several sinks, in their order. No sink can disturb another one.

    Args:
        all: the sinks.
    """

    def __init__(self, *all: Metrics) -> None:  # noqa: A002 - the natural name
        self._all = [SinkGuard(sink) for sink in all]

    @property
    def failures(self) -> int:
        """Number of calls in which a sink raised."""
        return sum(sink.failures for sink in self._all)

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


def failures_of(metrics: Metrics) -> int:
    """Return the number of calls in which a sink of guarded metrics raised."""
    return metrics.failures if isinstance(metrics, AllMetrics) else 0


class QueueGauges(Protocol):
    """The figures of a work queue that can be read at any moment, for metrics that are collected on demand."""

    def depth(self) -> Mapping[int, int]:
        """Return the number of keys that wait for a worker, by priority. Priorities without keys may be missing."""
        ...

    def unfinished_work(self) -> float:
        """Return the total seconds for which the keys in progress have been processed so far."""
        ...

    def longest_running(self) -> float:
        """Return the longest time in seconds for which a key in progress has been processed; 0 if there is none."""
        ...


class QueueMetrics(Protocol):
    """The reports of one work queue. Calls are synchronous, on the event loop, and should not raise."""

    def added(self) -> None:
        """Report that a key was added that did not wait already."""
        ...

    def taken(self, waited: float) -> None:
        """Report that a worker took a key, `waited` seconds after it was added."""
        ...

    def finished(self, worked: float) -> None:
        """Report that a worker finished a key, `worked` seconds after it took the key."""
        ...

    def retried(self) -> None:
        """Report that a key was added with a delay: after a failure, or because a reconcile requested it."""
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
        """Number of such waits that timed out; only grows."""
        ...


ReconcileResult: TypeAlias = Literal["success", "requeue", "requeue_after", "error"]
"""The result of a reconcile, in controller-runtime's words. "requeue": the key is queued again at once."""

FailureCause: TypeAlias = Literal["raised", "terminal", "timeout", "cancelled"]
"""The cause of a failed reconcile: an exception, a `TerminalError`, its `timeout`, or a cancellation from within."""


class ControllerMetrics(Protocol):
    """The reports of one controller. Calls are synchronous, on the event loop, and should not raise."""

    def reconciled(self, result: ReconcileResult, seconds: float, cause: FailureCause | None = None) -> None:
        """Report the end of a reconcile and its seconds; `cause` is given with the result "error" only."""
        ...


class CachedClientCounts(Protocol):
    """The counts of a cached client that can be read at any moment; see `CachedClientStatus`."""

    @property
    def from_cache(self) -> Mapping[str, int]:
        """Answers that caches gave, by verb."""
        ...

    @property
    def from_server(self) -> Mapping[str, int]:
        """Questions for the server, by reason."""
        ...

    @property
    def refused(self) -> int:
        """Questions that were refused."""
        ...

    @property
    def waits(self) -> int:
        """Waits for a cache."""
        ...

    @property
    def started(self) -> int:
        """Informers that were started."""
        ...

    @property
    def applies_sent(self) -> int:
        """Applies that were sent."""
        ...

    @property
    def applies_saved(self) -> Mapping[str, int]:
        """Applies that were saved, by reason."""
        ...


class CachedClientMetrics(Protocol):
    """A sink for the counts of cached clients. Each client calls it once, when it is created."""

    def cached_client(self, client: object, counts: CachedClientCounts, /) -> None:
        """Read the counts of a client as long as the client exists. They do not refer to the client."""
        ...


class WorkMetrics(Protocol):
    """A source of metrics for work queues and controllers. Each calls it once, when it is created.

    Names are a small, bounded set of values. A second queue or controller of the same name replaces the first one,
    which has been shut down.
    """

    def queue(self, name: str, gauges: QueueGauges) -> QueueMetrics:
        """Return the metrics of a new work queue. Its gauges may be read at any time, on the event loop."""
        ...

    def controller(self, name: str, gauges: ControllerGauges) -> ControllerMetrics:
        """Return the metrics of a new controller. Its gauges may be read at any time, on the event loop."""
        ...
