"""Deployments: revisions, rollouts, rollbacks."""

from __future__ import annotations

from typing import Any

from kinformer.testing.build import deployment
from tests.unit.testing.apiserver.controllers.clusters import APPS, ClusterInTime


def _release(cluster: ClusterInTime, image: str, **spec: Any) -> None:
    containers = [{"name": "app", "image": image}]
    cluster.patch(APPS, "Deployment", "web", {"spec": {"template": {"spec": {"containers": containers}}} | spec})


def _deployed(**spec: Any) -> dict[str, Any]:
    made = deployment("web", replicas=4, image="app:1", spec=spec)
    made["spec"]["template"]["spec"]["containers"] = [{"name": "app", "image": "app:1"}]
    return made


def test_a_deployment_gets_a_replicaset_and_pods_that_become_ready(cluster: ClusterInTime) -> None:
    cluster.create(_deployed())
    status = cluster.status(APPS, "Deployment", "web")
    assert {name: value for name, value in status.items() if name != "conditions"} == {
        "observedGeneration": 1,
        "replicas": 4,
        "updatedReplicas": 4,
        "readyReplicas": 4,
        "availableReplicas": 4,
        "terminatingReplicas": 0,
    }
    assert cluster.condition(APPS, "Deployment", "web", "Available") == ("True", "MinimumReplicasAvailable")
    assert cluster.condition(APPS, "Deployment", "web", "Progressing") == ("True", "NewReplicaSetAvailable")
    (replicas,) = cluster.server.list(APPS, "ReplicaSet")
    assert replicas["metadata"]["annotations"] == {
        "deployment.kubernetes.io/desired-replicas": "4",
        "deployment.kubernetes.io/max-replicas": "5",
        "deployment.kubernetes.io/revision": "1",
    }
    word = replicas["metadata"]["labels"]["pod-template-hash"]
    assert replicas["metadata"]["name"] == f"web-{word}"
    assert replicas["spec"]["selector"]["matchLabels"]["pod-template-hash"] == word
    assert len(cluster.pods(**{"pod-template-hash": word})) == 4
    assert cluster.events("Deployment") == [f"ScalingReplicaSet: Scaled up replica set web-{word} from 0 to 4"]


def test_a_rollout_keeps_within_surge_and_unavailability(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("web-*", starts_after=2, stops_after=3)
    cluster.create(_deployed())
    cluster.later(3)
    _release(cluster, "app:2")
    seen = set()
    for _ in range(60):
        cluster.later(1)
        status = cluster.status(APPS, "Deployment", "web")
        seen.add((status["replicas"], status.get("availableReplicas", 0)))
    assert {total for total, _ in seen} <= {4, 5}
    assert min(available for _, available in seen) == 3
    assert cluster.images("web") == ["app:2"] * 4
    assert cluster.condition(APPS, "Deployment", "web", "Progressing") == ("True", "NewReplicaSetAvailable")


def test_recreate_starts_the_new_pods_when_the_last_old_one_is_gone(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("web-*", stops_after=5)
    cluster.create(_deployed(strategy={"type": "Recreate"}))
    _release(cluster, "app:2")
    cluster.later(4)
    assert cluster.pods(app="web") == []
    cluster.later(2)
    assert cluster.images("web") == ["app:2"] * 4


def test_a_rollback_reuses_the_replicaset_under_the_next_revision(cluster: ClusterInTime) -> None:
    cluster.create(_deployed())
    _release(cluster, "app:2")
    _release(cluster, "app:1")
    sets = {
        one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: one
        for one in cluster.server.list(APPS, "ReplicaSet")
    }
    assert {revision: one["spec"]["replicas"] for revision, one in sets.items()} == {"2": 0, "3": 4}
    assert sets["3"]["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    annotations = cluster.get(APPS, "Deployment", "web")["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"
    assert cluster.images("web") == ["app:1"] * 4


def test_a_rollout_that_makes_no_progress_passes_its_deadline(cluster: ClusterInTime) -> None:
    cluster.create(_deployed(progressDeadlineSeconds=60))
    cluster.server.pods.script("web-*", image_error="manifest unknown")
    _release(cluster, "app:bad")
    cluster.later(50, step=5)
    assert cluster.condition(APPS, "Deployment", "web", "Progressing") == ("True", "ReplicaSetUpdated")
    cluster.later(20, step=5)
    assert cluster.condition(APPS, "Deployment", "web", "Progressing") == ("False", "ProgressDeadlineExceeded")
    assert cluster.images("web").count("app:1") == 3
    # A rollback mends it.
    cluster.server.pods.script("web-*")
    _release(cluster, "app:1")
    assert cluster.condition(APPS, "Deployment", "web", "Progressing") == ("True", "NewReplicaSetAvailable")


def test_a_paused_deployment_scales_but_does_not_roll_out(cluster: ClusterInTime) -> None:
    cluster.create(_deployed())
    cluster.patch(APPS, "Deployment", "web", {"spec": {"paused": True}})
    assert cluster.condition(APPS, "Deployment", "web", "Progressing") == ("Unknown", "DeploymentPaused")
    _release(cluster, "app:2", replicas=6)
    assert cluster.images("web") == ["app:1"] * 6
    cluster.patch(APPS, "Deployment", "web", {"spec": {"paused": None}})
    assert cluster.images("web") == ["app:2"] * 6


def test_scaling_in_the_middle_of_a_rollout_is_shared_among_the_replicasets(cluster: ClusterInTime) -> None:
    cluster.create(_deployed(replicas=10, strategy={"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}))
    cluster.server.pods.script("web-*", ready_after=None)
    _release(cluster, "app:2")
    assert (cluster.images("web").count("app:1"), cluster.images("web").count("app:2")) == (8, 5)
    cluster.patch(APPS, "Deployment", "web", {"spec": {"replicas": 15}})
    # The example of the documentation of Deployments: three of the five go to the old one.
    assert (cluster.images("web").count("app:1"), cluster.images("web").count("app:2")) == (11, 7)


def test_old_replicasets_go_beyond_the_history_that_is_kept(cluster: ClusterInTime) -> None:
    cluster.create(_deployed(revisionHistoryLimit=1))
    for number in (2, 3, 4):
        cluster.later(1)
        _release(cluster, f"app:{number}")
    revisions = [
        one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
        for one in cluster.server.list(APPS, "ReplicaSet")
    ]
    assert sorted(revisions) == ["3", "4"]


def test_a_label_of_another_hash_is_no_new_template(cluster: ClusterInTime) -> None:
    cluster.create(_deployed())
    before = cluster.names(APPS, "ReplicaSet")
    cluster.patch(APPS, "Deployment", "web", {"metadata": {"annotations": {"note": "changed"}}})
    assert cluster.names(APPS, "ReplicaSet") == before
    (replicas,) = cluster.server.list(APPS, "ReplicaSet")
    assert replicas["metadata"]["annotations"]["note"] == "changed"


def test_a_name_that_another_replicaset_has_is_not_taken(cluster: ClusterInTime) -> None:
    cluster.create(_deployed())
    (taken,) = cluster.names(APPS, "ReplicaSet")
    other = ClusterInTime()
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "other"}},
        "template": {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
    }
    other.create({"apiVersion": APPS, "kind": "ReplicaSet", "metadata": {"name": taken}, "spec": spec})
    other.create(_deployed())
    assert other.status(APPS, "Deployment", "web")["collisionCount"] == 1
    assert len(other.pods(app="web")) == 4
