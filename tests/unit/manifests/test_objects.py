"""The objects of a deployment agree with the manager and with each other, and an API server takes them."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer import Manager
from kinformer.manifests._objects import objects_of, placed, service_monitor
from kinformer.testing import ApiServer, build
from tests.unit.manifests.operators import led, planned, with_cert_manager, with_own_certificate


def of_kind(objects: dict[str, list[dict[str, Any]]], kind: str) -> dict[str, Any]:
    (found,) = (manifest for manifests in objects.values() for manifest in manifests if manifest["kind"] == kind)
    return found


def container(objects: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    (found,) = of_kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("make", [led, with_own_certificate])
async def test_an_api_server_takes_all_objects(make: Any) -> None:
    async with ApiServer() as server:
        server.create(build.namespace("ops"))
        for manifests in objects_of(planned(make())).values():
            for manifest in placed(manifests, "ops"):
                server.create(manifest)


async def test_probes_ask_for_the_port_and_paths_that_the_manager_serves() -> None:
    objects = objects_of(planned(led(port=8081)))
    found = container(objects)
    assert found["ports"] == [{"name": "http", "containerPort": 8081}]
    probes = {name: probe["httpGet"] for name, probe in found.items() if name.endswith("Probe")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert {probe["port"] for probe in probes.values()} == {"http"}


async def test_without_a_server_there_are_no_probes_ports_and_services() -> None:
    objects = objects_of(planned(led(host="")))
    assert not [name for name in container(objects) if name.endswith("Probe") or name == "ports"]
    assert "services.yaml" not in objects
    assert of_kind(objects, "NetworkPolicy")["spec"]["ingress"] == []


async def test_the_kill_comes_after_the_grace_of_the_manager() -> None:
    pod = of_kind(objects_of(planned(led(grace=45.5))), "Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > 45.5


async def test_one_replica_is_never_joined_by_a_second_one() -> None:
    spec = of_kind(objects_of(planned(Manager(host="0.0.0.0"))), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert "strategy" not in of_kind(objects_of(planned(led())), "Deployment")["spec"]


async def test_webhooks_are_reached_by_their_service_at_their_port() -> None:
    objects = objects_of(planned(with_own_certificate()))
    (webhook,) = of_kind(objects, "ValidatingWebhookConfiguration")["webhooks"]
    address = webhook["clientConfig"]["service"]
    service = of_kind(objects, "Service")
    assert (service["metadata"]["name"], service["metadata"]["namespace"]) == (address["name"], address["namespace"])
    ports = {port["name"]: port for port in service["spec"]["ports"]}
    assert ports["webhooks"]["port"] == address["port"]
    assert {"name": "webhooks", "containerPort": 9443} in container(objects)["ports"]
    allowed = of_kind(objects, "NetworkPolicy")["spec"]["ingress"][0]["ports"]
    assert {port["port"] for port in allowed} == {"http", "webhooks"}
    # The certificate is written to a file for OpenSSL, and the file system of the container can only be read.
    assert {"name": "tmp", "mountPath": "/tmp"} in container(objects)["volumeMounts"]


async def test_cert_manager_makes_the_secret_that_is_mounted_for_the_names_of_the_service() -> None:
    objects = objects_of(planned(with_cert_manager()))
    certificate = of_kind(objects, "Certificate")["spec"]
    volumes = of_kind(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "certificate", "secret": {"secretName": certificate["secretName"]}} in volumes
    (webhook,) = of_kind(objects, "ValidatingWebhookConfiguration")["webhooks"]
    address = webhook["clientConfig"]["service"]
    assert f"{address['name']}.{address['namespace']}.svc" in certificate["dnsNames"]


async def test_the_service_monitor_names_a_port_of_the_service() -> None:
    plan = planned(led())
    service = of_kind(objects_of(plan), "Service")
    monitor = service_monitor(plan)
    assert monitor["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]
    assert {each["port"] for each in monitor["spec"]["endpoints"]} <= {
        port["name"] for port in service["spec"]["ports"]
    }
