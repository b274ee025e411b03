"""Fleets over real sockets: clusters that join, leave, are away, rotate credentials; none disturbs another."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import sys
import weakref
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from kinformer import (
    Backoff,
    Client,
    ClusterConfig,
    ConfigError,
    Controller,
    Fleet,
    LeaderElector,
    Manager,
    NotStartedError,
    ObjectKey,
    SharedInformerFactory,
    UnknownClusterError,
    WaitTimeoutError,
)
from kinformer.cli._top import plain
from kinformer.fleet import Cluster, ClusterKey, Clusters, ClusterState
from kinformer.integrations.prometheus import PrometheusMetrics
from kinformer.integrations.status_endpoint import status_of
from kinformer.resources import PODS
from kinformer.testing import ApiServer
from kinformer.workqueue import FairQueue
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kinformer import KubeObject

QUICK = Backoff(initial=0.02, maximum=0.05)


def pod(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}  # fmt: skip


class Switchboard:
    """A provider whose clusters a test sets."""

    def __init__(self, clusters: Any = None) -> None:
        self._now = clusters
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        if clusters is not None:
            self._changed.set()

    def set(self, clusters: Any) -> None:
        self._now = clusters
        self._taken.clear()
        self._changed.set()

    async def taken(self) -> None:
        """Wait until the fleet has taken what was set, and asks for more."""
        async with asyncio.timeout(20):
            await self._taken.wait()

    async def clusters(self) -> AsyncIterator[Clusters]:
        while True:
            if not self._changed.is_set():
                self._taken.set()
            await self._changed.wait()
            self._changed.clear()
            if isinstance(self._now, Exception):
                raise self._now
            yield self._now


class Reconciles:
    """What was reconciled, with the object's version in the cache."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def __call__(self, cluster: Cluster) -> Controller[ObjectKey]:
        pods = cluster.informer(PODS)

        async def reconcile(key: ObjectKey) -> None:
            found = pods.lister.get(key)
            self.seen.append((cluster.name, key.name, "" if found is None else found.resource_version))

        return Controller("pods", reconcile).watches(pods)


async def until(condition: Any, timeout: float = 20) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


def config_of(server: ApiServer, **options: Any) -> ClusterConfig:
    return ClusterConfig.for_server(server.url, **options)


@pytest.fixture
async def servers() -> AsyncIterator[list[ApiServer]]:
    async with contextlib.AsyncExitStack() as stack:
        made = [await stack.enter_async_context(ApiServer()) for _ in range(3)]
        for number, server in enumerate(made):
            server.create(pod(f"web-{number}"))
        yield made


@pytest.fixture
async def clusters(servers: list[ApiServer]) -> dict[str, ClusterConfig]:
    return {name: config_of(server) for name, server in zip("abc", servers, strict=True)}


async def test_one_function_works_on_each_cluster_and_reads_are_over_all(clusters: dict[str, ClusterConfig]) -> None:
    work = Reconciles()
    fleet = Fleet(clusters, backoff=QUICK).add(work)
    pods = fleet.lister(PODS)
    async with fleet:
        await fleet.settled(timeout=20)
        await until(lambda: len(work.seen) == 3)
        assert sorted(name for name, _, _ in work.seen) == ["a", "b", "c"]
        assert sorted((name, found.name) for name, found in pods.list()) == [
            ("a", "web-0"),
            ("b", "web-1"),
            ("c", "web-2"),
        ]
        assert [found.name for _, found in pods.list("b")] == ["web-1"]
        assert pods.get("a", "web-0", namespace="default") is not None
        assert pods.get(ClusterKey("a", ObjectKey("default", "web-1"))) is None
        assert len(pods) == 3
        assert [*fleet.clusters] == ["a", "b", "c"]
        assert {one.state for one in fleet.status.clusters.values()} == {ClusterState.READY}
        with pytest.raises(UnknownClusterError, match="nothing is known of cluster 'd'"):
            pods.get("d", "web-0", namespace="default")


async def test_the_same_function_works_on_one_cluster_without_a_fleet(servers: list[ApiServer]) -> None:
    work = Reconciles()
    async with Client(config_of(servers[0])) as client:
        factory = SharedInformerFactory(client)
        async with Manager(host="").add(factory, work(Cluster("here", client, factory))):
            await until(lambda: work.seen)
    assert [(name, key) for name, key, _ in work.seen] == [("here", "web-0")]


