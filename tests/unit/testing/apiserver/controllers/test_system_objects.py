"""The objects that a new cluster has."""

from __future__ import annotations

from kinformer.testing import ApiServer


def test_a_server_with_system_objects_runs_dns_and_has_the_service_of_the_api_server() -> None:
    server = ApiServer(controllers="all", system_objects=True)
    server.settle()
    assert server.get("v1", "Service", "kubernetes")["spec"]["clusterIP"] == "10.96.0.1"
    pods = server.list("v1", "Pod", "kube-system")
    assert [one["status"]["phase"] for one in pods] == ["Running"] * 2
    assert {one["metadata"]["labels"]["k8s-app"] for one in pods} == {"kube-dns"}
    assert server.get("v1", "Endpoints", "kube-dns", "kube-system")["subsets"]


def test_a_server_that_begins_anew_has_them_once_more_and_a_snapshot_goes_over_them() -> None:
    server = ApiServer(controllers="all", system_objects=True)
    server.settle()
    server.patch("apps/v1", "Deployment", "coredns", {"spec": {"replicas": 3}}, namespace="kube-system")
    server.settle()
    taken = server.snapshot()
    server.reset()
    server.settle()
    assert len(server.list("v1", "Pod", "kube-system")) == 2
    server.restore(taken)
    server.settle()
    assert len(server.list("v1", "Pod", "kube-system")) == 3


def test_without_them_a_server_has_no_object_but_its_namespaces() -> None:
    server = ApiServer(controllers="all", nodes=0)
    assert server.list("v1", "Service") == []


def test_a_server_without_pods_has_what_an_api_server_makes_for_itself_and_no_dns() -> None:
    server = ApiServer(system_objects=True)
    assert server.get("v1", "Service", "kubernetes")["spec"]["ports"][0]["targetPort"] == 6443
    (slice_,) = server.list("discovery.k8s.io/v1", "EndpointSlice")
    assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == "kubernetes"
    classes = {one["metadata"]["name"]: one["value"] for one in server.list("scheduling.k8s.io/v1", "PriorityClass")}
    assert classes == {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
    schemas = server.list("flowcontrol.apiserver.k8s.io/v1", "FlowSchema")
    assert {one["status"]["conditions"][0]["reason"] for one in schemas} == {"Found"}
    assert server.list("apps/v1", "Deployment") == []
