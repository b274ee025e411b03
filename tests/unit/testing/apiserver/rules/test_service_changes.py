"""The fields of a Service that follow a change of its type or its address."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer.testing import ApiServer
from kinformer.testing._apiserver.store.status import Refusal


@pytest.fixture
def server() -> ApiServer:
    server = ApiServer()
    server.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s", "namespace": "default"},
            "spec": {"ports": [{"port": 80}], "clusterIP": "10.96.0.50", "type": "NodePort"},
        }
    )
    return server


def patched(server: ApiServer, **spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = server.patch("v1", "Service", "s", {"spec": spec})["spec"]
    return found


def test_a_service_that_gets_an_external_name_loses_its_addresses(server: ApiServer) -> None:
    spec = patched(server, type="ExternalName", externalName="a.example.com")
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "externalTrafficPolicy"} & spec.keys()
    assert "nodePort" not in spec["ports"][0]


def test_a_service_that_needs_no_node_ports_any_more_loses_them(server: ApiServer) -> None:
    spec = patched(server, type="ClusterIP")
    assert (spec["clusterIP"], "nodePort" in spec["ports"][0], "externalTrafficPolicy" in spec) == (
        *("10.96.0.50", False),
        False,
    )


def test_another_address_is_refused_as_a_change_of_the_first_one(server: ApiServer) -> None:
    with pytest.raises(Refusal, match=r'spec\.clusterIPs\[0\]: Invalid value: \["10\.96\.0\.51"\]: may not change'):
        patched(server, clusterIP="10.96.0.51")


def test_a_service_with_external_addresses_has_a_policy_for_their_traffic(server: ApiServer) -> None:
    assert patched(server, type="ClusterIP", externalIPs=["1.2.3.4"])["externalTrafficPolicy"] == "Cluster"
