"""Whatever users do to a cluster, its controllers come to rest in the state that is wanted.

Each schedule creates, changes, scales and deletes workloads, lets pods crash, start late and fail to start, and cordons
nodes. Then all obstacles go, time passes, and everything must be as it was asked for.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.testing import Refusal
from kinformer.testing.build import deployment, job, service
from tests.unit.testing.apiserver.controllers.clusters import APPS, ClusterInTime

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = "batch/v1"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
POLICIES = ("", "Background", "Foreground", "Orphan")


def workload(kind: str, name: str, replicas: int) -> dict[str, Any]:
    """A workload of a kind; its pods have the label `app`."""
    made = deployment(name, replicas=replicas, labels={"app": name}) | {"kind": kind}
    if kind == "StatefulSet":
        made["spec"]["serviceName"] = name
    if kind == "DaemonSet":
        del made["spec"]["replicas"]
    return made


class Schedule:
    """A random schedule of what users do, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.cluster = ClusterInTime(nodes=3)
        self.server = self.cluster.server
        self.steps: list[Callable[[], object]] = [
            *(self.create, self.create, self.scale, self.release, self.delete, self.crash, self.delete_pod),
            *(self.cordon, self.script, self.delete_replicaset, self.run_job, self.delete_job, self.expose),
        ]

    def one(self) -> tuple[str, str]:
        """A kind of workload, and a name."""
        kind = self.random.choice(WORKLOADS)
        return kind, f"{kind[:2].lower()}-{self.random.choice('ab')}"

    def create(self) -> None:
        kind, name = self.one()
        self.server.create(workload(kind, name, self.random.randrange(4)))

    def scale(self) -> None:
        kind, name = self.one()
        if kind != "DaemonSet":
            self.server.patch(APPS, kind, name, {"spec": {"replicas": self.random.randrange(5)}})

    def release(self) -> None:
        annotations = {"release": str(self.random.randrange(3))}
        self.server.patch(APPS, *self.one(), {"spec": {"template": {"metadata": {"annotations": annotations}}}})

    def delete(self) -> None:
        self.server.delete(APPS, *self.one(), propagation_policy=self.random.choice(POLICIES[:3]))

    def crash(self) -> None:
        self.server.pods.crash(f"*-{self.random.choice('ab')}-*", exit_code=self.random.randrange(2))

    def delete_pod(self) -> None:
        if names := self.cluster.names("v1", "Pod"):
            grace = self.random.choice([None, 0, 5])
            self.server.delete("v1", "Pod", self.random.choice(names), grace_period_seconds=grace)

    def cordon(self) -> None:
        spec = {"unschedulable": self.random.choice([True, None])}
        self.server.patch("v1", "Node", f"node-{self.random.randrange(1, 4)}", {"spec": spec})

    def script(self) -> None:
        self.server.pods.script(
            f"*-{self.random.choice('ab')}-*",
            starts_after=self.random.choice([0, 2]),
            ready_after=self.random.choice([0, 3, None]),
            image_error=self.random.choice(["", "", "not found"]),
            stops_after=self.random.choice([0, 4]),
        )

    def delete_replicaset(self) -> None:
        if names := self.cluster.names(APPS, "ReplicaSet"):
            policy = self.random.choice(POLICIES)
            self.server.delete(APPS, "ReplicaSet", self.random.choice(names), propagation_policy=policy)

    def run_job(self) -> None:
        count = self.random.randrange(1, 3)
        self.server.create(job(f"job-{self.random.choice('ab')}", completions=count, parallelism=count))

    def delete_job(self) -> None:
        policy = self.random.choice(POLICIES[:3])
        self.server.delete(BATCH, "Job", f"job-{self.random.choice('ab')}", propagation_policy=policy)

    def expose(self) -> None:
        self.server.create(service(f"de-{self.random.choice('ab')}"))

    def play(self) -> None:
        """Do forty things, with pauses; then let all obstacles go, and time pass."""
        for _ in range(40):
            try:
                self.random.choice(self.steps)()
            except Refusal:
                # There is none of that name, or there is one already.
                continue
            if self.random.randrange(3) == 0:
                self.cluster.later(self.random.choice([1, 5, 20]), step=self.random.choice([1, 5]))
            elif self.random.randrange(2):
                self.server.settle()
        for name in "ab":
            self.server.pods.script(f"*-{name}-*")
        for number in (1, 2, 3):
            self.server.patch("v1", "Node", f"node-{number}", {"spec": {"unschedulable": None}})
        # The longest wait is the backoff of a pod that has crashed.
        self.cluster.later(1500, step=50)


@pytest.mark.parametrize("seed", range(6))
def test_the_cluster_comes_to_rest_as_it_is_wanted(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    schedule = Schedule(seed)
    schedule.play()
    cluster = schedule.cluster
    for kind in ("Deployment", "StatefulSet"):
        for found in cluster.server.list(APPS, kind):
            wanted, status = found["spec"]["replicas"], found["status"]
            counts = [status.get(name, 0) for name in ("replicas", "readyReplicas", "updatedReplicas")]
            assert counts == [wanted] * 3, found["metadata"]["name"]
    assert [found["status"]["numberReady"] for found in cluster.server.list(APPS, "DaemonSet")] in ([], [3], [3, 3])
    for found in cluster.server.list(BATCH, "Job"):
        assert "completionTime" in found["status"]
    owners = {
        found["metadata"]["uid"]
        for api_version, kind in ((APPS, "ReplicaSet"), *((APPS, kind) for kind in WORKLOADS[1:]), (BATCH, "Job"))
        for found in cluster.server.list(api_version, kind)
    }
    for pod in cluster.server.list("v1", "Pod"):
        assert "deletionTimestamp" not in pod["metadata"]
        assert {reference["uid"] for reference in pod["metadata"].get("ownerReferences") or ()} <= owners
    version = cluster.server.resource_version
    cluster.later(100, step=50)
    assert cluster.server.resource_version == version
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
