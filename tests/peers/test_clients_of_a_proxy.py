"""Other clients work through a proxy as at the API server: kubectl, kopf, and (in `benchmarks`) client-go."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import yaml

from kinformer import Client, ClusterConfig
from kinformer.proxy import CacheProxy
from kinformer.resources import PODS
from kinformer.testing import ApiServer
from tests.peers.test_kubectl import Kubectl
from tests.test_public_api import POD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.peer


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        running.create(POD)
        yield running


@pytest.fixture
async def kubectl(server: ApiServer, tmp_path: Path) -> AsyncIterator[Kubectl]:
    """kubectl with the kubeconfig of a proxy, which passes on reads of pods and discovery."""
    async with (
        Client(ClusterConfig.for_server(server.url)) as client,
        CacheProxy(client, [PODS], listen="127.0.0.1:0") as proxy,
    ):
        await proxy.synced()
        made = Kubectl(server, tmp_path)
        (tmp_path / "config").write_text(yaml.safe_dump(proxy.kubeconfig()))
        yield made


async def test_kubectl_gets_tables_json_and_single_objects(kubectl: Kubectl) -> None:
    lines = (await kubectl("get", "pods")).splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert lines[1].split()[0] == "web-0"
    listed = json.loads(await kubectl("get", "pods", "-o", "json"))
    assert [each["metadata"]["name"] for each in listed["items"]] == ["web-0"]
    assert json.loads(await kubectl("get", "pod", "web-0", "-o", "json"))["metadata"]["name"] == "web-0"


async def test_kubectl_watches_and_waits(server: ApiServer, kubectl: Kubectl) -> None:
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(kubectl("wait", "pod/web-0", "--for=jsonpath={.status.phase}=Running"))
        await asyncio.sleep(0)
        server.patch("v1", "Pod", "web-0", {"status": {"phase": "Running"}}, subresource="status")
    assert "condition met" in waiting.result()


async def test_kubectl_cannot_write_or_read_anything_else(kubectl: Kubectl) -> None:
    for words in (["delete", "pod", "web-0"], ["get", "secrets"], ["label", "pod", "web-0", "a=b"]):
        process = await kubectl.start(*words)
        _, error = await process.communicate()
        assert process.returncode != 0
        assert b"Forbidden" in error or b"forbidden" in error, words
