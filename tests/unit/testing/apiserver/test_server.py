"""The methods of the embedded server, beside its HTTP."""

from __future__ import annotations

import pytest

from kinformer.testing import ApiServer
from kinformer.testing._apiserver.store.status import Refusal
from kinformer.testing.build import pod


async def test_a_pod_gets_its_node_by_binding_and_gets_it_once() -> None:
    async with ApiServer() as server:
        server.create(pod("web-0"))
        with pytest.raises(Refusal, match="pod updates may not change fields"):
            server.patch("v1", "Pod", "web-0", {"spec": {"nodeName": "node-1"}})
        server.bind("web-0", "node-1")
        found = server.get("v1", "Pod", "web-0")
        assert found["spec"]["nodeName"] == "node-1"
        assert [condition["type"] for condition in found["status"]["conditions"]] == ["PodScheduled"]
        with pytest.raises(Refusal, match='already assigned to node "node-1"'):
            server.bind("web-0", "node-2")
        with pytest.raises(Refusal, match="not found"):
            server.bind("web-1", "node-1")
