"""Garbage collection by owner references."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer.testing.build import config_map, deployment
from tests.unit.testing.apiserver.controllers.clusters import APPS, ClusterInTime


def _owned(name: str, *owners: dict[str, Any], blocks: bool = False) -> dict[str, Any]:
    manifest = config_map(name, data={"a": "b"})
    manifest["metadata"]["ownerReferences"] = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": blocks,
        }
        for owner in owners
    ]
    return manifest


def _names(cluster: ClusterInTime) -> list[str]:
    return [name for name in cluster.names("v1", "ConfigMap") if name != "kube-root-ca.crt"]


def test_background_the_owner_goes_first_and_everything_follows(cluster: ClusterInTime) -> None:
    cluster.create(deployment("web", replicas=2))
    cluster.server.delete(APPS, "Deployment", "web", propagation_policy="Background")
    assert cluster.names(APPS, "Deployment") == []
    assert len(cluster.names(APPS, "ReplicaSet")) == 1
    cluster.server.settle()
    assert cluster.names(APPS, "ReplicaSet") == []
    assert cluster.names("v1", "Pod") == []


def test_foreground_the_owner_waits_for_its_dependents(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("web-*", stops_after=5)
    cluster.create(deployment("web", replicas=2))
    cluster.delete(APPS, "Deployment", "web", policy="Foreground")
    metadata = cluster.get(APPS, "Deployment", "web")["metadata"]
    assert metadata["finalizers"] == ["foregroundDeletion"]
    assert all(one["metadata"]["deletionTimestamp"] for one in cluster.server.list("v1", "Pod"))
    assert len(cluster.names(APPS, "ReplicaSet")) == 1
    cluster.later(6)
    assert cluster.names(APPS, "Deployment") == cluster.names(APPS, "ReplicaSet") == cluster.names("v1", "Pod") == []


def test_orphan_the_dependents_stay_without_their_owner(cluster: ClusterInTime) -> None:
    cluster.create(deployment("web", replicas=2))
    cluster.delete(APPS, "Deployment", "web", policy="Orphan")
    assert cluster.names(APPS, "Deployment") == []
    (replicas,) = cluster.server.list(APPS, "ReplicaSet")
    assert "ownerReferences" not in replicas["metadata"]
    assert len(cluster.pods(app="web")) == 2


def test_an_object_goes_with_the_last_of_its_owners(cluster: ClusterInTime) -> None:
    first, second = cluster.create(config_map("first")), cluster.create(config_map("second"))
    cluster.create(_owned("child", first, second))
    cluster.delete("v1", "ConfigMap", "first")
    owners = cluster.get("v1", "ConfigMap", "child")["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in owners] == ["second"]
    cluster.delete("v1", "ConfigMap", "second")
    assert _names(cluster) == []


def test_an_object_whose_owner_never_was_goes(cluster: ClusterInTime) -> None:
    owner = config_map("nobody")
    owner["metadata"]["uid"] = "none"
    cluster.create(_owned("child", owner))
    assert _names(cluster) == []


def test_an_owner_of_another_uid_is_another_object(cluster: ClusterInTime) -> None:
    owner = cluster.create(config_map("owner"))
    cluster.server.create(_owned("child", owner))
    cluster.server.delete("v1", "ConfigMap", "owner")
    cluster.server.create(config_map("owner"))
    cluster.server.settle()
    assert _names(cluster) == ["owner"]


@pytest.mark.parametrize("blocks", [True, False])
def test_foreground_waits_only_for_dependents_that_block(cluster: ClusterInTime, blocks: bool) -> None:
    owner = cluster.create(config_map("owner"))
    child = _owned("child", owner, blocks=blocks)
    child["metadata"]["finalizers"] = ["example.com/hold"]
    cluster.create(child)
    cluster.delete("v1", "ConfigMap", "owner", policy="Foreground")
    assert _names(cluster) == (["child", "owner"] if blocks else ["child"])
    cluster.patch("v1", "ConfigMap", "child", {"metadata": {"finalizers": None}})
    assert _names(cluster) == []


def test_a_circle_of_owners_that_go_in_the_foreground_goes_as_a_whole(cluster: ClusterInTime) -> None:
    maps = {name: cluster.create(config_map(name)) for name in "abc"}
    for name, owner in ("ac", "ba", "cb"):
        owned = _owned(name, maps[owner], blocks=True)["metadata"]["ownerReferences"]
        cluster.server.patch("v1", "ConfigMap", name, {"metadata": {"ownerReferences": owned}})
    cluster.delete("v1", "ConfigMap", "a", policy="Foreground")
    assert _names(cluster) == []


def test_without_the_controller_the_dependents_go_at_once() -> None:
    cluster = ClusterInTime(("replicaset",))
    owner = cluster.create(config_map("owner"))
    cluster.create(_owned("child", owner))
    cluster.server.delete("v1", "ConfigMap", "owner")
    assert _names(cluster) == []
