"""Metrics for Prometheus: informers, work queues, controllers and client requests, in one collector.

    metrics = PrometheusMetrics()                             # in prometheus_client's own registry
    client = Client(metrics=metrics)
    factory = SharedInformerFactory(client, metrics=metrics)
    controller = Controller("web", reconcile, metrics=metrics)
    prometheus_client.start_http_server(9090, addr="127.0.0.1")

Events cost nothing: a scrape reads the counts that informers, handlers and queues keep anyway. The names of
work queues, controllers and client requests are those of client-go and controller-runtime, so that dashboards made for
them work; informers have names of their own (`kinformer_informer_…`, `kinformer_handler_…`), for client-go has none.

Labels are bounded: the names of informers, handlers, queues and controllers, classes of errors, reasons, HTTP methods
and codes, and the API server's host. None is taken from an object.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import REGISTRY

from kinformer.integrations.prometheus._cached import CachedClientSeries
from kinformer.integrations.prometheus._families import counters, gauges, histograms
from kinformer.integrations.prometheus._fleets import FleetSeries
from kinformer.integrations.prometheus._informers import InformerSeries
from kinformer.integrations.prometheus._shards import ShardSeries
from kinformer.integrations.prometheus._work import ControllerSeries, QueueSeries, WorkSeries
from kinformer.metrics import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from kinformer.fleet import Fleet
    from kinformer.metrics import CachedClientCounts, ControllerGauges, QueueGauges
    from kinformer.operators.leader_election import LeaderElector
    from kinformer.operators.shard_group import ShardGroup

__all__ = ["REQUEST_BUCKETS", "SCRAPE_PATIENCE", "PrometheusMetrics"]

_log = logging.getLogger(__name__)

REQUEST_BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds (component-base metrics/prometheus/restclient, requestLatency)."""

SCRAPE_PATIENCE: Final = 2.0
"""Seconds that a scrape from another thread waits for the event loop to answer it."""


_LEADS: Final = "1 if this replica leads by the Lease of that name, 0 if it stands by."


