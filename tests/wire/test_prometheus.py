"""What Prometheus scrapes: of informers, handlers, queues, controllers and requests, over the whole way."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import threading
from collections import Counter
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kinformer import (
    Client,
    ClusterConfig,
    Controller,
    ForbiddenError,
    LeaderElector,
    NotFoundError,
    ObjectKey,
    Requeue,
    Shard,
    ShardGroup,
    SharedInformerFactory,
    TerminalError,
    TransportError,
)
from kinformer.integrations.prometheus import PrometheusMetrics
from kinformer.integrations.prometheus import _collector as prometheus
from kinformer.integrations.status_endpoint import status_of
from kinformer.integrations.ui.stats import Stats
from kinformer.metrics import NoMetrics
from kinformer.resources import CONFIGMAPS, NODES
from kinformer.testing import build
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer.events import Event
    from kinformer.integrations.settling import Settled
    from kinformer.testing import ApiServer, Faults


class Scraper:
    """A registry of this test's own, and what a scrape of it finds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = PrometheusMetrics(self.registry)

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        text = generate_latest(self.registry).decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
        assert len(found) == len(samples), "a series is there twice"
        return found

    def __call__(self, name: str, /, **labels: str) -> float | None:
        return self.samples().get((name, frozenset(labels.items())))

    def all(self, name: str) -> dict[tuple[str, ...], float]:
        """All series of a name, by the values of their labels in the order of the labels' names."""
        return {
            tuple(value for _, value in sorted(labels)): count
            for (found, labels), count in self.samples().items()
            if found == name
        }


@pytest.fixture
def scrape() -> Scraper:
    return Scraper()


@pytest.fixture
def informer_factory_options(scrape: Scraper) -> dict[str, Any]:
    return {"metrics": scrape.metrics}


@pytest.fixture
async def kube_client(kube_api: ApiServer, scrape: Scraper) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(kube_api.url), metrics=scrape.metrics) as client:
        yield client


async def test_an_informer_s_series_say_what_its_status_says(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled, scrape: Scraper
) -> None:
    maps = informer_factory.core.v1.configmaps
    for name in ("a", "b", "c"):
        kube_api.create(build.config_map(name))
    await settled()
    kube_api.patch("v1", "ConfigMap", "a", {"data": {"x": "1"}})
    kube_api.delete("v1", "ConfigMap", "b")
    await settled()
    me = {"informer": "configmaps.v1"}
    assert scrape("kinformer_informer_objects", **me) == 2
    size = sum(len(found.raw) for found in maps.lister.list())
    assert scrape("kinformer_informer_json_bytes", **me) == scrape("kinformer_informer_stored_bytes", **me) == size
    assert scrape("kinformer_informer_synced", **me) == 1
    assert scrape("kinformer_informer_pending_objects", **me) == 0
    assert scrape("kinformer_informer_failures", **me) == 0
    assert scrape("kinformer_informer_resource_version", **me) == kube_api.resource_version
    assert scrape.all("kinformer_informer_changes_total") == {
        ("configmaps.v1", "added"): 3,
        ("configmaps.v1", "updated"): 1,
        ("configmaps.v1", "deleted"): 1,
    }
    assert scrape("kinformer_informer_watch_events_total", **me) == maps.status.events == 2
    assert scrape.all("kinformer_informer_lists_total") == {("configmaps.v1", "initial"): 1}
    assert scrape("kinformer_informer_watches_total", **me) == 1
    states = scrape.all("kinformer_informer_state")
    assert {state for (_, state), value in states.items() if value} == {"watching"}
    assert len(states) == 7
    staleness = scrape("kinformer_informer_staleness_seconds", **me)
    assert staleness is not None
    assert 0 <= staleness < 60
    assert scrape("kinformer_informer_list_duration_seconds_count", **me) == 1


async def test_handlers_are_read_with_what_waits_for_them(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled, scrape: Scraper
) -> None:
    go_on = asyncio.Event()

    async def waits(event: Event) -> None:
        await go_on.wait()
        if event.key.name == "bad":
            raise ValueError

    maps = informer_factory.core.v1.configmaps
    registration = maps.add_event_handler(waits, name="waits")
    await settled()
    kube_api.create(build.config_map("a"))
    kube_api.create(build.config_map("bad"))
    await maps.wait_for("bad", namespace="default", timeout=60)
    while registration.waiting != 1:
        await asyncio.sleep(0)
    me = {"informer": "configmaps.v1", "handler": "waits"}
    assert scrape("kinformer_handler_waiting_events", **me) == 1
    behind = scrape("kinformer_handler_behind_seconds", **me)
    assert behind is not None
    assert behind > 0
    go_on.set()
    await settled()
    assert scrape("kinformer_handler_waiting_events", **me) == 0
    assert scrape("kinformer_handler_behind_seconds", **me) == 0
    assert scrape("kinformer_handler_failures_total", **me) == 1
    assert scrape("kinformer_handler_catch_up_seconds_count", **me) == sum(registration.catch_ups.counts) >= 1


