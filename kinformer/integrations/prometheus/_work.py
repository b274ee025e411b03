"""Work queues and controllers as series, with the names, labels and buckets of controller-runtime.

(controller-runtime pkg/metrics/workqueue.go and pkg/internal/controller/metrics/metrics.go.) The label `controller` of
a work queue is its name, as there.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, repeat
from operator import mul
from typing import TYPE_CHECKING, Final

from kinformer.integrations.prometheus._families import counters, gauges, histograms
from kinformer.metrics import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from kinformer.metrics import ControllerGauges, FailureCause, QueueGauges, ReconcileResult

__all__ = ["RECONCILE_BUCKETS", "WORK_BUCKETS", "ControllerSeries", "QueueSeries", "WorkSeries"]

WORK_BUCKETS: Final = (*accumulate(repeat(10.0, 11), mul, initial=10e-9),)
"""Seconds: from 10 ns on, each ten times the one before. Multiplied as Go does, so that `le` reads the same."""

RECONCILE_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    *(1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0),
    *(50.0, 60.0),
)
"""Seconds."""

_RESULTS: Final[tuple[ReconcileResult, ...]] = ("success", "error", "requeue", "requeue_after")


class QueueSeries:
    """The counts of one work queue."""

    def __init__(self, read: QueueGauges) -> None:
        self.read = read
        self.adds = 0
        self.retries = 0
        self.waited = Histogram(WORK_BUCKETS)
        self.worked = Histogram(WORK_BUCKETS)

    def added(self) -> None:
        """A key was added that did not wait already."""
        self.adds += 1

    def taken(self, waited: float) -> None:
        """A worker took a key."""
        self.waited.observe(waited)

    def finished(self, worked: float) -> None:
        """A worker was done with a key."""
        self.worked.observe(worked)

    def retried(self) -> None:
        """A key was added with a delay."""
        self.retries += 1


class ControllerSeries:
    """The counts of one controller."""

    def __init__(self, read: ControllerGauges) -> None:
        self.read = read
        self.results: Counter[str] = Counter(dict.fromkeys(_RESULTS, 0))
        self.terminal = 0
        self.timeouts = 0
        self.times = Histogram(RECONCILE_BUCKETS)

    def reconciled(self, result: ReconcileResult, seconds: float, cause: FailureCause | None = None) -> None:
        """A reconcile has ended."""
        self.results[result] += 1
        self.terminal += cause == "terminal"
        self.timeouts += cause == "timeout"
        self.times.observe(seconds)


class WorkSeries:
    """All work queues and controllers, by name. One that takes the place of another goes on with its counters."""

    def __init__(self) -> None:
        self._queues: dict[str, QueueSeries] = {}
        self._controllers: dict[str, ControllerSeries] = {}

    def queue(self, name: str, read: QueueGauges) -> QueueSeries:
        """A queue was made."""
        series = self._queues.get(name)
        if series is None:
            series = self._queues[name] = QueueSeries(read)
        series.read = read
        return series

    def controller(self, name: str, read: ControllerGauges) -> ControllerSeries:
        """A controller was made."""
        series = self._controllers.get(name)
        if series is None:
            series = self._controllers[name] = ControllerSeries(read)
        series.read = read
        return series

    def families(self) -> Iterator[Metric]:
        """Everything, as it is now."""
        yield from _queues({(name, name): queue for name, queue in [*self._queues.items()]})
        yield from _controllers({(name,): controller for name, controller in [*self._controllers.items()]})


def _queues(queues: dict[tuple[str, ...], QueueSeries]) -> Iterator[Metric]:
    labels = ("name", "controller")
    # Priority 0 is there also while nothing waits: a series that comes and goes is hard to alert on.
    depths = {
        (*key, str(priority)): float(depth)
        for key, queue in queues.items()
        for priority, depth in ({0: 0} | dict(queue.read.depth())).items()
    }
    yield gauges(
        "workqueue_depth", "Current depth of workqueue by workqueue and priority.", (*labels, "priority"), depths
    )
    yield counters(
        "workqueue_adds",
        "Total number of adds handled by workqueue.",
        labels,
        {key: queue.adds for key, queue in queues.items()},
    )
    yield histograms(
        "workqueue_queue_duration_seconds",
        "How long in seconds a key stays in workqueue before being requested.",
        labels,
        {key: queue.waited for key, queue in queues.items()},
    )
    yield histograms(
        "workqueue_work_duration_seconds",
        "How long in seconds processing a key from workqueue takes.",
        labels,
        {key: queue.worked for key, queue in queues.items()},
    )
    yield gauges(
        "workqueue_unfinished_work_seconds",
        "Seconds that the keys being processed have been so, together: large values show reconciles that hang.",
        labels,
        {key: queue.read.unfinished_work() for key, queue in queues.items()},
    )
    yield gauges(
        "workqueue_longest_running_processor_seconds",
        "Seconds that the key which is being processed the longest has been so.",
        labels,
        {key: queue.read.longest_running() for key, queue in queues.items()},
    )
    yield counters(
        "workqueue_retries",
        "Total number of retries handled by workqueue.",
        labels,
        {key: queue.retries for key, queue in queues.items()},
    )


def _controllers(controllers: dict[tuple[str, ...], ControllerSeries]) -> Iterator[Metric]:
    labels = ("controller",)
    name = "controller_runtime"

    def each(read: Callable[[ControllerSeries], float]) -> dict[tuple[str, ...], float]:
        return {key: read(controller) for key, controller in controllers.items()}

    yield counters(
        f"{name}_reconcile",
        "Total number of reconciliations per controller.",
        (*labels, "result"),
        {(*key, result): count for key, series in controllers.items() for result, count in series.results.items()},
    )
    yield counters(
        f"{name}_reconcile_errors",
        "Total number of reconciliation errors per controller.",
        labels,
        each(lambda controller: controller.results["error"]),
    )
    yield counters(
        f"{name}_terminal_reconcile_errors",
        "Total number of terminal reconciliation errors per controller.",
        labels,
        each(lambda controller: controller.terminal),
    )
    yield counters(
        f"{name}_reconcile_timeouts",
        "Total number of reconciliation timeouts per controller.",
        labels,
        each(lambda controller: controller.timeouts),
    )
    yield histograms(
        f"{name}_reconcile_time_seconds",
        "Length of time per reconciliation per controller.",
        labels,
        {key: controller.times for key, controller in controllers.items()},
    )
    yield gauges(
        f"{name}_max_concurrent_reconciles",
        "Maximum number of concurrent reconciles per controller.",
        labels,
        each(lambda controller: controller.read.workers),
    )
    yield gauges(
        f"{name}_active_workers",
        "Number of currently used workers per controller.",
        labels,
        each(lambda controller: controller.read.active_workers),
    )
    yield counters(
        "kinformer_own_write_waits",
        "How often a key had to wait until the caches showed the write for it.",
        labels,
        each(lambda controller: controller.read.own_write_waits),
    )
    yield counters(
        "kinformer_own_write_timeouts",
        "How often that took too long, and reconcile was called with caches that were behind.",
        labels,
        each(lambda controller: controller.read.own_write_timeouts),
    )
