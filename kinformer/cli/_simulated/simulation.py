"""The script of the demo: users, incidents and backups, from one seed.

The script is pure: time is an argument, random numbers come from a seed, and the results are `Change`s, which `cluster`
carries out on an API server. The controllers, the scheduler and the kubelets of that server do the rest. Each actor is
a generator that does one step and yields the seconds until its next.

    users ──▶ deployments           incidents ──▶ pods that crash, and that leave their ReplicaSet
    backups ──▶ pods that end       maintenance ──▶ nodes that are cordoned      heartbeats ──▶ leases, nodes
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from kinformer.cli._simulated import manifests

if TYPE_CHECKING:
    from collections.abc import Generator

    from kinformer.cli._simulated.manifests import Manifest

__all__ = ["SPACES", "Change", "Crash", "Create", "Patch", "Quarantine", "Ref", "Remove", "Simulation"]

Actor: TypeAlias = "Generator[float, None, None]"

SPACES: Final = ("shop", "data", "platform")
"""The namespaces of the workloads; most changes happen in the first."""

# name, namespace, tier, share of the pods
_WORKLOADS: Final = (
    ("frontend", "shop", "web", 5),
    ("storefront-api", "shop", "web", 4),
    ("cart", "shop", "backend", 3),
    ("checkout", "shop", "backend", 3),
    ("search", "shop", "backend", 3),
    ("recommend", "data", "backend", 3),
    ("ingest", "data", "worker", 4),
    ("reports", "data", "worker", 2),
    ("gateway", "platform", "web", 3),
    ("identity", "platform", "backend", 2),
    ("mailer", "platform", "worker", 2),
    ("notifier", "platform", "worker", 1),
)
_ZONES: Final = ("eu-1a", "eu-1b", "eu-1c")
_SCHEDULES: Final = ("hourly", "daily", "weekly")
_BACKUPS: Final = 18
_PODS_OF_A_NODE: Final = 110


class Ref(NamedTuple):
    """The identity of an object."""

    api_version: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object; `owner` becomes its controlling owner."""

    manifest: Manifest
    owner: Ref | None = None

    @property
    def ref(self) -> Ref:
        """The identity of the object."""
        metadata = self.manifest["metadata"]
        return Ref(self.manifest["apiVersion"], self.manifest["kind"], metadata.get("namespace", ""), metadata["name"])