async def test_clusters_join_and_leave_while_it_runs(
    servers: list[ApiServer], clusters: dict[str, ClusterConfig]
) -> None:
    work = Reconciles()
    board = Switchboard({"a": clusters["a"]})
    async with Fleet(board, backoff=QUICK).add(work) as fleet:
        pods = fleet.lister(PODS)
        await fleet.settled(timeout=20)
        board.set({"a": clusters["a"], "b": clusters["b"]})
        await until(lambda: "b" in fleet.clusters)
        await until(lambda: len(work.seen) == 2)
        board.set({"b": clusters["b"]})
        await until(lambda: "a" not in fleet.status.clusters)
        assert not servers[0].open_watches
        assert [name for name, _ in pods.list()] == ["b"]
        servers[0].create(pod("late"))
        servers[1].create(pod("late"))
        await until(lambda: ("b", "late") in {seen[:2] for seen in work.seen})
        assert ("a", "late") not in {seen[:2] for seen in work.seen}
        board.set(clusters)
        await until(lambda: ("a", "late") in {seen[:2] for seen in work.seen})


async def test_a_cluster_that_is_away_has_a_status_and_delays_no_other(clusters: dict[str, ClusterConfig]) -> None:
    work = Reconciles()
    away = ClusterConfig.for_server("http://127.0.0.1:1")
    async with Fleet({**clusters, "away": away}, backoff=QUICK).add(work) as fleet:
        await fleet.settled(timeout=20)
        await until(lambda: len(work.seen) == 3)
        found = fleet.status.clusters["away"]
        assert found.state in {ClusterState.UNREACHABLE, ClusterState.CONNECTING}
        assert found.reason == "ConnectError"
        assert found.failures >= 1
        assert fleet.lister(PODS).missing == ["away"]


async def test_a_lost_cluster_is_degraded_keeps_its_cache_and_comes_back(servers: list[ApiServer]) -> None:
    work = Reconciles()
    named = {"a": config_of(servers[0]), "b": config_of(servers[1])}

    def factory(client: Client) -> SharedInformerFactory:
        return SharedInformerFactory(client, backoff=QUICK)

    async with Fleet(named, factory=factory).add(work) as fleet:
        pods = fleet.lister(PODS)
        await fleet.settled(timeout=20)
        await servers[0].stop()
        await until(lambda: fleet.status.clusters["a"].state is ClusterState.DEGRADED)
        assert fleet.status.clusters["a"].error is not None
        assert pods.get("a", "web-0", namespace="default") is not None
        servers[1].create(pod("meanwhile"))
        await until(lambda: ("b", "meanwhile") in {seen[:2] for seen in work.seen})
        await servers[0].restart()
        await until(lambda: fleet.status.clusters["a"].state is ClusterState.READY)
        servers[0].create(pod("back"))
        await until(lambda: ("a", "back") in {seen[:2] for seen in work.seen})


async def test_rotated_credentials_need_no_list() -> None:
    async with ApiServer() as server:
        server.tokens["old"] = "fleet"
        server.allow("fleet")
        board = Switchboard({"a": config_of(server, token="old")})
        work = Reconciles()
        async with Fleet(board, backoff=QUICK).add(work) as fleet:
            await fleet.settled(timeout=20)
            lists = server.count("list", "pods")
            server.tokens["new"] = "fleet"
            board.set({"a": config_of(server, token="new")})
            await board.taken()
            del server.tokens["old"]
            cluster = fleet["a"]
            await cluster.client.create(PODS, pod("by-the-new-token"))
            await until(lambda: ("a", "by-the-new-token") in {seen[:2] for seen in work.seen})
            assert fleet["a"] is cluster
            assert server.count("list", "pods") == lists
            assert "old" not in repr(fleet.status)
            assert "new" not in repr(fleet.status).replace("renew", "")