async def test_what_goes_wrong_is_counted_by_class_and_reason(
    kube_api: ApiServer,
    kube_faults: Faults,
    informer_factory: SharedInformerFactory,
    settled: Settled,
    scrape: Scraper,
) -> None:
    maps = informer_factory.core.v1.configmaps
    await settled()
    kube_faults.corrupt("configmaps", "bad")
    kube_api.create(build.config_map("bad"))
    await settled()
    kube_faults.expire()
    kube_api.create(build.config_map("good"))
    await settled()
    errors = {error: count for (error, _), count in scrape.all("kinformer_informer_errors_total").items()}
    assert errors == maps.status.errors
    assert errors["ExpiredError"] == 1
    left_out = {error: count for (error, _), count in scrape.all("kinformer_informer_left_out_total").items()}
    # Once in the watch, and once more in the list.
    assert left_out == {"DecodeError": 2, "TransformError": 0, "IndexFunctionError": 0}
    assert scrape("kinformer_informer_lists_total", informer="configmaps.v1", reason="expired") == 1
    assert scrape("kinformer_informer_watch_ends_total", informer="configmaps.v1", reason="ExpiredError") == 1


async def test_the_place_that_filters_a_shard_is_a_metric_in_the_status_and_on_the_page(
    kube_api: ApiServer,
    kube_faults: Faults,
    informer_factory: SharedInformerFactory,
    settled: Settled,
    scrape: Scraper,
) -> None:
    kube_faults.without_shards()
    for number in range(20):
        kube_api.create(build.config_map(f"m{number}"))
    maps = informer_factory.informer(CONFIGMAPS, shard=Shard(0, of=2))
    await settled()
    foreign = maps.status.foreign_events
    assert foreign > 0
    shown = scrape.all("kinformer_informer_sharding")
    assert shown == {(maps.name, place): float(place == "here") for place in ("server", "here", "unknown")}
    assert scrape("kinformer_informer_foreign_events_total", informer=maps.name) == foreign
    (served,) = status_of(informer_factory)["informers"]
    assert (served["sharding"], served["foreign_events"]) == ("here", foreign)
    (row,) = Stats().report({"": maps})["informers"]
    assert (row["sharding"], row["foreignEvents"]) == ("here", foreign)


async def test_an_informer_without_a_shard_has_no_sharding(
    informer_factory: SharedInformerFactory, settled: Settled, scrape: Scraper
) -> None:
    _ = informer_factory.core.v1.configmaps
    await settled()
    assert scrape.all("kinformer_informer_sharding") == {}


async def test_an_informer_that_takes_the_place_of_another_goes_on_counting(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled, scrape: Scraper
) -> None:
    first = informer_factory.core.v1.configmaps
    kube_api.create(build.config_map("a"))
    await settled()
    await first.stop()
    assert scrape("kinformer_informer_objects", informer="configmaps.v1") is None
    second = informer_factory.core.v1.configmaps
    assert second is not first
    await settled()
    assert scrape("kinformer_informer_changes_total", informer="configmaps.v1", type="added") == 2
    assert scrape("kinformer_informer_lists_total", informer="configmaps.v1", reason="initial") == 2
    assert scrape("kinformer_informer_objects", informer="configmaps.v1") == 1


async def test_informers_of_one_name_are_added_up(
    kube_api: ApiServer,
    kube_client: Client,
    informer_factory: SharedInformerFactory,
    settled: Settled,
    scrape: Scraper,
) -> None:
    informer_factory.core.v1.configmaps  # noqa: B018 - asking for it makes it
    kube_api.create(build.config_map("a"))
    async with SharedInformerFactory(kube_client, metrics=scrape.metrics) as other:
        other.core.v1.configmaps  # noqa: B018
        await settled(other)
        assert scrape("kinformer_informer_objects", informer="configmaps.v1") == 2
        assert scrape("kinformer_informer_state", informer="configmaps.v1", state="watching") == 2
        assert scrape("kinformer_informer_watches_total", informer="configmaps.v1") == 2