@dataclass(frozen=True, slots=True)
class Patch:
    """Merge a patch into an object (RFC 7396), or into its status."""

    ref: Ref
    patch: Manifest
    subresource: Literal["", "status"] = ""


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete an object."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class Crash:
    """Let a container of a ready pod of a workload crash.

    Attributes:
        namespace: the namespace of the workload.
        app: its name.
        number: which of its pods, by a random number.
    """

    namespace: str
    app: str
    number: int


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Put a ready pod of a workload into quarantine: it leaves its ReplicaSet and all selectors on its tier.

    Attributes:
        namespace: the namespace of the workload.
        app: its name.
        number: which of its pods, by a random number; with -1 all pods in quarantine are deleted.
    """

    namespace: str
    app: str
    number: int


Change: TypeAlias = Create | Patch | Remove | Crash | Quarantine


@dataclass(slots=True, eq=False)
class _Deployment:
    ref: Ref
    labels: dict[str, str]
    replicas: int
    revision: int = 0


class Simulation:
    """The script of a small cluster.

    Args:
        seed: the random seed; the same seed gives the same changes at the same times.
        pods: total number of pods of the deployments; each has at least one.
        nodes: number of nodes.
        started: the wall-clock time of second 0, for the time stamps inside the objects.
    """

    def __init__(self, *, seed: int, pods: int = 300, nodes: int = 6, started: datetime | None = None) -> None:
        if nodes < 1 or pods < 0:
            msg = f"a cluster has at least one node and no negative number of pods, not {nodes} and {pods}"
            raise ValueError(msg)
        self.now = 0.0
        self._rng = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._started = started or datetime(2026, 1, 1, tzinfo=UTC)
        self._changes: list[Change] = []
        self._actors: list[tuple[float, int, Actor]] = []
        self._order = itertools.count()
        self._words = itertools.count(1)
        self._nodes = [f"node-{i}" for i in range(1, nodes + 1)]
        self._room = max(_PODS_OF_A_NODE, 2 * pods // nodes)
        self._deployments = self._plan(pods)

    @property
    def planned_objects(self) -> int:
        """The approximate number of objects after the first seconds."""
        pods = sum(deployment.replicas for deployment in self._deployments)
        return pods + 2 * len(self._deployments) + 2 * len(self._nodes) + _BACKUPS

    def opening(self) -> list[Change]:
        """Return the initial objects, beside the namespaces of a new cluster. Call it once, before `advance`."""
        for space in SPACES:
            self._do(Create(manifests.namespace(space)))
        self._do(Create(manifests.backup_definition()))
        for i, name in enumerate(self._nodes):
            zone = _ZONES[i % len(_ZONES)]
            node = Create(manifests.node(name, zone=zone))
            self._do(node)
            status = manifests.node_status(name, address=f"10.0.0.{10 + i}", now=self._stamp(), pods=self._room)
            self._do(Patch(node.ref, status, "status"))
            self._do(Create(manifests.lease(name, self._stamp(micro=True))))
            self._start(self._kubelet(name), self._rng.uniform(0, 2))
        for deployment in self._deployments:
            ref, revision = deployment.ref, self._rng.randint(1, 9)
            deployment.revision = revision
            manifest = manifests.deployment(
                ref.name,
                ref.namespace,
                labels=deployment.labels,
                replicas=deployment.replicas,
                image_tag=f"v{revision}",
            )
            self._do(Create(manifest))
        for i in range(_BACKUPS):
            app, space, _, _ = _WORKLOADS[i % len(_WORKLOADS)]
            schedule = _SCHEDULES[i // len(_WORKLOADS) % len(_SCHEDULES)]
            backup = Create(manifests.backup(f"{app}-{schedule}", space, source=app, schedule=schedule))
            self._do(backup)
            self._start(self._backup(backup.ref, app), self._rng.uniform(0.5, 9))
        for actor, first in ((self._releases(), 2.0), (self._incidents(), 2.5), (self._quarantine(), 3.5),
                             (self._maintenance(), 4.0)):  # fmt: skip
            self._start(actor, first)
        return self._taken_changes()

    def advance(self, now: float) -> list[Change]:
        """Return the changes up to second `now`, in order."""
        while self._actors and self._actors[0][0] <= now:
            self.now, _, actor = heapq.heappop(self._actors)
            pause = next(actor, None)
            if pause is not None:
                self._start(actor, pause)
        self.now = max(self.now, now)
        return self._taken_changes()

    def _plan(self, pods: int) -> list[_Deployment]:
        shares = sum(share for *_, share in _WORKLOADS)
        deployments = []
        for name, space, tier, share in _WORKLOADS:
            labels = {"app": name, "tier": tier}
            replicas = max(1, round(pods * share / shares))
            deployments.append(_Deployment(Ref("apps/v1", "Deployment", space, name), labels, replicas))
        return deployments

    def _kubelet(self, node: str) -> Actor:
        """A kubelet: renews its lease every 2 seconds (a real one: 10) and reports its health every fifth time."""
        lease, ref = Ref("coordination.k8s.io/v1", "Lease", manifests.NODE_LEASES, node), Ref("v1", "Node", "", node)
        for beat in itertools.count(1):
            self._do(Patch(lease, {"spec": {"renewTime": self._stamp(micro=True)}}))
            if beat % 5 == 0:
                self._do(Patch(ref, manifests.node_heartbeat(self._stamp()), "status"))
            yield self._rng.uniform(1.8, 2.2)

    def _releases(self) -> Actor:
        """Release a new version of one deployment after another, every few seconds."""
        while True:
            for deployment in self._rng.sample(self._deployments, len(self._deployments)):
                deployment.revision += 1
                image = manifests.deployment(
                    deployment.ref.name,
                    deployment.ref.namespace,
                    labels=deployment.labels,
                    replicas=deployment.replicas,
                    image_tag=f"v{deployment.revision}",
                )
                self._do(Patch(deployment.ref, {"spec": {"template": image["spec"]["template"]}}))
                yield self._rng.uniform(3, 5)

    def _incidents(self) -> Actor:
        """Let a container crash and restart."""
        while True:
            ref = self._rng.choice(self._deployments).ref
            self._do(Crash(ref.namespace, ref.name, self._number()))
            yield self._rng.uniform(1, 2.5)

    def _quarantine(self) -> Actor:
        """Put a pod into quarantine for some seconds."""
        web = [deployment.ref for deployment in self._deployments if deployment.labels["tier"] == "web"]
        while True:
            ref = self._rng.choice(web)
            self._do(Quarantine(ref.namespace, ref.name, self._number()))
            yield self._rng.uniform(2, 4)
            self._do(Quarantine(ref.namespace, ref.name, -1))
            yield self._rng.uniform(0.1, 0.5)

    def _maintenance(self) -> Actor:
        """Cordon a node for some seconds."""
        while True:
            node = self._rng.choice(self._nodes)
            self._do(Patch(Ref("v1", "Node", "", node), {"spec": {"unschedulable": True}}))
            yield self._rng.uniform(2, 3)
            self._do(Patch(Ref("v1", "Node", "", node), {"spec": {"unschedulable": None}}))
            yield self._rng.uniform(2, 4)

    def _backup(self, backup: Ref, source: str) -> Actor:
        """The backup operator: runs a pod to completion and writes the progress into the status."""
        while True:
            name = f"backup-{backup.name}-{next(self._words):05d}"
            labels = {"app": "backup", "tier": "worker", "source": source}
            fails, seconds = self._rng.random() < 0.2, self._rng.uniform(1.5, 3)
            command = f"sleep {seconds:.1f}; exit {int(fails)}"
            manifest = manifests.pod(name, backup.namespace, labels=labels, image_tag="v3", command=command)
            pod = Create(manifest, owner=backup)
            self._do(pod)
            self._report(backup, phase="Running", progress=0, pod=name)
            for progress in (25, 50, 75):
                yield seconds / 3
                if fails and progress == 75:
                    break
                self._report(backup, progress=progress)
            yield self._rng.uniform(1.0, 1.4)
            outcome = "Failed" if fails else "Succeeded"
            self._report(backup, phase=outcome, lastRun=self._stamp(), **({} if fails else {"progress": 100}))
            yield self._rng.uniform(2, 4)
            self._do(Remove(pod.ref))
            yield self._rng.uniform(3, 9)

    def _report(self, backup: Ref, **status: object) -> None:
        self._do(Patch(backup, {"status": status}, "status"))

    # Details.

    def _number(self) -> int:
        return self._rng.randrange(1 << 30)

    def _start(self, actor: Actor, after: float) -> None:
        heapq.heappush(self._actors, (self.now + after, next(self._order), actor))

    def _do(self, change: Change) -> None:
        self._changes.append(change)

    def _taken_changes(self) -> list[Change]:
        changes, self._changes = self._changes, []
        return changes

    def _stamp(self, *, micro: bool = False) -> str:
        moment = (self._started + timedelta(seconds=self.now)).astimezone(UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")