async def test_a_refused_cluster_joins_at_once_when_its_token_is_renewed() -> None:
    async with ApiServer() as server:
        server.tokens["good"] = "fleet"
        server.allow("fleet")
        board = Switchboard({"a": config_of(server, token="expired")})
        async with Fleet(board, backoff=Backoff(initial=3000, maximum=3000)).add(Reconciles()) as fleet:
            await fleet.settled(timeout=20)
            assert fleet.status.clusters["a"].state is ClusterState.UNREACHABLE
            assert fleet.status.clusters["a"].reason == "UnauthorizedError 401"
            board.set({"a": config_of(server, token="good")})
            await until(lambda: "a" in fleet.clusters)


async def test_another_address_is_another_join(servers: list[ApiServer]) -> None:
    board = Switchboard({"a": config_of(servers[0])})
    async with Fleet(board, backoff=QUICK).add(Reconciles()) as fleet:
        await fleet.settled(timeout=20)
        board.set({"a": config_of(servers[1])})
        pods = fleet.lister(PODS)
        await until(lambda: "a" in fleet.clusters and [found.name for _, found in pods.list()] == ["web-1"])
        assert not servers[0].open_watches


async def test_the_same_cluster_by_another_name_waits_until_the_first_leaves(servers: list[ApiServer]) -> None:
    board = Switchboard({"first": config_of(servers[0])})
    work = Reconciles()
    async with Fleet(board, backoff=QUICK).add(work) as fleet:
        await fleet.settled(timeout=20)
        board.set({"first": config_of(servers[0]), "second": config_of(servers[0])})
        await until(lambda: fleet.status.clusters.get("second") is not None)
        await until(lambda: fleet.status.clusters["second"].state is ClusterState.DUPLICATE)
        assert fleet.status.clusters["second"].same_as == "first"
        assert fleet.is_settled
        board.set({"second": config_of(servers[0])})
        await until(lambda: "second" in fleet.clusters)
        await until(lambda: {name for name, _, _ in work.seen} == {"first", "second"})


async def test_a_provider_that_raises_keeps_the_clusters_and_is_asked_again(clusters: dict[str, ClusterConfig]) -> None:
    board = Switchboard({"a": clusters["a"]})
    async with Fleet(board, backoff=QUICK).add(Reconciles()) as fleet:
        await fleet.settled(timeout=20)
        board.set(ValueError("boom"))
        await until(lambda: fleet.status.provider_error is not None)
        assert "a" in fleet.clusters
        board.set({"b": clusters["b"]})
        await until(lambda: [*fleet.clusters] == ["b"])
        assert fleet.status.provider_error is None


async def test_odd_entries_are_refused_one_by_one(clusters: dict[str, ClusterConfig]) -> None:
    odd: dict[Any, Any] = {**clusters, "": clusters["a"], "a\nb": clusters["a"], 7: clusters["a"]}
    odd |= {"x" * 300: clusters["a"], "wrong": "https://example.com"}
    odd |= {"broken": ConfigError("no token"), "a/b ü": clusters["b"]}
    async with Fleet(Switchboard(odd), backoff=QUICK, duplicates="allow").add(Reconciles()) as fleet:
        await fleet.settled(timeout=20)
        await until(lambda: {*fleet.clusters} == {"a", "b", "c", "a/b ü"})
        assert len(fleet.status.refused) == 4
        assert fleet.status.clusters["wrong"].state is ClusterState.INVALID
        assert str(fleet.status.clusters["broken"].error) == "no token"


async def test_a_broken_configuration_leaves_the_cluster_with_its_last_good_one(
    clusters: dict[str, ClusterConfig],
) -> None:
    board = Switchboard({"a": clusters["a"]})
    async with Fleet(board, backoff=QUICK).add(Reconciles()) as fleet:
        await fleet.settled(timeout=20)
        board.set({"a": ConfigError("half written")})
        await until(lambda: str(fleet.status.clusters["a"].error) == "half written")
        assert fleet.status.clusters["a"].state is ClusterState.READY


async def test_a_function_that_raises_fails_its_cluster_alone(clusters: dict[str, ClusterConfig]) -> None:
    work = Reconciles()
    tries = 0

    def setup(cluster: Cluster) -> Any:
        nonlocal tries
        if cluster.name == "a":
            tries += 1
            if tries < 3:
                raise RuntimeError("boom")
        return work(cluster)

    async with Fleet(clusters, backoff=QUICK).add(setup) as fleet:
        await fleet.settled(timeout=20)
        await until(lambda: len(work.seen) == 3)
        assert tries == 3
        assert {*fleet.clusters} == {"a", "b", "c"}