async def test_more_objects_make_no_more_series(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled, scrape: Scraper
) -> None:
    async def nothing(key: ObjectKey) -> None:
        """Reconcile."""

    secrets = informer_factory.core.v1.secrets
    controller = Controller("example", nothing, metrics=scrape.metrics).watches(secrets)
    async with informer_factory, controller:
        kube_api.create(build.secret("s-0"))
        await settled()
        before = set(scrape.samples())
        for number in range(1, 200):
            kube_api.create(build.secret(f"s-{number}", data={"password": f"hunter-{number}"}))
        await settled()
        assert set(scrape.samples()) == before
        text = generate_latest(scrape.registry).decode()
        assert "s-1" not in text
        assert "hunter" not in text


async def test_keys_that_wait_for_what_was_written_are_counted(
    kube_api: ApiServer, kube_client: Client, informer_factory: SharedInformerFactory, scrape: Scraper
) -> None:
    deleted, seen = asyncio.Event(), asyncio.Event()
    maps = informer_factory.core.v1.configmaps

    async def reconcile(key: ObjectKey) -> None:
        if key.name != "gone":
            return
        if maps.lister.get(key) is None:
            seen.set()
        else:
            await kube_client.delete(CONFIGMAPS, key.name, namespace=key.namespace)
            deleted.set()

    kube_api.create(build.config_map("gone"))
    controller = Controller("example", reconcile, metrics=scrape.metrics).watches(maps)
    async with asyncio.timeout(60), informer_factory:
        await informer_factory.wait_for_cache_sync()
        while not kube_api.open_watches:
            await asyncio.sleep(0.001)
        kube_api.faults.freeze_watches()
        async with controller:
            await deleted.wait()
            controller.queue.add(ObjectKey("default", "gone"))
            while not controller.own_write_waits:
                await asyncio.sleep(0.001)
            # It has not been called again with a cache that still has the object.
            assert not seen.is_set()
            kube_api.faults.clear()
            await seen.wait()
    assert scrape("kinformer_own_write_waits_total", controller="example") == 1
    assert scrape("kinformer_own_write_timeouts_total", controller="example") == 0


async def test_reconciles_and_queues_have_controller_runtime_s_names(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled, scrape: Scraper
) -> None:
    go_on = asyncio.Event()

    async def reconcile(key: ObjectKey) -> Requeue | None:
        match key.name:
            case "requeue-after":
                return Requeue(after=300)
            case "terminal":
                raise TerminalError("never")
            case "slow":
                await go_on.wait()
        return None

    maps = informer_factory.core.v1.configmaps
    controller = Controller("example", reconcile, workers=3, metrics=scrape.metrics).watches(maps)
    # All results are there from the beginning, as with controller-runtime.
    assert scrape.all("controller_runtime_reconcile_total") == {
        ("example", result): 0 for result in ("success", "error", "requeue", "requeue_after")
    }
    async with informer_factory, controller:
        for name in ("fine", "requeue-after", "terminal", "slow"):
            kube_api.create(build.config_map(name))
        while controller.queue.processing != {ObjectKey("default", "slow")} or len(controller.queue):
            await asyncio.sleep(0)
        queue = {"name": "example", "controller": "example"}
        assert scrape("controller_runtime_active_workers", controller="example") == 1
        assert scrape("controller_runtime_max_concurrent_reconciles", controller="example") == 3
        assert scrape("workqueue_unfinished_work_seconds", **queue) == pytest.approx(
            scrape("workqueue_longest_running_processor_seconds", **queue), abs=0.5
        )
        go_on.set()
        await settled()
        assert scrape.all("controller_runtime_reconcile_total") == {
            ("example", "success"): 2,
            ("example", "error"): 1,
            ("example", "requeue"): 0,
            ("example", "requeue_after"): 1,
        }
        assert scrape("controller_runtime_reconcile_errors_total", controller="example") == 1
        assert scrape("controller_runtime_terminal_reconcile_errors_total", controller="example") == 1
        assert scrape("controller_runtime_reconcile_timeouts_total", controller="example") == 0
        assert scrape("controller_runtime_reconcile_time_seconds_count", controller="example") == 4
        assert scrape("controller_runtime_active_workers", controller="example") == 0
        assert scrape("workqueue_depth", priority="0", **queue) == 0
        assert scrape("workqueue_adds_total", **queue) == 4
        assert scrape("workqueue_retries_total", **queue) == 1
        assert scrape("workqueue_queue_duration_seconds_count", **queue) == 4
        assert scrape("workqueue_work_duration_seconds_count", **queue) == 4


