"""kubectl works against the embedded server, with no flag but what a user would give it anyway."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from kinformer.cli._jsonpath import JsonPath
from kinformer.testing import ApiServer, build
from tests.paths import ROOT
from tests.test_public_api import CRD, POD
from tests.unit.cli.test_jsonpath import POD as POD_OF_TEMPLATES
from tests.unit.cli.test_jsonpath import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.peer

KUBECTL = os.environ.get("KINFORMER_KUBECTL") or shutil.which("kubectl")

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: web, image: "web:1"}}]}}
"""


class Output(NamedTuple):
    code: int
    out: str
    err: str


class Kubectl:
    """kubectl, with a kubeconfig and a home of its own."""

    def __init__(self, server: ApiServer, home: Path) -> None:
        self.server = server
        server.write_kubeconfig(home / "config")
        self.env = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(home / "config")}

    async def start(self, *args: str) -> asyncio.subprocess.Process:
        if KUBECTL is None:
            if os.environ.get("KINFORMER_REQUIRE_KUBECTL"):
                pytest.fail("KINFORMER_REQUIRE_KUBECTL is set, and there is no kubectl")
            pytest.skip("there is no kubectl: install kubernetes-client, or set KINFORMER_KUBECTL")
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(KUBECTL, *args, env=self.env, stdin=pipe, stdout=pipe, stderr=pipe)

    async def __call__(self, *args: str, stdin: str = "") -> str:
        """Run it; it must succeed."""
        process = await self.start(*args)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode == 0, f"kubectl {' '.join(args)}: {err.decode()}"
        return out.decode()


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    return Kubectl(server, tmp_path)


async def test_get_pods_of_all_namespaces_shows_the_servers_columns(server: ApiServer, kubectl: Kubectl) -> None:
    server.create(POD)
    lines = (await kubectl("get", "pods", "-A")).splitlines()
    assert lines[0].split() == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert lines[1].split()[:5] == ["default", "web-0", "0/1", "Pending", "0"]


async def test_get_pods_watching_shows_changes_as_they_come(server: ApiServer, kubectl: Kubectl) -> None:
    server.create(POD)
    process = await kubectl.start("get", "pods", "-w", "--no-headers")
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert (await process.stdout.readline()).split()[:3] == [b"web-0", b"0/1", b"Pending"]
        while not server.open_watches:
            await asyncio.sleep(0)
        server.patch("v1", "Pod", "web-0", {"status": {"phase": "Running"}}, subresource="status")
        assert (await process.stdout.readline()).split()[:3] == [b"web-0", b"0/1", b"Running"]
    process.kill()
    await process.communicate()


async def test_get_all_lists_every_workload(server: ApiServer, kubectl: Kubectl) -> None:
    server.create(POD)
    await kubectl("apply", "-f", "-", stdin=DEPLOYMENT.format(name="web", replicas=1))
    names = (await kubectl("get", "all", "-o", "name")).split()
    assert names == ["pod/web-0", "deployment.apps/web"]


async def test_apply_client_side_creates_changes_and_leaves_alone(server: ApiServer, kubectl: Kubectl) -> None:
    manifest = DEPLOYMENT.format(name="web", replicas=2)
    assert await kubectl("apply", "-f", "-", stdin=manifest) == "deployment.apps/web created\n"
    changed = DEPLOYMENT.format(name="web", replicas=3)
    assert await kubectl("apply", "-f", "-", stdin=changed) == "deployment.apps/web configured\n"
    assert await kubectl("apply", "-f", "-", stdin=changed) == "deployment.apps/web unchanged\n"
    stored = server.get("apps/v1", "Deployment", "web")
    assert (stored["spec"]["replicas"], stored["metadata"]["generation"]) == (3, 2)


async def test_apply_server_side_owns_its_fields(server: ApiServer, kubectl: Kubectl) -> None:
    manifests = [DEPLOYMENT.format(name="web", replicas=replicas) for replicas in (2, 5)]
    for manifest in manifests:
        out = await kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
        assert out == "deployment.apps/web serverside-applied\n"
    stored = server.get("apps/v1", "Deployment", "web")
    assert stored["spec"]["replicas"] == 5
    (owner,) = stored["metadata"]["managedFields"]
    assert (owner["manager"], owner["operation"]) == ("kubectl", "Apply")
    version = server.resource_version
    await kubectl("apply", "--server-side", "-f", "-", stdin=manifests[-1])
    assert server.resource_version == version  # what changes nothing is no write