async def test_reconciles_that_are_under_way_are_cancelled_when_their_cluster_leaves(
    clusters: dict[str, ClusterConfig],
) -> None:
    log: list[str] = []

    def setup(cluster: Cluster) -> Controller[ObjectKey]:
        async def reconcile(key: ObjectKey) -> None:
            log.append(f"begun {key.name}")
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        return Controller("slow", reconcile).watches(cluster.informer(PODS))

    board = Switchboard({"a": clusters["a"]})
    async with Fleet(board, backoff=QUICK).add(setup) as fleet:
        await until(lambda: log)
        board.set({})
        await until(lambda: not fleet.status.clusters)
        assert log == ["begun web-0", "cancelled"]


async def test_a_full_queue_of_one_cluster_and_its_failures_keep_no_worker_of_another(servers: list[ApiServer]) -> None:
    for number in range(300):
        servers[0].create(pod(f"many-{number}"))
    order: list[str] = []

    def setup(cluster: Cluster) -> Controller[ObjectKey]:
        async def reconcile(key: ObjectKey) -> None:
            order.append(cluster.name)
            await asyncio.sleep(0)
            if cluster.name == "full":
                raise RuntimeError("fails, and comes again")

        return Controller("busy", reconcile, workers=1).watches(cluster.informer(PODS))

    named = {"full": config_of(servers[0]), "one": config_of(servers[1])}
    async with Fleet(named, backoff=QUICK).add(setup) as fleet:
        await fleet.settled(timeout=20)
        await until(lambda: order.count("full") > 100)
        before = len(order)
        servers[1].create(pod("now"))
        await until(lambda: order.count("one") >= 2)
        assert order.count("full") < before + 300
    assert fleet.name == "fleet"


async def test_a_thousand_joins_and_leaves_leave_nothing_behind(clusters: dict[str, ClusterConfig]) -> None:
    board = Switchboard({})
    async with Fleet(board, backoff=QUICK).add(Reconciles()) as fleet:
        for number in range(1000):
            board.set({"a": clusters["a"]} if number % 2 else {f"b{number % 7}": clusters["b"]})
            await asyncio.sleep(0)
        board.set(clusters)
        await until(lambda: {*fleet.clusters} == {"a", "b", "c"})
    assert not [task for task in asyncio.all_tasks() if "fleet" in task.get_name()]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_server_that_never_answers_delays_no_other_and_no_end(
    clusters: dict[str, ClusterConfig], scheme: str
) -> None:
    work = Reconciles()
    with socket.create_server(("127.0.0.1", 0)) as hung:
        away = ClusterConfig.for_server(f"{scheme}://127.0.0.1:{hung.getsockname()[1]}")
        async with Fleet({**clusters, "hung": away}).add(work) as fleet:
            await until(lambda: len(work.seen) == 3)
            assert fleet.status.clusters["hung"].state is ClusterState.CONNECTING
            assert not fleet.is_settled
    assert not [task for task in asyncio.all_tasks() if "kinformer" in task.get_name()]


async def test_the_end_leaves_no_task_also_in_the_midst_of_a_join(clusters: dict[str, ClusterConfig]) -> None:
    for turns in range(0, 40, 3):
        async with Fleet(clusters, duplicates="allow").add(Reconciles()):
            for _ in range(turns):
                await asyncio.sleep(0)
        assert not [task for task in asyncio.all_tasks() if "kinformer" in task.get_name()]


async def test_a_manager_starts_a_fleet_and_is_ready_although_a_cluster_is_away(
    clusters: dict[str, ClusterConfig],
) -> None:
    work = Reconciles()
    fleet = Fleet({**clusters, "away": ClusterConfig.for_server("http://127.0.0.1:1")}, backoff=QUICK).add(work)
    async with Manager(host="").add(fleet) as manager:
        with pytest.raises(NotStartedError, match=r"wait for `manager\.ready\(\)` if a Manager starts it"):
            await fleet.settled()
        await manager.ready(timeout=30)
        assert fleet.is_settled
        await until(lambda: len(work.seen) == 3)