def bounds(scrape: Scraper, family: str) -> list[str]:
    found = [dict(labels)["le"] for name, labels in scrape.samples() if name == f"{family}_bucket"]
    return sorted(found, key=float)


async def test_the_buckets_are_those_of_controller_runtime(scrape: Scraper) -> None:
    async def nothing(key: str) -> None:
        """Reconcile."""

    Controller("example", nothing, metrics=scrape.metrics)
    # ExponentialBuckets(10e-9, 10, 12) as Go multiplies them, errors of the multiplication included.
    small = ["1e-08", "1e-07", "1e-06", "9.999999999999999e-06", "9.999999999999999e-05", "0.001"]
    expected = [*small, "0.01", "0.1", "1.0", "10.0", "100.0", "1000.0", "+Inf"]
    assert bounds(scrape, "workqueue_queue_duration_seconds") == expected
    assert bounds(scrape, "workqueue_work_duration_seconds") == expected
    assert len(bounds(scrape, "controller_runtime_reconcile_time_seconds")) == 41


async def test_requests_are_counted_by_code_method_and_host(
    kube_api: ApiServer, kube_client: Client, kube_faults: Faults, scrape: Scraper
) -> None:
    await kube_client.create(CONFIGMAPS, build.config_map("a"))
    await kube_client.get(CONFIGMAPS, "a", namespace="default")
    with pytest.raises(NotFoundError):
        await kube_client.get(CONFIGMAPS, "nobody", namespace="default")
    kube_faults.fail_next(1, status=403, verb="delete")
    with pytest.raises(ForbiddenError):
        await kube_client.delete(CONFIGMAPS, "a", namespace="default")
    host = kube_api.url.removeprefix("http://")
    async with kube_faults.down():
        with pytest.raises(TransportError):
            await kube_client.get(CONFIGMAPS, "a", namespace="default")
    assert scrape.all("rest_client_requests_total") == {
        ("201", host, "POST"): 1,
        ("200", host, "GET"): 1,
        ("404", host, "GET"): 1,
        ("403", host, "DELETE"): 1,
        ("<error>", host, "GET"): 1,
    }
    assert scrape("rest_client_request_duration_seconds_count", verb="GET", host=host) == 3


async def test_a_watch_is_a_request_that_is_counted_when_it_is_answered(
    kube_api: ApiServer, kube_faults: Faults, informer_factory: SharedInformerFactory, settled: Settled, scrape: Scraper
) -> None:
    informer_factory.core.v1.configmaps  # noqa: B018 - asking for it makes it
    kube_faults.fail_next(1, status=503, verb="watch")
    await settled()
    codes = {code: count for (code, _, _), count in scrape.all("rest_client_requests_total").items()}
    assert codes == {"503": 1, "200": 1}


async def test_a_scrape_from_another_thread_is_answered_by_the_loop(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled, scrape: Scraper
) -> None:
    informer_factory.core.v1.configmaps  # noqa: B018 - asking for it makes it
    await settled()

    began = asyncio.Event()

    async def hangs(key: str) -> None:
        began.set()
        await asyncio.Event().wait()

    async with Controller("hangs", hangs, metrics=scrape.metrics, grace=0) as controller:
        controller.queue.add("a")
        async with asyncio.timeout(60):
            await began.wait()
        found = await asyncio.to_thread(scrape, "kinformer_informer_objects", informer="configmaps.v1")
        assert found is not None
        # Only the loop knows the time of what is under way.
        running = await asyncio.to_thread(
            scrape, "workqueue_longest_running_processor_seconds", name="hangs", controller="hangs"
        )
        assert running is not None
        assert running > 0


async def test_a_scrape_does_not_wait_for_a_loop_that_is_stuck(
    informer_factory: SharedInformerFactory, settled: Settled, scrape: Scraper, monkeypatch: pytest.MonkeyPatch
) -> None:
    informer_factory.core.v1.configmaps  # noqa: B018 - asking for it makes it
    await settled()
    monkeypatch.setattr(prometheus, "SCRAPE_PATIENCE", 0.05)
    found: list[float | None] = []
    thread = threading.Thread(
        target=lambda: found.append(scrape("kinformer_informer_synced", informer="configmaps.v1"))
    )
    thread.start()
    thread.join(30)  # while this holds the loop
    assert found == [1]
    await asyncio.sleep(0)  # what the scrape had asked for comes to nothing


