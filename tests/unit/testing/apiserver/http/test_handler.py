"""What the embedded server records of requests."""

from __future__ import annotations

import pytest

from kinformer import Client, ClusterConfig
from kinformer.resources import DEPLOYMENTS, PODS
from kinformer.testing import ApiServer, build


@pytest.mark.looptime(False)
async def test_each_request_is_recorded_with_the_right_that_it_needs() -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        server.create(build.pod("web-0"))
        server.create(build.deployment("web"))
        await client.get(PODS, "web-0", namespace="default")
        await client.list(DEPLOYMENTS)
        change = {"status": {"phase": "Running"}}
        await client.patch(PODS, "web-0", change, namespace="default", subresource="status")
        found = [(request.right, request.namespace, request.name) for request in server.requests if request.resource]
    assert found == [
        (("get", "", "pods"), "default", "web-0"),
        (("list", "apps", "deployments"), "", ""),
        (("patch", "", "pods/status"), "default", "web-0"),
    ]
