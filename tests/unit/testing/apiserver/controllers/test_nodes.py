"""Nodes that are not ready have a taint, so that no pod gets onto them."""

from __future__ import annotations

from typing import Any

from kinformer.testing.build import pod
from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def _taints(cluster: ClusterInTime, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.get("v1", "Node", name)["spec"].get("taints") or []
    return found


def _report(cluster: ClusterInTime, name: str, ready: str) -> None:
    status = {"allocatable": {"pods": "110", "cpu": "4"}, "conditions": [{"type": "Ready", "status": ready}]}
    cluster.patch("v1", "Node", name, {"status": status}, subresource="status")


def test_a_new_node_gets_pods_as_soon_as_it_is_ready() -> None:
    cluster = ClusterInTime(nodes=0)
    gpu = {"key": "gpu", "effect": "NoExecute"}
    cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}, "spec": {"taints": [gpu]}})
    cluster.create(pod("web", spec={"tolerations": [{"operator": "Exists", "key": "gpu"}]}))
    assert _taints(cluster, "a") == [gpu, NOT_READY]
    assert "nodeName" not in cluster.get("v1", "Pod", "web")["spec"]
    _report(cluster, "a", "True")
    assert _taints(cluster, "a") == [gpu]
    assert cluster.get("v1", "Pod", "web")["spec"]["nodeName"] == "a"


def test_a_node_that_is_no_longer_ready_gets_the_taint_again() -> None:
    cluster = ClusterInTime(nodes=1)
    assert _taints(cluster, "node-1") == []
    for state in ("False", "Unknown"):
        _report(cluster, "node-1", state)
        assert _taints(cluster, "node-1") == [NOT_READY]
    _report(cluster, "node-1", "True")
    assert _taints(cluster, "node-1") == []
