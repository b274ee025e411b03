"""DaemonSets: a pod on each node."""

from __future__ import annotations

from typing import Any

import msgspec

from kinformer.testing.build import node
from tests.unit.testing.apiserver.controllers.clusters import APPS, ClusterInTime


def _daemons(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "log"}}, "spec": {"containers": [{"name": "log", "image": "log:1"}]}}
    body = {"selector": {"matchLabels": {"app": "log"}}, "template": template}
    return {"apiVersion": APPS, "kind": "DaemonSet", "metadata": {"name": "log"}, "spec": body | spec}


def _nodes(cluster: ClusterInTime) -> list[str]:
    return sorted(pod["spec"]["nodeName"] for pod in cluster.pods(app="log"))


def test_each_node_has_a_pod_also_one_that_is_cordoned() -> None:
    cluster = ClusterInTime(nodes=3)
    cluster.patch("v1", "Node", "node-2", {"spec": {"unschedulable": True}})
    cluster.create(_daemons())
    assert _nodes(cluster) == ["node-1", "node-2", "node-3"]
    assert cluster.status(APPS, "DaemonSet", "log") == {
        "currentNumberScheduled": 3,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 3,
        "numberReady": 3,
        "observedGeneration": 1,
        "updatedNumberScheduled": 3,
        "numberAvailable": 3,
    }
    labels = cluster.pods(app="log")[0]["metadata"]["labels"]
    assert labels["pod-template-generation"] == "1"
    (revision,) = cluster.server.list(APPS, "ControllerRevision")
    assert revision["metadata"]["name"] == f"log-{labels['controller-revision-hash']}"
    # Go programs compare the bytes, as DaemonSet's own controller does.
    assert msgspec.json.encode(revision["data"]) == msgspec.json.encode(revision["data"], order="sorted")
    assert revision["metadata"]["labels"] == {
        "app": "log",
        "controller-revision-hash": labels["controller-revision-hash"],
    }


def test_taints_and_selectors_choose_the_nodes() -> None:
    cluster = ClusterInTime(nodes=3)
    cluster.patch("v1", "Node", "node-1", {"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}})
    cluster.create(_daemons())
    assert _nodes(cluster) == ["node-2", "node-3"]
    cluster.patch("v1", "Node", "node-1", {"spec": {"taints": None}})
    assert _nodes(cluster) == ["node-1", "node-2", "node-3"]
    cluster.patch("v1", "Node", "node-3", {"metadata": {"labels": {"role": "edge"}}})
    cluster.patch(APPS, "DaemonSet", "log", {"spec": {"template": {"spec": {"nodeSelector": {"role": "edge"}}}}})
    assert _nodes(cluster) == ["node-3"]


def test_an_update_replaces_one_pod_after_another() -> None:
    cluster = ClusterInTime(nodes=3)
    cluster.create(_daemons())
    cluster.server.pods.script("log-*", image_error="not found")
    containers = [{"name": "log", "image": "log:2"}]
    cluster.patch(APPS, "DaemonSet", "log", {"spec": {"template": {"spec": {"containers": containers}}}})
    assert cluster.images("log") == ["log:1", "log:1", "log:2"]
    status = cluster.status(APPS, "DaemonSet", "log")
    assert (status["updatedNumberScheduled"], status["numberUnavailable"]) == (1, 1)
    cluster.server.pods.script("log-*")
    cluster.server.settle()
    assert cluster.images("log") == ["log:2"] * 3


def test_a_pod_that_has_failed_is_replaced() -> None:
    cluster = ClusterInTime({"daemonset"})
    cluster.create(node("node-1"))
    cluster.create(_daemons())
    before = cluster.names("v1", "Pod")
    cluster.patch("v1", "Pod", before[0], {"status": {"phase": "Failed"}}, subresource="status")
    assert len(cluster.names("v1", "Pod")) == 1
    assert cluster.names("v1", "Pod") != before