async def test_label_scale_and_delete(server: ApiServer, kubectl: Kubectl) -> None:
    server.create(POD)
    await kubectl("label", "pod", "web-0", "owner=me", "tier-")
    assert server.get("v1", "Pod", "web-0")["metadata"]["labels"] == {"app": "web", "owner": "me"}
    await kubectl("apply", "-f", "-", stdin=DEPLOYMENT.format(name="web", replicas=2))
    await kubectl("scale", "deployment/web", "--replicas=7")
    assert server.get("apps/v1", "Deployment", "web")["spec"]["replicas"] == 7
    await kubectl("delete", "deployment", "web")
    await kubectl("delete", "pod", "web-0", "--grace-period=0", "--force")
    assert server.list("v1", "Pod") == []
    assert server.list("apps/v1", "Deployment") == []


async def test_api_resources_lists_what_there_is(server: ApiServer, kubectl: Kubectl) -> None:
    server.create(CRD)
    listed = {line.split()[0] for line in (await kubectl("api-resources")).splitlines()}
    assert {"pods", "deployments", "leases", "widgets", "customresourcedefinitions"} <= listed


async def test_a_crd_is_posted_used_and_deleted(server: ApiServer, kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=json.dumps(CRD))
    assert "widgets.example.com" in await kubectl("get", "crd")
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}
    await kubectl("apply", "-f", "-", stdin=json.dumps(widget))
    assert (await kubectl("get", "widgets", "-o", "name")).strip() == "widget.example.com/a"
    await kubectl("delete", "crd", "widgets.example.com")
    assert server.list("apiextensions.k8s.io/v1", "CustomResourceDefinition") == []


async def test_kinformer_get_prints_the_cells_that_kubectl_get_prints(kubectl: Kubectl, tmp_path: Path) -> None:
    server = kubectl.server
    columns = tmp_path / "columns"
    columns.write_text("NAME   PHASE\n.metadata.name  {.status.phase}\n")
    server.create(build.deployment("web", replicas=3))
    server.create(build.node("node-1"))
    server.create(CRD)
    server.create(build.custom_resource("example.com/v1", "Widget", "a"))
    server.create(build.pod("web-0"))
    server.update(build.pod("web-0", phase="Running"), subresource="status")
    for arguments in (
        ["pods"],
        ["pods", "-A", "-o", "wide"],
        ["deploy", "-o", "wide"],
        ["nodes"],
        ["widgets"],
        ["ns"],
        ["pods", "--show-labels"],
        ["ns", "-L", "kubernetes.io/metadata.name,none", "--show-labels"],
        ["deploy,pods", "--no-headers"],
        ["deploy,pods", "-o", "custom-columns=K:.kind,N:metadata.name,NODE:{.spec.nodeName},NONE:.spec.nope"],
        ["pods", "--no-headers", "-o", "custom-columns=L:.metadata.labels,I:.spec.containers[*].image"],
        ["deploy", "-o", "custom-columns=S:.spec.strategy,T:.spec.template,B:.spec.replicas"],
        ["jobs", "-o", "custom-columns=N:.metadata.name"],
        ["nodes,pods", "-o", f"custom-columns-file={columns}"],
        ["ns", "--sort-by", ".metadata.uid", "-o", "custom-columns=N:.metadata.name"],
        ["pods", "-A", "--sort-by", ".metadata.name", "--request-timeout", "30s"],
    ):
        theirs = await kubectl("get", *arguments)
        ours = await kinformer(kubectl, "get", *arguments)
        assert _without_ages(ours) == _without_ages(theirs)


async def test_a_template_is_filled_in_as_kubectl_does(kubectl: Kubectl) -> None:
    parts = {name: POD_OF_TEMPLATES[name] for name in ("metadata", "spec")}
    kubectl.server.create(build.pod("web-0") | parts)
    kubectl.server.patch("v1", "Pod", "web-0", {"status": POD_OF_TEMPLATES["status"]}, subresource="status")
    pod = json.loads(await kubectl("get", "pod", "web-0", "-o", "json"))
    for template in TEMPLATES:
        theirs = await kubectl("get", "pod", "web-0", "-o", f"jsonpath={template}")
        assert (template, JsonPath(template).fill_in(pod)) == (template, theirs)


async def kinformer(kubectl: Kubectl, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kinformer", *arguments),
        env=kubectl.env | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def _without_ages(table: str) -> list[list[str]]:
    """The cells of a table; an age in seconds may be one second more in the next."""
    return [
        [re.sub(r"^\d+s$", "?", cell) for cell in re.split(r"\s{2,}", line.rstrip())] for line in table.splitlines()
    ]