async def test_only_the_leading_replica_works_and_the_other_has_warm_caches(
    servers: list[ApiServer], clusters: dict[str, ClusterConfig]
) -> None:
    work, other_work = Reconciles(), Reconciles()
    async with Client(config_of(servers[0])) as home:

        def elector(name: str) -> LeaderElector:
            return LeaderElector(home, "fleet", namespace="default", identity=name)

        fleet, other = (Fleet(clusters, backoff=QUICK).add(setup) for setup in (work, other_work))
        async with Manager(host="").add(other, elector("second")) as second:
            await until(lambda: len(other_work.seen) == 3)
            first = Manager(host="").add(fleet, elector("first"))
            async with first:
                await until(lambda: first.is_ready and len(fleet.clusters) == 3)
                assert {one.state for one in fleet.status.clusters.values()} == {ClusterState.STANDING_BY}
                assert work.seen == []
                second.stop()
                await until(lambda: len(work.seen) == 3)
                servers[1].create(pod("one"))
                await until(lambda: ("b", "one") in {seen[:2] for seen in work.seen})
                assert ("b", "one") not in {seen[:2] for seen in other_work.seen}


# One controller for all clusters


async def test_one_controller_works_on_all_clusters_and_drops_the_keys_of_one_that_leaves(
    servers: list[ApiServer], clusters: dict[str, ClusterConfig]
) -> None:
    seen: list[ClusterKey] = []

    async def reconcile(key: ClusterKey) -> None:
        seen.append(key)
        if key.cluster not in fleet.clusters:
            raise AssertionError(key)
        if key.name == "fails":
            raise RuntimeError("fails, and comes again")

    queue: FairQueue[ClusterKey] = FairQueue(attrgetter("cluster"), name="all")
    controller: Controller[ClusterKey] = Controller("all", reconcile, queue=queue)
    board = Switchboard({"a": clusters["a"], "b": clusters["b"]})
    fleet = Fleet(board, backoff=QUICK).feed(controller, PODS)
    async with controller, fleet:
        await until(lambda: {str(key) for key in seen} == {"a/default/web-0", "b/default/web-1"})
        servers[0].create(pod("fails"))
        await until(lambda: ClusterKey("a", ObjectKey("default", "fails")) in seen)
        board.set({"b": clusters["b"]})
        await until(lambda: "a" not in fleet.status.clusters)
        seen.clear()
        servers[0].create(pod("late"))
        servers[1].create(pod("late"))
        await until(lambda: ClusterKey("b", ObjectKey("default", "late")) in seen)
        await asyncio.sleep(0.05)
        assert {key.cluster for key in seen} == {"b"}
        assert queue.delayed == 0
        board.set(clusters)
        await until(lambda: {key.cluster for key in seen} == {"a", "b", "c"})
    assert controller.status.state == "stopped"


async def test_a_map_gives_keys_of_other_clusters(clusters: dict[str, ClusterConfig]) -> None:
    seen: set[ClusterKey] = set()

    async def reconcile(key: ClusterKey) -> None:
        seen.add(key)

    queue: FairQueue[ClusterKey] = FairQueue(attrgetter("cluster"), name="all")
    controller: Controller[ClusterKey] = Controller("all", reconcile, queue=queue)

    def to_c(cluster: Cluster, found: KubeObject) -> ClusterKey:
        return ClusterKey("c", ObjectKey(cluster.name, found.name))

    async with controller, Fleet(clusters, backoff=QUICK).feed(controller, PODS, map=to_c):
        await until(lambda: {str(key) for key in seen} == {"c/a/web-0", "c/b/web-1", "c/c/web-2"})


async def test_a_controller_without_a_fair_queue_is_refused(clusters: dict[str, ClusterConfig]) -> None:
    async def reconcile(key: ClusterKey) -> None: ...

    controller: Controller[ClusterKey] = Controller("all", reconcile)
    with pytest.raises(TypeError, match="FairQueue"):
        Fleet(clusters).feed(controller, PODS)


