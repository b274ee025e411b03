"""Defaults of the embedded server, and the order in which it writes fields."""

from __future__ import annotations

import copy
import ipaddress
import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from kinformer.testing import ApiServer
from kinformer.testing._apiserver.rules.defaults import METADATA_ORDER, in_order
from tests.paths import RECORDINGS

NOW = "2026-11-23T08:48:36Z"


@pytest.fixture
def server() -> ApiServer:
    return ApiServer(clock=lambda: datetime(2026, 11, 23, 8, 48, 36, tzinfo=UTC))


def recorded(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body that was sent, and the object it became."""
    exchange = json.loads((RECORDINGS / f"{name}.json").read_text())
    return exchange["request"]["body"], json.loads(exchange["response"]["body"])


def manifest(kind: str, api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "it"}, **fields}


def pod(**spec: Any) -> dict[str, Any]:
    return manifest("Pod", spec={"containers": [{"name": "c", "image": "i:1"}]} | spec)


def workload(kind: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return manifest(kind, "apps/v1", spec={"selector": {"matchLabels": {"a": "1"}}, "template": template} | spec)


# As recorded


def test_a_pod_becomes_what_a_kube_apiserver_makes_of_it(server: ApiServer) -> None:
    body, expected = recorded("create-pod")
    server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rec"}})
    made = server.create(body | {"metadata": body["metadata"] | {"namespace": "rec"}})
    # The recorded server ran without the admission plugin Priority.
    assert made["spec"] == expected["spec"] | {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}
    assert made["status"] == expected["status"]
    assert [*made] == [*expected]
    assert [*made["metadata"]] == [*expected["metadata"]]
    ours, theirs = (m["metadata"]["managedFields"][0]["fieldsV1"] for m in (made, expected))
    assert ours == theirs


def test_a_definition_gets_its_names_and_is_established_a_moment_later(server: ApiServer) -> None:
    body, expected = recorded("create-crd")
    made = server.create(body)
    assert made["spec"] == expected["spec"]
    assert made["status"] == expected["status"]
    later = server.get(body["apiVersion"], body["kind"], body["metadata"]["name"])
    assert {c["type"]: c["status"] for c in later["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    assert later["status"]["acceptedNames"] == expected["spec"]["names"]
    assert int(later["metadata"]["resourceVersion"]) == int(made["metadata"]["resourceVersion"]) + 1


# Pods


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("registry.io:5000/web", "Always"),
        ("web:1", "IfNotPresent"),
        ("registry.io:5000/web:1", "IfNotPresent"),
    ],
)
def test_an_image_without_a_version_is_always_pulled(server: ApiServer, image: str, policy: str) -> None:
    made = server.create(pod(containers=[{"name": "c", "image": image}]))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_what_is_given_is_not_overwritten(server: ApiServer) -> None:
    given: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.1"]},
        "schedulerName": "mine",
        "securityContext": {"runAsUser": 5},
        "enableServiceLinks": False,
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": "c",
                "image": "i",
                "imagePullPolicy": "Never",
                "terminationMessagePath": "/x",
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}},
                "ports": [{"containerPort": 53, "protocol": "UDP"}],
            }
        ],
    }
    made = server.create(pod(**copy.deepcopy(given)))["spec"]
    assert {name: made[name] for name in given} == given


def test_a_toleration_of_one_failure_leaves_the_other_to_be_filled_in(server: ApiServer) -> None:
    mine = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    made = server.create(pod(tolerations=[mine]))["spec"]["tolerations"]
    assert [(t["key"], t.get("tolerationSeconds")) for t in made] == [
        ("node.kubernetes.io/not-ready", None),
        ("node.kubernetes.io/unreachable", 300),
    ]


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ([{}, {}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}, {}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Mi"}}], "Burstable"),
    ],
)
def test_a_pod_has_the_quality_its_resources_make(
    server: ApiServer, resources: list[dict[str, Any]], quality: str
) -> None:
    containers = [{"name": f"c{i}", "image": "i", "resources": given} for i, given in enumerate(resources)]
    assert server.create(pod(containers=containers))["status"] == {"phase": "Pending", "qosClass": quality}


def test_nulls_are_as_good_as_nothing(server: ApiServer) -> None:
    container = {"name": "c", "image": "i", "ports": None, "resources": None, "env": None}
    made = server.create(pod(initContainers=None, tolerations=None, nodeName=None, containers=[container]))
    assert json.dumps(made).count("null") == 0
    assert len(made["spec"]["tolerations"]) == 2
    assert made["spec"]["containers"][0]["resources"] == {}
    service = server.create(manifest("Service", spec={"clusterIP": "None", "ports": None, "selector": None}))
    assert service["spec"].keys().isdisjoint({"ports", "selector"})
    assert server.create(manifest("Secret", data=None, stringData=None))["type"] == "Opaque"


def test_an_update_that_leaves_defaults_out_gets_them_again_and_is_no_change(server: ApiServer) -> None:
    made = server.create(workload("Deployment"))
    assert server.update(workload("Deployment")) == made
    assert made["metadata"]["generation"] == 1


# Workloads


@pytest.mark.parametrize(
    ("kind", "defaults"),
    [
        (
            "Deployment",
            {
                "replicas": 1,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
            },
        ),
        ("ReplicaSet", {"replicas": 1}),
        (
            "StatefulSet",
            {
                "replicas": 1,
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "revisionHistoryLimit": 10,
            },
        ),
        (
            "DaemonSet",
            {
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
                "revisionHistoryLimit": 10,
            },
        ),
    ],
)
def test_a_workload_gets_its_defaults_and_its_pods_theirs(
    server: ApiServer, kind: str, defaults: dict[str, Any]
) -> None:
    made = server.create(workload(kind))["spec"]
    assert {name: made.get(name) for name in defaults} == defaults
    template = made["template"]["spec"]
    assert (template["restartPolicy"], template["containers"][0]["imagePullPolicy"]) == ("Always", "Always")
    assert "tolerations" not in template, "admission is for pods, not for their templates"


def test_no_replicas_are_not_one(server: ApiServer) -> None:
    assert server.create(workload("Deployment", replicas=0))["spec"]["replicas"] == 0


def test_a_job_runs_once(server: ApiServer) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    made = server.create(manifest("Job", "batch/v1", spec={"template": template}))["spec"]
    defaults = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False}
    assert {name: made[name] for name in defaults} == defaults
    assert made["template"]["spec"]["restartPolicy"] == "Never"


# Services, namespaces, nodes


def test_each_service_has_an_address_of_the_service_network_and_keeps_it(server: ApiServer) -> None:
    def service(name: str) -> dict[str, Any]:
        spec = {"ports": [{"port": 80}], "selector": {"a": "1"}}
        return manifest("Service", spec=spec) | {"metadata": {"name": name}}

    made = [server.create(service(f"s{index}"))["spec"] for index in range(50)]
    addresses = {spec["clusterIP"] for spec in made}
    assert len(addresses) == 50
    assert all(ipaddress.ip_address(a) in ipaddress.ip_network("10.96.0.0/12") for a in addresses)
    assert "10.96.0.1" not in addresses
    assert made[0]["clusterIPs"] == [made[0]["clusterIP"]]
    assert (made[0]["type"], made[0]["sessionAffinity"], made[0]["ipFamilies"]) == ("ClusterIP", "None", ["IPv4"])
    assert made[0]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    changed = service("s0")
    changed["spec"]["ports"][0]["port"] = 81
    assert server.update(changed)["spec"]["clusterIP"] == made[0]["clusterIP"]


def test_a_service_without_an_address_gets_none(server: ApiServer) -> None:
    headless = server.create(manifest("Service", spec={"clusterIP": "None"}))["spec"]
    assert (headless["clusterIP"], headless["clusterIPs"]) == ("None", ["None"])
    external = manifest("Service", spec={"type": "ExternalName", "externalName": "a.io"}) | {"metadata": {"name": "e"}}
    assert "clusterIP" not in server.create(external)["spec"]


def test_a_namespace_is_active_and_says_its_name(server: ApiServer) -> None:
    made = server.create(manifest("Namespace"))
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "it"}
    assert (made["spec"], made["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})


def test_a_node_comes_with_its_status_as_a_kubelet_registers_it(server: ApiServer) -> None:
    # pkg/registry/core/node/strategy.go: PrepareForCreate drops no status, PrepareForUpdate does.
    made = server.create(manifest("Node", status={"capacity": {"cpu": "4"}}))
    assert made["status"]["capacity"] == {"cpu": "4"}
    assert made["status"]["nodeInfo"]["kubeletVersion"] == ""
    changed = server.update(made | {"status": {}, "spec": {"unschedulable": True}})
    assert (changed["status"], changed["spec"]) == (made["status"], {"unschedulable": True})


async def test_defaults_are_part_of_what_is_applied_over_http(server: ApiServer) -> None:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    async with server, aiohttp.ClientSession(server.url) as http:
        path = "/apis/apps/v1/namespaces/default/deployments/it?fieldManager=me"
        answers = []
        for _ in range(2):
            async with http.patch(path, json=workload("Deployment"), headers=headers) as response:
                assert response.ok, await response.text()
                answers.append(await response.json())
    assert answers[0]["spec"]["replicas"] == 1
    (entry,) = answers[0]["metadata"]["managedFields"]
    assert "f:replicas" not in entry["fieldsV1"]["f:spec"], "a default has no owner"
    assert answers[0] == answers[1]


# Order


def test_fields_are_in_the_order_of_the_wire() -> None:
    metadata: dict[str, Any] = dict.fromkeys(reversed(METADATA_ORDER), "x")
    metadata |= {"labels": {"b": "1", "a": "2"}, "annotations": {"d": "1", "c": "2"}, "selfLink": None}
    mixed = {
        "status": {},
        "data": {},
        "metadata": metadata,
        "spec": {},
        "apiVersion": "v1",
        "kind": "X",
    }
    ordered = in_order(mixed)
    assert [*ordered] == ["kind", "apiVersion", "metadata", "spec", "status", "data"]
    assert [*ordered["metadata"]] == [name for name in METADATA_ORDER if name != "selfLink"]
    assert [*ordered["metadata"]["labels"], *ordered["metadata"]["annotations"]] == ["a", "b", "c", "d"]
