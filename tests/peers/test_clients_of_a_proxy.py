"""Other clients work through a proxy as at the API server: kubectl and kopf."""

from __future__ import annotations

import asyncio
import json
import os
import sys
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


KOPF = """
import kopf

@kopf.on.startup()
def settle(settings, **_):
    settings.posting.enabled = False

@kopf.on.event("pods")
def note(type, name, **_):
    print(type, name, flush=True)
"""


async def test_a_kopf_operator_sees_each_event(server: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "events.py").write_text(KOPF)
    async with (
        Client(ClusterConfig.for_server(server.url)) as client,
        CacheProxy(client, [PODS], listen="127.0.0.1:0") as proxy,
    ):
        await proxy.synced()
        (tmp_path / "config").write_text(yaml.safe_dump(proxy.kubeconfig()))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kopf", "run", str(tmp_path / "events.py"), "--all-namespaces"),
            env=os.environ | {"KUBECONFIG": str(tmp_path / "config")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(60):
                assert await process.stdout.readline() == b"None web-0\n"
                server.patch("v1", "Pod", "web-0", {"metadata": {"labels": {"seen": "yes"}}})
                assert await process.stdout.readline() == b"MODIFIED web-0\n"
                server.delete("v1", "Pod", "web-0")
                while await process.stdout.readline() != b"DELETED web-0\n":
                    # The deletion is a change at first: the Pod is asked to end.
                    pass
        finally:
            process.terminate()
            await process.wait()
        assert [watch.target.kind.plural for watch in server.open_watches].count("pods") == 1