async def test_metrics_have_the_first_clusters_and_the_sum_of_the_others(
    clusters: dict[str, ClusterConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinformer.integrations.prometheus._fleets.MAX_CLUSTERS", 1)
    registry = CollectorRegistry()
    work = Reconciles()
    async with Fleet(clusters, backoff=QUICK, metrics=PrometheusMetrics(registry)).add(work) as fleet:
        await fleet.settled(timeout=20)
        await until(lambda: len(work.seen) == 3)

        def sample(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"kinformer_fleet_{name}", {"fleet": "fleet"} | labels)

        assert sample("clusters", state="ready") == 3
        assert sample("cluster_ready", cluster="a") == 1
        assert sample("cluster_objects", cluster="other clusters") == 2
        assert sample("cluster_reconciles_total", cluster="other clusters") == 2
        assert sample("cluster_ready", cluster="b") is None


async def test_a_server_that_answers_garbage_is_alone_with_that(clusters: dict[str, ClusterConfig]) -> None:
    work = Reconciles()

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n\x00\xff{[garbag")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(garbage, "127.0.0.1", 0) as server:
        odd = ClusterConfig.for_server(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with Fleet({**clusters, "odd": odd}, backoff=QUICK).add(work) as fleet:
            await fleet.settled(timeout=20)
            await until(lambda: len(work.seen) == 3)
            await until(lambda: fleet.status.clusters["odd"].failures > 2)
            assert fleet.status.clusters["odd"].error is not None


async def test_the_example_labels_the_namespaces_of_each_cluster(servers: list[ApiServer], tmp_path: Path) -> None:
    for name, server in zip("abc", servers, strict=True):
        server.write_kubeconfig(tmp_path / f"{name}.yaml")
    example = ROOT / "examples" / "fleet_labels.py"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(example), "--directory", str(tmp_path), "--poll", "0.05", "--port", "0"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:

        def labels(server: ApiServer) -> set[str]:
            found = server.list("v1", "Namespace")
            return {one["metadata"].get("labels", {}).get("example.com/cluster", "") for one in found}

        await until(lambda: [labels(server) for server in servers] == [{"a"}, {"b"}, {"c"}], timeout=60)
    finally:
        process.terminate()
        assert await process.wait() == 0


# Mistakes


async def test_an_async_function_is_refused_at_once(clusters: dict[str, ClusterConfig]) -> None:
    async def setup(cluster: Cluster) -> None: ...

    with pytest.raises(TypeError, match="setup is a coroutine function"):
        Fleet(clusters).add(setup)
    with pytest.raises(TypeError, match="is called with \\(cluster\\)"):
        Fleet(clusters).add(cast("Any", lambda: None))


async def test_two_controllers_of_one_name_are_an_error_and_none_is_lost(clusters: dict[str, ClusterConfig]) -> None:
    async with Fleet({"a": clusters["a"]}, backoff=QUICK).add(Reconciles(), Reconciles()) as fleet:
        await fleet.settled(timeout=20)
        assert "two controllers named 'pods'" in str(fleet.status.clusters["a"].error)
        assert fleet.status.clusters["a"].state is ClusterState.FAILED


async def test_a_function_that_returns_something_else_is_an_error_that_names_it(
    clusters: dict[str, ClusterConfig],
) -> None:
    def setup(cluster: Cluster) -> Any:
        return cluster.informer(PODS).lister

    async with Fleet({"a": clusters["a"]}, backoff=QUICK).add(setup) as fleet:
        await fleet.settled(timeout=20)
        assert "setup returned a Lister" in str(fleet.status.clusters["a"].error)


@pytest.mark.parametrize("provider", ["coroutine", "busy", "ends", "list", "nothing"])
async def test_providers_that_are_wrong_are_reported_and_stop_nothing(
    provider: str, clusters: dict[str, ClusterConfig]
) -> None:
    class Coroutine:
        async def clusters(self) -> Any:
            return clusters

    class Busy:
        async def clusters(self) -> Any:
            while True:
                yield clusters

    class Ends:
        async def clusters(self) -> Any:
            yield clusters

    class Lists:
        async def clusters(self) -> Any:
            yield [*clusters]

    class Nothing:
        async def clusters(self) -> Any:
            if not clusters:
                yield clusters

    made: Any = {"coroutine": Coroutine, "busy": Busy, "ends": Ends, "list": Lists, "nothing": Nothing}[provider]()
    async with Fleet(made, backoff=QUICK).add(Reconciles()) as fleet:
        if provider in {"busy", "ends"}:
            await fleet.settled(timeout=20)
            assert {*fleet.clusters} == {"a", "b", "c"}
        else:
            await until(lambda: fleet.status.provider_error is not None)
            with pytest.raises(WaitTimeoutError, match="the provider, which has named no clusters yet"):
                await fleet.settled(timeout=0.05)


async def test_an_informer_that_gave_up_is_replaced(servers: list[ApiServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinformer.fleet._fleet._LOOK_EVERY", 0.02)

    def factory(client: Client) -> SharedInformerFactory:
        return SharedInformerFactory(client, backoff=QUICK, give_up_after=0.05)

    async with Fleet({"a": config_of(servers[0])}, factory=factory, backoff=QUICK).add(Reconciles()) as fleet:
        await fleet.settled(timeout=20)
        before = fleet["a"]
        await servers[0].stop()
        await until(lambda: "a" not in fleet.clusters)
        await servers[0].restart()
        await until(lambda: "a" in fleet.clusters)
        assert fleet["a"] is not before


async def test_the_cache_of_a_cluster_that_left_is_freed(clusters: dict[str, ClusterConfig]) -> None:
    board = Switchboard(clusters)
    async with Fleet(board, backoff=QUICK).add(Reconciles()) as fleet:
        await until(lambda: len(fleet.clusters) == 3)
        kept: list[weakref.ref[Any]] = [weakref.ref(fleet["a"].factory), weakref.ref(fleet["a"].client)]
        board.set({"b": clusters["b"]})
        await until(lambda: [*fleet.status.clusters] == ["b"])
        gc.collect()
        assert [one() for one in kept] == [None, None]


async def test_the_status_and_top_show_each_cluster_and_name_no_address(clusters: dict[str, ClusterConfig]) -> None:
    wrong: Clusters = {
        "away": ClusterConfig.for_server("http://127.0.0.1:1", "hidden-token"),
        "bad": ConfigError("hidden text"),
    }
    fleet = Fleet({**clusters, **wrong}, name="shops", backoff=Backoff(initial=30)).add(Reconciles())
    async with Manager(port=0) as manager:
        manager.add(fleet)
        await until(lambda: manager.is_ready and fleet.is_settled)
        await until(lambda: fleet.status.states[ClusterState.READY] == 3)
        async with aiohttp.ClientSession() as session, session.get(f"{manager.url}/kinformer/status") as response:
            text = await response.text()
    (found,) = json.loads(text)["fleets"]
    assert (found["name"], found["answered"], found["provider_error"], found["refused"]) == ("shops", True, None, [])
    states = {cluster["name"]: cluster["state"] for cluster in found["clusters"]}
    assert states == {"a": "ready", "b": "ready", "c": "ready", "away": "unreachable", "bad": "invalid"}
    assert {cluster["objects"] for cluster in found["clusters"]} == {0, 1}
    lines = plain(json.loads(text), None, 1.0).splitlines()
    assert lines[0].split()[:3] == ["CLUSTER", "STATE", "OBJECTS"]
    assert {line.split()[0] for line in lines[1:3]} == {"away", "bad"}, "those in trouble come first"
    assert any(line.startswith("! away: unreachable for ") and "ConnectError; next try in" in line for line in lines)
    assert "hidden" not in text
    assert "127.0.0.1" not in text


async def test_a_provider_that_fails_is_in_the_status(clusters: dict[str, ClusterConfig]) -> None:
    switchboard = Switchboard(clusters)
    async with Fleet(switchboard, backoff=QUICK) as fleet:
        await fleet.settled(timeout=20)
        switchboard.set(ValueError("hidden text"))
        await until(lambda: fleet.status.provider_error is not None)
        data = status_of(fleet)
    assert data["fleets"][0]["provider_error"] == "ValueError"
    assert f"! fleet {fleet.name}: the provider fails: ValueError" in plain(data, None, 1.0)
    assert "hidden" not in str(data)
