"""StatefulSets: names, order, volumes, revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.testing.apiserver.controllers.clusters import APPS

if TYPE_CHECKING:
    from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime


def _set(replicas: int, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db:1"}]}}
    body = {"serviceName": "db", "replicas": replicas, "selector": {"matchLabels": {"app": "db"}}, "template": template}
    return {"apiVersion": APPS, "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": body | spec}


def _release(cluster: ClusterInTime, image: str) -> None:
    containers = [{"name": "db", "image": image}]
    cluster.patch(APPS, "StatefulSet", "db", {"spec": {"template": {"spec": {"containers": containers}}}})


def _images(cluster: ClusterInTime) -> dict[str, str]:
    return {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in cluster.pods(app="db")}


def test_pods_start_one_after_another_each_when_the_one_before_is_ready(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("db-*", ready_after=2)
    cluster.create(_set(3))
    seen = [sorted(_images(cluster))]
    for _ in range(3):
        cluster.later(2)
        seen.append(sorted(_images(cluster)))
    assert seen == [["db-0"], ["db-0", "db-1"], ["db-0", "db-1", "db-2"], ["db-0", "db-1", "db-2"]]
    pod = cluster.get("v1", "Pod", "db-1")
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-1", "db")
    labels = pod["metadata"]["labels"]
    assert labels["statefulset.kubernetes.io/pod-name"] == "db-1"
    assert labels["apps.kubernetes.io/pod-index"] == "1"
    status = cluster.status(APPS, "StatefulSet", "db")
    (revision,) = cluster.names(APPS, "ControllerRevision")
    assert labels["controller-revision-hash"] == revision
    assert status == {
        "observedGeneration": 1,
        "replicas": 3,
        "readyReplicas": 3,
        "currentReplicas": 3,
        "updatedReplicas": 3,
        "currentRevision": revision,
        "updateRevision": revision,
        "collisionCount": 0,
        "availableReplicas": 3,
    }


def test_in_parallel_they_start_together(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("db-*", ready_after=None)
    cluster.create(_set(3, podManagementPolicy="Parallel"))
    assert sorted(_images(cluster)) == ["db-0", "db-1", "db-2"]


def test_the_last_pod_goes_first_and_a_deleted_one_comes_back_under_its_name(cluster: ClusterInTime) -> None:
    cluster.create(_set(3))
    before = cluster.get("v1", "Pod", "db-0")["metadata"]["uid"]
    cluster.delete("v1", "Pod", "db-0")
    assert cluster.get("v1", "Pod", "db-0")["metadata"]["uid"] != before
    cluster.server.pods.script("db-*", stops_after=2)
    cluster.patch(APPS, "StatefulSet", "db", {"spec": {"replicas": 1}})
    assert sorted(_images(cluster)) == ["db-0", "db-1"]
    cluster.later(2)
    assert sorted(_images(cluster)) == ["db-0"]


def test_an_update_goes_from_the_last_pod_to_the_partition(cluster: ClusterInTime) -> None:
    cluster.create(_set(3, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}))
    _release(cluster, "db:2")
    assert _images(cluster) == {"db-0": "db:1", "db-1": "db:2", "db-2": "db:2"}
    status = cluster.status(APPS, "StatefulSet", "db")
    assert (status["currentReplicas"], status["updatedReplicas"]) == (1, 2)
    assert status["currentRevision"] != status["updateRevision"]
    # Below the partition, a new pod is of the former revision.
    cluster.delete("v1", "Pod", "db-0")
    assert _images(cluster)["db-0"] == "db:1"
    cluster.patch(APPS, "StatefulSet", "db", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
    assert set(_images(cluster).values()) == {"db:2"}
    status = cluster.status(APPS, "StatefulSet", "db")
    assert status["currentRevision"] == status["updateRevision"]


def test_an_update_stops_at_a_pod_that_does_not_become_ready(cluster: ClusterInTime) -> None:
    cluster.create(_set(3))
    cluster.server.pods.script("db-*", image_error="not found")
    _release(cluster, "db:2")
    assert _images(cluster) == {"db-0": "db:1", "db-1": "db:1", "db-2": "db:2"}


def test_on_delete_only_deleted_pods_are_updated(cluster: ClusterInTime) -> None:
    cluster.create(_set(2, updateStrategy={"type": "OnDelete"}))
    _release(cluster, "db:2")
    assert set(_images(cluster).values()) == {"db:1"}
    cluster.delete("v1", "Pod", "db-1")
    assert _images(cluster) == {"db-0": "db:1", "db-1": "db:2"}


def test_a_rollback_takes_the_former_revision_again(cluster: ClusterInTime) -> None:
    cluster.create(_set(1))
    _release(cluster, "db:2")
    _release(cluster, "db:1")
    revisions = cluster.server.list(APPS, "ControllerRevision")
    assert sorted(one["revision"] for one in revisions) == [2, 3]
    assert _images(cluster) == {"db-0": "db:1"}


def test_each_pod_has_volumes_of_its_own_which_stay_when_it_goes(cluster: ClusterInTime) -> None:
    claim = {"metadata": {"name": "data"},
             "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}}  # fmt: skip
    cluster.create(_set(2, volumeClaimTemplates=[claim]))
    claims = {one["metadata"]["name"]: one for one in cluster.server.list("v1", "PersistentVolumeClaim")}
    assert sorted(claims) == ["data-db-0", "data-db-1"]
    assert {one["status"]["phase"] for one in claims.values()} == {"Bound"}
    assert claims["data-db-0"]["status"]["capacity"] == {"storage": "2Gi"}
    assert {one["status"]["phase"] for one in cluster.server.list("v1", "PersistentVolume")} == {"Bound"}
    volumes = cluster.get("v1", "Pod", "db-1")["spec"]["volumes"]
    assert volumes == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}]
    cluster.patch(APPS, "StatefulSet", "db", {"spec": {"replicas": 1}})
    assert len(cluster.names("v1", "PersistentVolumeClaim")) == 2


def test_volumes_that_are_not_kept_go_with_their_pod_and_with_the_set(cluster: ClusterInTime) -> None:
    claim = {"metadata": {"name": "data"},
             "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}}  # fmt: skip
    kept = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    cluster.create(_set(2, volumeClaimTemplates=[claim], persistentVolumeClaimRetentionPolicy=kept))
    cluster.patch(APPS, "StatefulSet", "db", {"spec": {"replicas": 1}})
    assert cluster.names("v1", "PersistentVolumeClaim") == ["data-db-0"]
    cluster.delete(APPS, "StatefulSet", "db")
    assert cluster.names("v1", "PersistentVolumeClaim") == cluster.names("v1", "PersistentVolume") == []


def test_a_set_that_waits_for_its_pods_to_go_makes_no_revision(cluster: ClusterInTime) -> None:
    # The garbage collector would take it away at once, again and again.
    cluster.server.pods.script("db-*", stops_after=5)
    cluster.create(_set(1))
    cluster.delete(APPS, "StatefulSet", "db", policy="Foreground")
    _release(cluster, "db:2")
    assert len(cluster.names(APPS, "ControllerRevision")) <= 1
    cluster.later(6)
    assert cluster.names(APPS, "StatefulSet") == cluster.names("v1", "Pod") == []
