"""Each pod gets a node that it fits on."""

from __future__ import annotations

from typing import Any

from kinformer.testing.build import pod
from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime


def _node_of(cluster: ClusterInTime, name: str) -> str:
    node: str = cluster.get("v1", "Pod", name)["spec"].get("nodeName", "")
    return node


def _change_node(cluster: ClusterInTime, name: str, spec: dict[str, Any], **metadata: Any) -> None:
    cluster.patch("v1", "Node", name, {"metadata": metadata, "spec": spec})


def test_pods_are_spread_over_the_nodes() -> None:
    cluster = ClusterInTime(nodes=3)
    for number in range(6):
        cluster.create(pod(f"p{number}"))
    assert sorted(_node_of(cluster, f"p{number}") for number in range(6)) == [f"node-{n}" for n in (1, 1, 2, 2, 3, 3)]


def test_without_a_node_that_fits_a_pod_waits_and_says_why() -> None:
    cluster = ClusterInTime(nodes=2)
    _change_node(cluster, "node-1", {"unschedulable": True})
    _change_node(cluster, "node-2", {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]})
    cluster.create(pod("web"))
    assert cluster.condition("v1", "Pod", "web", "PodScheduled") == ("False", "Unschedulable")
    (event,) = cluster.events("Pod")
    assert event == (
        "FailedScheduling: 0/2 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were "
        "unschedulable. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )
    _change_node(cluster, "node-1", {"unschedulable": None})
    assert _node_of(cluster, "web") == "node-1"
    assert cluster.condition("v1", "Pod", "web", "PodScheduled") == ("True", "")


def test_a_toleration_opens_a_tainted_node(cluster: ClusterInTime) -> None:
    _change_node(cluster, "node-1", {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]})
    tolerations = [{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}]
    cluster.create(pod("web", spec={"tolerations": tolerations}))
    assert _node_of(cluster, "web") == "node-1"


def test_selectors_and_affinity_choose_the_node() -> None:
    cluster = ClusterInTime(nodes=3)
    _change_node(cluster, "node-2", {}, labels={"disk": "ssd"})
    _change_node(cluster, "node-3", {}, labels={"zone": "c"})
    cluster.create(pod("selected", spec={"nodeSelector": {"disk": "ssd"}}))
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["c", "d"]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    cluster.create(pod("attracted", spec={"affinity": {"nodeAffinity": required}}))
    assert (_node_of(cluster, "selected"), _node_of(cluster, "attracted")) == ("node-2", "node-3")


def test_a_pod_waits_for_resources_that_others_have(cluster: ClusterInTime) -> None:
    def large(name: str) -> dict[str, Any]:
        resources = {"requests": {"cpu": "10"}}
        return pod(name, spec={"containers": [{"name": "app", "image": "app:1", "resources": resources}]})

    cluster.create(large("first"))
    cluster.create(large("second"))
    assert _node_of(cluster, "second") == ""
    assert "1 Insufficient cpu" in cluster.events("Pod")[-1]
    cluster.delete("v1", "Pod", "first")
    assert _node_of(cluster, "second") == "node-1"


def test_gates_and_other_schedulers_are_respected(cluster: ClusterInTime) -> None:
    cluster.create(pod("gated", spec={"schedulingGates": [{"name": "example.com/wait"}]}))
    cluster.create(pod("other", spec={"schedulerName": "mine"}))
    assert (_node_of(cluster, "gated"), _node_of(cluster, "other")) == ("", "")