def test_a_second_collector_in_one_registry_is_refused(scrape: Scraper) -> None:
    # With the remedy, and not with the names of all series.
    with pytest.raises(
        ValueError, match=r"already: make one PrometheusMetrics for the process, at module level, or .{9,99}$"
    ):
        PrometheusMetrics(scrape.registry)


async def test_nothing_is_told_per_event(
    kube_api: ApiServer, kube_client: Client, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    calls: Counter[str] = Counter()

    class Counting(NoMetrics):
        def __getattribute__(self, name: str) -> Any:
            calls[name] += 1
            return super().__getattribute__(name)

    async with SharedInformerFactory(kube_client, metrics=Counting()) as factory:
        factory.core.v1.configmaps.add_event_handler(lambda event: None)
        await settled(factory)
        before = calls.total()
        for number in range(500):
            kube_api.create(build.config_map(f"c-{number}"))
        await settled(factory)
        assert factory.core.v1.configmaps.status.events == 500
        assert calls.total() == before


# The dashboard

DASHBOARD = json.loads(resources.files("kinformer.integrations").joinpath("grafana-dashboard.json").read_text())
PANELS = DASHBOARD["panels"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel.get("targets", ())]
NOT_METRICS = {
    *("sum", "rate", "increase", "max", "count", "histogram_quantile", "vector", "by", "or", "label_values"),
    *("informer", "type", "error", "reason", "state", "handler", "controller", "result", "name", "priority", "le"),
    *("method", "code", "verb", "job", "instance", "health"),
}


def names_in(expression: str) -> set[str]:
    """The metrics an expression asks for."""
    bare = re.sub(r"\"[^\"]*\"|\[[^\]]*\]|\$\w+|\b\d+\w*\b", "", expression)
    return set(re.findall(r"\b[a-z_]+\b", bare)) - NOT_METRICS


async def exposed(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, scrape: Scraper, settled: Settled
) -> dict[str, set[str]]:
    """All samples of a program in which something of everything has happened: their names, and their labels."""

    async def nothing(key: ObjectKey) -> None:
        """Reconcile."""

    kube_api.faults.fail_next(1, status=503, verb="watch")
    maps = informer_factory.core.v1.configmaps
    maps.add_event_handler(lambda event: None)
    informer_factory.informer(CONFIGMAPS, shard=Shard(0, of=2))
    ShardGroup(informer_factory.client, "sites", namespace="default", by="uid", metrics=scrape.metrics)
    LeaderElector(informer_factory.client, "web", namespace="default", metrics=scrape.metrics)
    async with informer_factory, Controller("example", nothing, metrics=scrape.metrics).watches(maps):
        await settled()
        for _ in range(2):
            informer_factory.core.v1.configmaps.reconnect()
            kube_api.create({**build.config_map(""), "metadata": {"generateName": "c-"}})
            await settled()
        kube_api.faults.fail_next(1, status=503, verb="get", retry_after=1)
        with pytest.raises(NotFoundError):
            await informer_factory.client.get(CONFIGMAPS, "none", namespace="default")
        cached = informer_factory.client.cached(informer_factory, metrics=scrape.metrics)
        await cached.list(CONFIGMAPS, metadata_only=True)
        for resource, namespace in ((CONFIGMAPS, "default"), (NODES, None)):
            with pytest.raises(NotFoundError):
                await cached.get(resource, "none", namespace=namespace)
        return {name: set(dict(labels)) for name, labels in scrape.samples()}


async def test_every_metric_of_the_dashboard_is_there(
    kube_api: ApiServer,
    informer_factory: SharedInformerFactory,
    settled: Settled,
    scrape: Scraper,
) -> None:
    names = await exposed(kube_api, informer_factory, scrape, settled)
    asked = {(title, name) for title, expression in QUERIES for name in names_in(expression)}
    assert {(title, name) for title, name in asked if name not in names} == set()
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            assert names_in(variable["definition"]) <= set(names)
    # And the other way round: everything there is can be seen. Of histograms, the buckets tell it.
    unseen = {
        name
        for name in set(names) - {name for _, name in asked}
        if not name.endswith(("_count", "_sum", "_created")) and not name.startswith("python_")
    }
    assert unseen == {
        "kinformer_informer_resource_version",  # says nothing by itself
        "kinformer_informer_sharding",  # says why there are events of other shards, which are shown
        "kinformer_informer_failures",  # for alerts; the dashboard shows health
        "kinformer_informer_json_bytes",  # beside what is held of it
        "kinformer_informer_pending_objects",  # rarely anything but 0
        "kinformer_informer_watches_total",  # as many as have ended, and those that are open
        "kinformer_own_write_waits_total",  # rarely anything but 0, and no harm
        "kinformer_own_write_timeouts_total",  # the log says of which key
        *(name for name in names if name.startswith("kinformer_shard_")),  # for programs of several replicas
        "leader_election_master_status",  # for programs of several replicas
        "rest_client_request_retries_total",  # beside the requests, which count each try
    }


def test_the_panels_of_the_dashboard_are_laid_out_without_holes_or_overlaps() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in PANELS:
        grid = panel["gridPos"]
        taken = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in taken) < 24
        cells |= taken
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    bottom = max(y for _, y in cells) + 1
    assert len(cells) == 24 * bottom
    for title, expression in QUERIES:
        assert 'job=~"$job", instance=~"$instance"' in expression, title


