"""kubectl waits for, rolls back, drains and cascades, as on a cluster: the controllers answer it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinformer.testing import ApiServer, build
from tests.peers.test_kubectl import Kubectl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.peer

APPS = "apps/v1"

_WORKLOADS = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "db:1"}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: log}
spec:
  selector: {matchLabels: {app: log}}
  template:
    metadata: {labels: {app: log}}
    spec: {containers: [{name: log, image: "log:1"}]}
"""


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer(controllers="all", nodes=2) as running:
        yield running


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    return Kubectl(server, tmp_path)


async def test_a_rollout_is_followed_scaled_and_undone(server: ApiServer, kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
    assert "successfully rolled out" in await kubectl("rollout", "status", "deployment/web", "--timeout=50s")
    await kubectl("set", "image", "deployment/web", "web=web:2")
    await kubectl("rollout", "status", "deployment/web", "--timeout=50s")
    await kubectl("rollout", "undo", "deployment/web")
    await kubectl("scale", "deployment/web", "--replicas=3")
    await kubectl("wait", "--for=jsonpath={.status.readyReplicas}=3", "deployment/web", "--timeout=50s")
    images = {pod["spec"]["containers"][0]["image"] for pod in server.list("v1", "Pod")}
    assert images == {"web:1"}
    revisions = (await kubectl("rollout", "history", "deployment/web")).split()
    assert revisions[-4::2] == ["2", "3"]


async def test_a_deletion_cascades_as_it_is_told(server: ApiServer, kubectl: Kubectl) -> None:
    server.create(build.deployment("web", replicas=2))
    server.settle()
    await kubectl("delete", "deployment", "web", "--cascade=orphan")
    assert len(server.list(APPS, "ReplicaSet")) == 1
    # Foreground: when kubectl returns, the pods are gone.
    await kubectl("delete", "replicasets", "--all", "--cascade=foreground", "--timeout=50s")
    assert server.list("v1", "Pod") == []


async def test_a_drain_keeps_to_the_budget(server: ApiServer, kubectl: Kubectl) -> None:
    server.create(build.deployment("web", replicas=3, labels={"app": "web"}))
    server.settle()
    await kubectl("create", "pdb", "web", "--selector=app=web", "--min-available=2")
    await kubectl("drain", "node-1", "--timeout=50s")
    assert {pod["spec"]["nodeName"] for pod in server.list("v1", "Pod")} == {"node-2"}
    # Each pod was evicted only when the one before it was replaced.
    await kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=50s")


async def test_a_job_is_waited_for_and_its_log_is_read(kubectl: Kubectl) -> None:
    await kubectl("create", "job", "hello", "--image=busybox", "--", "sh", "-c", "echo hello")
    await kubectl("wait", "--for=condition=complete", "job/hello", "--timeout=50s")
    assert await kubectl("logs", "job/hello") == "hello\n"


async def test_a_command_is_run_in_a_pod(server: ApiServer, kubectl: Kubectl) -> None:
    server.create(build.pod("web"))
    server.pods.command("web", ["cat", "/etc/motd"], "welcome\n")
    server.settle()
    assert await kubectl("exec", "web", "--", "cat", "/etc/motd") == "welcome\n"
    process = await kubectl.start("exec", "web", "--", "sh", "-c", "exit 3")
    await process.communicate()
    assert process.returncode == 3


async def test_stateful_sets_and_daemon_sets_are_rolled_back(server: ApiServer, kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=_WORKLOADS)
    for workload, container in (("statefulset/db", "db"), ("daemonset/log", "log")):
        await kubectl("rollout", "status", workload, "--timeout=50s")
        await kubectl("set", "image", workload, f"{container}={container}:2")
        await kubectl("rollout", "status", workload, "--timeout=50s")
        await kubectl("rollout", "undo", workload)
        await kubectl("rollout", "status", workload, "--timeout=50s")
    images = {pod["spec"]["containers"][0]["image"] for pod in server.list("v1", "Pod")}
    assert images == {"db:1", "log:1"}
