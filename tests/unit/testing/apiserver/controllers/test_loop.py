"""The loop of the controllers: on an event loop, with a clock, without work."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from kinformer.testing import ApiServer
from kinformer.testing.build import deployment, pod
from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime


async def test_controllers_run_while_the_server_listens() -> None:
    async with ApiServer(controllers="all") as server:
        server.create(deployment("web", replicas=2))
        async with asyncio.timeout(10):
            while server.get("apps/v1", "Deployment", "web").get("status", {}).get("readyReplicas") != 2:
                await asyncio.sleep(0)
        await server.stop()
        server.create(pod("late"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert "nodeName" not in server.get("v1", "Pod", "late")["spec"]
        await server.start()
        async with asyncio.timeout(10):
            while "nodeName" not in server.get("v1", "Pod", "late")["spec"]:
                await asyncio.sleep(0)


@pytest.mark.looptime
async def test_timers_go_by_the_clock_of_the_server() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    clock = lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=loop.time() - begun)  # noqa: E731
    async with ApiServer(controllers="all", clock=clock) as server:
        server.pods.script("web", starts_after=600)
        server.create(pod("web"))
        await asyncio.sleep(590)
        assert server.get("v1", "Pod", "web")["status"]["phase"] == "Pending"
        await asyncio.sleep(15)
        assert server.get("v1", "Pod", "web")["status"]["phase"] == "Running"


def test_a_cluster_at_rest_writes_nothing() -> None:
    cluster = ClusterInTime()
    cluster.create(deployment("web", replicas=2))
    cluster.later(60, step=20)
    before = cluster.server.resource_version
    cluster.later(3600, step=600)
    assert cluster.server.resource_version == before


def test_without_controllers_nothing_runs() -> None:
    server = ApiServer()
    server.create(deployment("web"))
    server.settle()
    assert server.list("apps/v1", "ReplicaSet") == []
    assert server.list("v1", "Node") == []


def test_only_the_chosen_controllers_run() -> None:
    cluster = ClusterInTime({"deployment"})
    cluster.create(deployment("web"))
    assert len(cluster.names("apps/v1", "ReplicaSet")) == 1
    assert cluster.names("v1", "Pod") == []


def test_an_unknown_controller_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(ValueError, match="no controller is called 'deploy'; there are .*deployment.*, and \"all\""):
        ApiServer(controllers=["deploy"])


def test_the_same_event_is_counted_and_goes_after_an_hour() -> None:
    cluster = ClusterInTime()
    cluster.server.pods.script("web", runs_for=1, exit_code=1)
    cluster.create(pod("web"))
    cluster.later(600, step=5)
    backoff = [event for event in cluster.server.list("v1", "Event") if event["reason"] == "BackOff"]
    assert len(backoff) == 1
    assert backoff[0]["count"] > 3
    cluster.delete("v1", "Pod", "web")
    cluster.later(3601, step=3601)
    cluster.create(pod("other"))
    assert {event["involvedObject"]["name"] for event in cluster.server.list("v1", "Event")} == {"other"}


def test_controllers_that_never_come_to_rest_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinformer.testing._apiserver.controllers.loop._MOST_STEPS", 2)
    server = ApiServer(controllers="all")
    with pytest.raises(RuntimeError, match=r"do not come to rest: .*serviceaccount.* had work after 2 steps"):
        server.settle()


def test_pods_are_selected_by_labels_with_controllers_and_without() -> None:
    for controllers in ("all", ()):
        server = ApiServer(controllers=controllers)
        server.create(pod("a", labels={"app": "a", "tier": "x"}))
        server.create(pod("b", labels={"app": "b", "tier": "x"}))
        assert [one["metadata"]["name"] for one in server.selected_pods("default", {"app": "a"})] == ["a"]
        assert len(server.selected_pods("default", {"tier": "x"})) == 2


def test_large_clusters_need_controllers() -> None:
    with pytest.raises(RuntimeError, match='controllers="all"'):
        ApiServer().fill_replicasets()
