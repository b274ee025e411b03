"""Services know the addresses of their pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer.testing.build import deployment, pod

if TYPE_CHECKING:
    from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime

DISCOVERY = "discovery.k8s.io/v1"


def _service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "web"}]
    body = {"selector": {"app": "web"}, "ports": ports} | spec
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "labels": {"tier": "front"}},
        "spec": body,
    }


def _pod(name: str) -> dict[str, Any]:
    ports = [{"name": "web", "containerPort": 8080}]
    return pod(name, labels={"app": "web"}, spec={"containers": [{"name": "app", "image": "app:1", "ports": ports}]})


def test_a_slice_has_the_ready_pods_with_the_number_of_a_named_port(cluster: ClusterInTime) -> None:
    cluster.create(_service())
    cluster.create(_pod("a"))
    (found,) = cluster.server.list(DISCOVERY, "EndpointSlice")
    assert found["metadata"]["name"].startswith("web-")
    assert found["metadata"]["labels"] == {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": "web",
        "tier": "front",
    }
    assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    uid = cluster.get("v1", "Pod", "a")["metadata"]["uid"]
    assert found["endpoints"] == [
        {
            "addresses": ["10.244.0.2"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": uid},
            "nodeName": "node-1",
        }
    ]


def test_endpoints_say_which_pods_are_not_ready(cluster: ClusterInTime) -> None:
    cluster.create(_service())
    cluster.create(_pod("a"))
    cluster.create(_pod("b"))
    cluster.server.pods.ready("b", False)
    cluster.server.settle()
    (subset,) = cluster.get("v1", "Endpoints", "web")["subsets"]
    assert [one["ip"] for one in subset["addresses"]] == ["10.244.0.2"]
    assert [one["ip"] for one in subset["notReadyAddresses"]] == ["10.244.0.3"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    (found,) = cluster.server.list(DISCOVERY, "EndpointSlice")
    assert [one["conditions"]["ready"] for one in found["endpoints"]] == [True, False]


def test_a_pod_that_goes_is_terminating_and_then_gone(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("a", stops_after=5)
    cluster.create(_service())
    cluster.create(_pod("a"))
    cluster.delete("v1", "Pod", "a")
    (found,) = cluster.server.list(DISCOVERY, "EndpointSlice")
    assert found["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}
    cluster.later(6)
    (found,) = cluster.server.list(DISCOVERY, "EndpointSlice")
    assert not found["endpoints"]
    assert "subsets" not in cluster.get("v1", "Endpoints", "web")


def test_many_pods_are_divided_into_slices(cluster: ClusterInTime) -> None:
    cluster.server.create(_service())
    cluster.server.create(deployment("web", replicas=105))
    cluster.server.fill_replicasets()
    cluster.server.settle("endpointslice")
    sizes = [len(one["endpoints"]) for one in cluster.server.list(DISCOVERY, "EndpointSlice")]
    assert sorted(sizes) == [5, 100]


def test_slices_and_endpoints_go_with_their_service(cluster: ClusterInTime) -> None:
    cluster.create(_service())
    cluster.create(_pod("a"))
    cluster.delete("v1", "Service", "web")
    assert cluster.names(DISCOVERY, "EndpointSlice") == cluster.names("v1", "Endpoints") == []


def test_a_service_without_a_selector_is_left_alone(cluster: ClusterInTime) -> None:
    cluster.create(_service(selector=None))
    assert cluster.names(DISCOVERY, "EndpointSlice") == cluster.names("v1", "Endpoints") == []