async def test_every_metric_of_the_alerts_is_there(
    kube_api: ApiServer,
    informer_factory: SharedInformerFactory,
    settled: Settled,
    scrape: Scraper,
) -> None:
    page = (ROOT / "docs" / "how-to" / "metrics-and-alerts.md").read_text()
    (alerts,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names = await exposed(kube_api, informer_factory, scrape, settled)
    rules = [rule for group in yaml.safe_load(alerts)["groups"] for rule in group["rules"]]
    assert len(rules) == 11
    for rule in rules:
        chosen_by = set(re.findall(r"\{(\w+)[=!]", rule["expr"]))
        asked = names_in(rule["expr"]) - chosen_by - {"deriv", "and"}
        assert asked
        assert asked <= set(names), rule["alert"]
        shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        for name in asked:
            assert chosen_by & names[name] or not chosen_by or len(asked) > 1, rule["alert"]
            assert shown <= names[name], rule["alert"]
    # What the page says there is, there is.
    told = {name for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for name in re.findall(r"`([a-z_]+)", row)}
    for name in told:
        assert any(found.startswith(name) for found in names), name
    for name in names:
        family = re.sub(r"_(bucket|count|sum|created)$", "", name)
        assert any(family.startswith(prefix) for prefix in told), name


async def test_cached_clients_are_counted_together_also_those_that_are_gone(kube_api: ApiServer) -> None:
    kube_api.create(build.config_map("a"))
    metrics = PrometheusMetrics(None)

    def value(name: str, **labels: str) -> float:
        samples = [sample for family in metrics.collect() for sample in family.samples]
        return sum(s.value for s in samples if s.name == f"kinformer_cached_client_{name}" and s.labels == labels)

    async with Client(ClusterConfig.for_server(kube_api.url)) as client, SharedInformerFactory(client) as factory:
        await factory.informer(CONFIGMAPS, namespace="default").synced(timeout=10)
        for _ in range(2):
            cached = client.cached(factory, metrics=metrics)
            await cached.get(CONFIGMAPS, "a", namespace="default")
            await cached.list(CONFIGMAPS)
            desired = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
            await cached.apply(CONFIGMAPS, desired, field_manager="test")
            await cached.apply(CONFIGMAPS, desired, field_manager="test")
            del cached
        gc.collect()
        assert value("answers_total", verb="get") == 2
        assert value("fetches_total", reason="not covered") == 2
        assert value("applies_total", result="sent") >= 1
        assert sum(value("applies_total", result=f"same {what}") for what in ("version", "state", "fields")) >= 2
        assert value("refusals_total") == 0
        assert not metrics._cached._living


async def test_the_leader_of_a_lease_is_a_metric(scrape: Scraper, kube_client: Client) -> None:
    first = LeaderElector(kube_client, "web", namespace="default", metrics=scrape.metrics)
    assert scrape.all("leader_election_master_status") == {("web",): 0}
    async with first:
        assert scrape.all("leader_election_master_status") == {("web",): 1}
        # A thread beside a blocked loop cannot say it, and says all the rest.
        assert "leader_election_master_status{" not in await asyncio.to_thread(beside, scrape)
    assert scrape.all("leader_election_master_status") == {("web",): 0}


def beside(scrape: Scraper) -> str:
    return "".join(f"{sample.name}{{" for family in scrape.metrics._families() for sample in family.samples)
