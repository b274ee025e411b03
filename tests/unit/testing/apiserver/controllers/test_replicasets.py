"""ReplicaSets and ReplicationControllers."""

from __future__ import annotations

from typing import Any

from kinformer.testing.build import pod
from tests.unit.testing.apiserver.controllers.clusters import APPS, ClusterInTime

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}


def _replicaset(replicas: int, **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "web"}}
    return {
        "apiVersion": APPS,
        "kind": "ReplicaSet",
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": selector, "template": TEMPLATE} | spec,
    }


def test_a_deleted_pod_is_replaced(cluster: ClusterInTime) -> None:
    cluster.create(_replicaset(2))
    first = cluster.pods(app="web")[0]["metadata"]["name"]
    cluster.delete("v1", "Pod", first)
    names = {one["metadata"]["name"] for one in cluster.pods(app="web")}
    assert len(names) == 2
    assert first not in names


def test_scaling_down_deletes_the_pods_that_are_not_ready_first(cluster: ClusterInTime) -> None:
    cluster.create(_replicaset(3))
    bad = cluster.pods(app="web")[1]["metadata"]["name"]
    cluster.server.pods.ready(bad, False)
    cluster.server.settle()
    assert cluster.status(APPS, "ReplicaSet", "web")["readyReplicas"] == 2
    cluster.patch(APPS, "ReplicaSet", "web", {"spec": {"replicas": 2}})
    assert bad not in {one["metadata"]["name"] for one in cluster.pods(app="web")}
    assert cluster.status(APPS, "ReplicaSet", "web")["readyReplicas"] == 2


def test_the_cost_of_deletion_decides_between_ready_pods(cluster: ClusterInTime) -> None:
    cluster.create(_replicaset(3))
    cheap = cluster.pods(app="web")[2]["metadata"]["name"]
    annotation = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}}}
    cluster.patch("v1", "Pod", cheap, annotation)
    cluster.patch(APPS, "ReplicaSet", "web", {"spec": {"replicas": 2}})
    assert cheap not in {one["metadata"]["name"] for one in cluster.pods(app="web")}


def test_a_pod_whose_labels_match_is_adopted_and_one_that_loses_them_is_released(cluster: ClusterInTime) -> None:
    cluster.create(pod("lonely", labels={"app": "web"}))
    cluster.create(_replicaset(2))
    assert len(cluster.pods(app="web")) == 2
    owners = cluster.get("v1", "Pod", "lonely")["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in owners] == ["web"]
    cluster.patch("v1", "Pod", "lonely", {"metadata": {"labels": {"app": "other"}}})
    assert "ownerReferences" not in cluster.get("v1", "Pod", "lonely")["metadata"]
    assert len(cluster.pods(app="web")) == 2


def test_a_pod_is_available_only_after_it_was_ready_for_some_seconds(cluster: ClusterInTime) -> None:
    cluster.create(_replicaset(1, minReadySeconds=10))
    assert "availableReplicas" not in cluster.status(APPS, "ReplicaSet", "web")
    cluster.later(11)
    assert cluster.status(APPS, "ReplicaSet", "web")["availableReplicas"] == 1


def test_a_refused_pod_is_a_condition_and_an_event_until_it_is_taken(cluster: ClusterInTime) -> None:
    # Annotations of this size are refused in a pod, not in a template.
    large = {"metadata": {"labels": {"app": "web"}, "annotations": {"large": "x" * 300_000}}}
    cluster.create(_replicaset(2, template=TEMPLATE | large))
    status = cluster.status(APPS, "ReplicaSet", "web")
    (condition,) = status["conditions"]
    assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "FailedCreate")
    refused = "metadata.annotations: Too long: may not be more than 262144 bytes"
    assert condition["message"].endswith(refused)
    assert all(
        event.startswith('FailedCreate: Error creating: Pod "web-') and event.endswith(refused)
        for event in cluster.events("ReplicaSet")
    )
    cluster.patch(APPS, "ReplicaSet", "web", {"spec": {"template": {"metadata": {"annotations": {"large": "x"}}}}})
    assert len(cluster.pods(app="web")) == 2
    assert "conditions" not in cluster.status(APPS, "ReplicaSet", "web")


def test_a_replication_controller_replaces_its_pods_too(cluster: ClusterInTime) -> None:
    spec = {"replicas": 2, "selector": {"app": "web"}, "template": TEMPLATE}
    cluster.create({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "web"}, "spec": spec})
    status = cluster.status("v1", "ReplicationController", "web")
    assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (2, 2, 1)
    assert "terminatingReplicas" not in status
