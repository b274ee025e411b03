"""The end of namespaces, and what each new one gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinformer.testing import Refusal
from kinformer.testing.build import config_map, deployment, namespace

if TYPE_CHECKING:
    from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime


def test_each_namespace_gets_an_account_and_the_certificate(cluster: ClusterInTime) -> None:
    cluster.create(namespace("web"))
    for space in ("default", "web"):
        cluster.get("v1", "ServiceAccount", "default", space)
        assert "ca.crt" in cluster.get("v1", "ConfigMap", "kube-root-ca.crt", space)["data"]


def test_both_come_back_when_they_are_deleted_or_changed(cluster: ClusterInTime) -> None:
    cluster.delete("v1", "ServiceAccount", "default")
    cluster.patch("v1", "ConfigMap", "kube-root-ca.crt", {"data": {"ca.crt": "x"}})
    assert cluster.get("v1", "ServiceAccount", "default")
    assert cluster.get("v1", "ConfigMap", "kube-root-ca.crt")["data"]["ca.crt"] != "x"


def test_a_namespace_ends_with_its_content(cluster: ClusterInTime) -> None:
    cluster.create(namespace("web"))
    cluster.create(deployment("app", "web", replicas=2))
    cluster.delete("v1", "Namespace", "web", "")
    assert "web" not in cluster.names("v1", "Namespace")
    assert [one for one in cluster.server.list("v1", "Pod") if one["metadata"]["namespace"] == "web"] == []


def test_a_namespace_says_what_it_waits_for(cluster: ClusterInTime) -> None:
    cluster.create(namespace("web"))
    held = config_map("held", "web")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    cluster.create(held)
    cluster.delete("v1", "Namespace", "web", "")
    status = cluster.get("v1", "Namespace", "web", "")["status"]
    assert status["phase"] == "Terminating"
    said = {one["type"]: (one["status"], one["reason"], one["message"]) for one in status["conditions"]}
    assert said == {
        "NamespaceDeletionDiscoveryFailure": (
            "False", "ResourcesDiscovered", "All resources successfully discovered"),
        "NamespaceDeletionGroupVersionParsingFailure": (
            "False", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        "NamespaceDeletionContentFailure": (
            "False", "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        "NamespaceContentRemaining": (
            "True", "SomeResourcesRemain", "Some resources are remaining: configmaps. has 1 resource instances"),
        "NamespaceFinalizersRemaining": (
            "True", "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"),
    }  # fmt: skip
    with pytest.raises(Refusal, match="because it is being terminated"):
        cluster.create(config_map("late", "web"))
    cluster.patch("v1", "ConfigMap", "held", {"metadata": {"finalizers": None}}, namespace="web")
    assert "web" not in cluster.names("v1", "Namespace")


def test_pods_are_given_their_time_when_a_namespace_ends(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("app-*", namespace="web", stops_after=5)
    cluster.create(namespace("web"))
    cluster.create(deployment("app", "web", replicas=1))
    cluster.delete("v1", "Namespace", "web", "")
    assert "web" in cluster.names("v1", "Namespace")
    cluster.later(6)
    assert "web" not in cluster.names("v1", "Namespace")