class PrometheusMetrics:
    """Give it to clients, factories, informers, queues and controllers as `metrics=`; one for all of them.

    Scrapes may come from any thread. The event loop reads the figures between two of its turns. If it does not do so
    within two seconds, the scraping thread reads them itself, so that a blocked loop can be seen; then figures may not
    fit together exactly.

    Args:
        registry: where it is registered; prometheus_client's own by default, `None` for nowhere: it is a collector.

    Raises:
        ValueError: the registry has a `PrometheusMetrics` already, or metrics of the same names. Make one for the
            process, at module level: a function that makes a manager is called again by each test.
    """

    def __init__(self, registry: CollectorRegistry | None = REGISTRY) -> None:
        self._informers = InformerSeries()
        self._work = WorkSeries()
        self._shards = ShardSeries()
        self._fleets = FleetSeries()
        self._cached = CachedClientSeries()
        self._electors: dict[str, LeaderElector] = {}
        self._requests: Counter[tuple[str, ...]] = Counter()
        self._retries: Counter[tuple[str, ...]] = Counter()
        self._durations: dict[tuple[str, ...], Histogram] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        if registry is not None:
            _register(registry, self)

    # Events

    def informer_started(self, informer: Any) -> None:
        """An informer has been started; it is read from now on."""
        self._loop = asyncio.get_running_loop()
        self._informers.started(informer)

    def informer_stopped(self, informer: Any) -> None:
        """Keep the counts of an informer that has ended, and release the informer."""
        self._informers.stopped(informer)

    def listed(self, informer: str, *, objects: int, reason: str, seconds: float) -> None:
        """A list was finished; the informer's status counts them by reason."""
        del objects, reason
        self._informers.listed(informer, seconds)

    def watch_opened(self, informer: str, *, seconds: float) -> None:
        """The informer's status counts watches."""

    def failed(self, informer: str, error: BaseException) -> None:
        """The informer's status counts errors."""

    def handler_failed(self, informer: str, handler: str, error: BaseException) -> None:
        """The handler's registration counts failures."""

    def queue(self, name: str, gauges: QueueGauges) -> QueueSeries:
        """A work queue was made."""
        self._meet_loop()
        return self._work.queue(name, gauges)

    def controller(self, name: str, gauges: ControllerGauges) -> ControllerSeries:
        """A controller was made."""
        self._meet_loop()
        return self._work.controller(name, gauges)

    def shard_group(self, name: str, group: ShardGroup) -> None:
        """A shard group was made; its status is read from now on."""
        self._meet_loop()
        self._shards.add(name, group)

    def leader_elector(self, name: str, elector: LeaderElector) -> None:
        """A leader elector was made; a later one for a Lease of the same name takes its place."""
        self._meet_loop()
        self._electors[name] = elector

    def fleet(self, name: str, fleet: Fleet) -> None:
        """A fleet was made; its status is read from now on."""
        self._meet_loop()
        self._fleets.add(name, fleet)

    def cached_client(self, client: object, counts: CachedClientCounts) -> None:
        """A cached client was made."""
        self._meet_loop()
        self._cached.follow(client, counts)

    def requested(self, method: str, host: str, code: str, seconds: float) -> None:
        """A request was answered, or not: then the code is "<error>"."""
        self._requests[code, method, host] += 1
        duration = self._durations.get((method, host))
        if duration is None:
            self._meet_loop()
            duration = self._durations[method, host] = Histogram(REQUEST_BUCKETS)
        duration.observe(seconds)

    def retried(self, method: str, host: str, code: str) -> None:
        """A request is repeated by its client."""
        self._retries[code, method, host] += 1

    # Scrapes

    def describe(self) -> Iterable[Metric]:
        """The families, without a sample: for the registry, which looks for names that are taken."""
        return [*PrometheusMetrics(None)._families()]

    def collect(self) -> Iterable[Metric]:
        """Everything, as it is now."""
        loop = self._loop
        if loop is None or not loop.is_running() or _is_running_here(loop):
            return [*self._families()]
        answer: concurrent.futures.Future[list[Metric]] = concurrent.futures.Future()

        def read() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result([*self._families()])
                except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
                    answer.set_exception(error)

        loop.call_soon_threadsafe(read)
        try:
            return answer.result(SCRAPE_PATIENCE)
        except TimeoutError:
            answer.cancel()
            _log.warning("the event loop did not answer a scrape within %g s; reading beside it", SCRAPE_PATIENCE)
            return [*self._families()]

    def _families(self) -> Iterator[Metric]:
        yield from self._informers.families()
        yield from self._work.families()
        yield from self._shards.families()
        yield from self._fleets.families()
        yield from self._cached.families()
        yield gauges("leader_election_master_status", _LEADS, ("name",), _leading(self._electors.copy()))
        yield counters(
            "rest_client_requests",
            "Number of HTTP requests, partitioned by status code, method, and host.",
            ("code", "method", "host"),
            self._requests.copy(),
        )
        yield counters(
            "rest_client_request_retries",
            "Number of request retries, partitioned by status code, method, and host.",
            ("code", "method", "host"),
            self._retries.copy(),
        )
        yield histograms(
            "rest_client_request_duration_seconds",
            "Request latency in seconds until the head of the answer. Broken down by verb, and host.",
            ("verb", "host"),
            self._durations.copy(),
        )

    def _meet_loop(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            # Queues and controllers may be made before the loop runs; an informer brings it later.
            return


def _leading(electors: dict[str, LeaderElector]) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for name, elector in electors.items():
        # Its clock is that of the loop: a thread that reads beside a blocked one cannot say whether the lease holds.
        with contextlib.suppress(RuntimeError):
            found[name,] = float(elector.is_leader)
    return found


def _register(registry: CollectorRegistry, metrics: PrometheusMetrics) -> None:
    try:
        registry.register(metrics)
    except ValueError:
        # Without the cause, which lists all names.
        msg = (
            "the registry has metrics of these names already: make one PrometheusMetrics for the process, at module "
            "level, or give each its own registry, as in PrometheusMetrics(CollectorRegistry())"
        )
        raise ValueError(msg) from None


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
