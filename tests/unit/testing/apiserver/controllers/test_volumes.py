"""Claims and volumes find each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime


def _claim(name: str, **spec: Any) -> dict[str, Any]:
    body = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}} | spec
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": body}


def _volume(name: str, size: str) -> dict[str, Any]:
    spec = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def _phase(cluster: ClusterInTime, kind: str, name: str) -> str:
    phase: str = cluster.status("v1", kind, name)["phase"]
    return phase


def test_a_claim_takes_the_smallest_volume_that_fits(cluster: ClusterInTime) -> None:
    for name, size in (("small", "500Mi"), ("large", "10Gi"), ("fitting", "2Gi")):
        cluster.create(_volume(name, size))
        assert _phase(cluster, "PersistentVolume", name) == "Available"
    cluster.create(_claim("data", storageClassName=""))
    claim = cluster.get("v1", "PersistentVolumeClaim", "data")
    assert (claim["spec"]["volumeName"], claim["status"]["phase"]) == ("fitting", "Bound")
    assert _phase(cluster, "PersistentVolume", "fitting") == "Bound"
    cluster.delete("v1", "PersistentVolumeClaim", "data")
    assert _phase(cluster, "PersistentVolume", "fitting") == "Released"


def test_without_a_class_and_a_volume_a_claim_waits(cluster: ClusterInTime) -> None:
    cluster.create(_claim("data", storageClassName=""))
    assert _phase(cluster, "PersistentVolumeClaim", "data") == "Pending"
    cluster.create(_volume("late", "1Gi"))
    assert _phase(cluster, "PersistentVolumeClaim", "data") == "Bound"


def test_any_other_claim_gets_a_volume_that_goes_with_it(cluster: ClusterInTime) -> None:
    cluster.create(_claim("data", storageClassName="fast"))
    (volume,) = cluster.server.list("v1", "PersistentVolume")
    assert volume["spec"]["storageClassName"] == "fast"
    assert volume["status"]["phase"] == "Bound"
    cluster.delete("v1", "PersistentVolumeClaim", "data")
    assert cluster.names("v1", "PersistentVolume") == []
