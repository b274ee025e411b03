"""The simulated cluster: controllers, a scheduler, kubelets and users, all from one seed.

The simulation is pure: time is an argument, random numbers come from a seed, and the results are `Change`s, which
`cluster` writes to an API server. Each actor is a generator that does one step and yields the seconds until its next.

    users  ──▶ deployment ──▶ replica sets ──▶ pods ──▶ scheduler ──▶ kubelet          backups ──▶ pods that end
    (release)   (rollout)     (count)          (Pending) (node)       (Running, crashed, gone)
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from kinformer.cli._simulated import manifests

if TYPE_CHECKING:
    from collections.abc import Generator

    from kinformer.cli._simulated.manifests import Manifest

__all__ = ["SPACES", "Bind", "Change", "Create", "Patch", "Ref", "Remove", "Simulation"]

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
_ALPHABET: Final = (
    "bcdfghjklmnpqrstvwxz2456789"  # the alphabet of Kubernetes' generated names: without vowels, no words appear
)
_SPREAD: Final = 5_882_353  # a prime that the alphabet's size does not divide
_THERE_ALREADY: Final = 0.6
"""The share of the pods that run at the start; the others start in the first seconds."""
_REVISIONS_KEPT: Final = 2
_GRACE: Final = 30


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
class Bind:
    """Give a pod its node."""

    ref: Ref
    node: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete an object; a pod with a grace period is only marked."""

    ref: Ref
    grace: int = 0


Change: TypeAlias = Create | Patch | Bind | Remove


@dataclass(slots=True, eq=False)
class _Pod:
    ref: Ref
    app: str
    tag: str
    address: str
    node: str = ""
    ready: bool = False
    ended: bool = False
    leaving: bool = False
    restarts: int = 0


@dataclass(slots=True, eq=False)
class _ReplicaSet:
    ref: Ref
    labels: dict[str, str]
    tag: str
    desired: int
    pods: dict[str, _Pod] = field(default_factory=dict)
    reported: tuple[int, int] = (0, 0)
    removed: bool = False

    @property
    def ready(self) -> int:
        return sum(pod.ready for pod in self.pods.values())


@dataclass(slots=True, eq=False)
class _Deployment:
    ref: Ref
    labels: dict[str, str]
    replicas: int
    revision: int = 0
    sets: list[_ReplicaSet] = field(default_factory=list)
    rolling: bool = False
    reported: tuple[int, int, int] = (0, 0, 0)

    @property
    def current(self) -> _ReplicaSet:
        return self.sets[-1]


class Simulation:
    """A simulation of a small cluster.

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
        self._cordoned: set[str] = set()
        self._addresses = itertools.count(1)
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
            status = manifests.node_status(name, address=f"10.0.0.{10 + i}", now=self._stamp())
            self._do(Patch(node.ref, status, "status"))
            self._do(Create(manifests.lease(name, self._stamp(micro=True))))
            self._start(self._kubelet(name), self._rng.uniform(0, 2))
        for deployment in self._deployments:
            self._open_deployment(deployment)
        for i in range(_BACKUPS):
            app, space, _, _ = _WORKLOADS[i % len(_WORKLOADS)]
            schedule = _SCHEDULES[i // len(_WORKLOADS) % len(_SCHEDULES)]
            backup = manifests.backup(f"{app}-{schedule}", space, source=app, schedule=schedule)
            self._do(Create(backup))
            self._start(self._backup(Create(backup).ref, app), self._rng.uniform(0.5, 9))
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

    def _open_deployment(self, deployment: _Deployment) -> None:
        ref, tag = deployment.ref, f"v{self._rng.randint(1, 9)}"
        deployment.revision = int(tag[1:])
        manifest = manifests.deployment(
            ref.name, ref.namespace, labels=deployment.labels, replicas=deployment.replicas, image_tag=tag
        )
        self._do(Create(manifest))
        replicas = self._new_replicaset(deployment, tag, desired=deployment.replicas)
        for _ in range(round(deployment.replicas * _THERE_ALREADY)):
            pod = self._new_pod(replicas)
            pod.node = self._rng.choice(self._nodes)
            self._do(Bind(pod.ref, pod.node))
            self._run(pod)
        self._start(self._rollout(deployment), self._rng.uniform(0, 0.3))

    # The controllers.

    def _rollout(self, deployment: _Deployment) -> Actor:
        """The deployment controller: starts new pods and stops old ones, with a surge of a quarter."""
        surge = max(1, deployment.replicas // 4)
        while True:
            current, before = deployment.current, deployment.sets[:-1]
            if deployment.rolling:
                old = sum(len(replicas.pods) for replicas in before)
                self._scale(current, min(deployment.replicas, deployment.replicas + surge - old))
                for replicas in before:
                    self._scale(replicas, min(replicas.desired, max(0, deployment.replicas - current.ready)))
                deployment.rolling = old > 0 or current.ready < deployment.replicas
                if not deployment.rolling:
                    self._forget_revisions(deployment)
            self._report_deployment(deployment)
            yield self._rng.uniform(0.2, 0.3)

    def _report_deployment(self, deployment: _Deployment) -> None:
        total = sum(len(replicas.pods) for replicas in deployment.sets)
        ready = sum(replicas.ready for replicas in deployment.sets)
        now = (total, ready, len(deployment.current.pods))
        if now != deployment.reported:
            deployment.reported = now
            status = {
                "replicas": total,
                "readyReplicas": ready,
                "availableReplicas": ready,
                "unavailableReplicas": max(0, deployment.replicas - ready),
                "updatedReplicas": len(deployment.current.pods),
            }
            self._do(Patch(deployment.ref, {"status": status}, "status"))

    def _replicas(self, replicas: _ReplicaSet) -> Actor:
        """The replica set controller: creates or deletes pods, a few at a time, until the number is right."""
        while not replicas.removed:
            lack = replicas.desired - len(replicas.pods)
            at_once = max(1, abs(lack) // 8)
            for _ in range(min(lack, at_once)):
                self._start(self._life(self._new_pod(replicas)), 0)
            for _ in range(min(-lack, at_once)):
                victim = min(replicas.pods.values(), key=lambda pod: pod.ready)
                del replicas.pods[victim.ref.name]
                self._delete(victim)
            now = (len(replicas.pods), replicas.ready)
            if now != replicas.reported:
                replicas.reported = now
                status = {"replicas": now[0], "readyReplicas": now[1], "availableReplicas": now[1]}
                self._do(Patch(replicas.ref, {"status": status}, "status"))
            yield self._rng.uniform(0.12, 0.2)

    def _new_replicaset(self, deployment: _Deployment, tag: str, *, desired: int) -> _ReplicaSet:
        template_hash = self._word(10)
        labels = {**deployment.labels, "pod-template-hash": template_hash}
        ref = Ref("apps/v1", "ReplicaSet", deployment.ref.namespace, f"{deployment.ref.name}-{template_hash}")
        manifest = manifests.replicaset(ref.name, ref.namespace, labels=labels, replicas=desired, image_tag=tag)
        self._do(Create(manifest, owner=deployment.ref))
        replicas = _ReplicaSet(ref, labels, tag, desired)
        deployment.sets.append(replicas)
        self._start(self._replicas(replicas), self._rng.uniform(0, 0.2))
        return replicas

    def _scale(self, replicas: _ReplicaSet, desired: int) -> None:
        if desired != replicas.desired:
            replicas.desired = desired
            self._do(Patch(replicas.ref, {"spec": {"replicas": desired}}))

    def _forget_revisions(self, deployment: _Deployment) -> None:
        for replicas in deployment.sets[: -1 - _REVISIONS_KEPT]:
            replicas.removed = True
            self._do(Remove(replicas.ref))
            deployment.sets.remove(replicas)

    # The life of a pod: scheduler and kubelet.

    def _new_pod(self, replicas: _ReplicaSet) -> _Pod:
        name = f"{replicas.ref.name}-{self._word(5)}"
        pod = _Pod(
            Ref("v1", "Pod", replicas.ref.namespace, name), replicas.labels["app"], replicas.tag, self._address()
        )
        manifest = manifests.pod(name, pod.ref.namespace, labels=replicas.labels, image_tag=pod.tag)
        self._do(Create(manifest, owner=replicas.ref))
        replicas.pods[name] = pod
        return pod

    def _life(self, pod: _Pod) -> Actor:
        """Take a pod through Pending, scheduled, ContainerCreating and Running, unless it is deleted before."""
        yield self._rng.uniform(0.05, 0.25)
        if pod.leaving:
            return
        pod.node = self._rng.choice([node for node in self._nodes if node not in self._cordoned] or self._nodes)
        self._do(Bind(pod.ref, pod.node))
        yield self._rng.uniform(0.05, 0.2)
        if pod.leaving:
            return
        self._do(Patch(pod.ref, manifests.container_creating(pod.app, pod.tag, self._stamp()), "status"))
        yield self._rng.uniform(0.3, 1.2)
        if not pod.leaving:
            self._run(pod)

    def _run(self, pod: _Pod) -> None:
        pod.ready = True
        status = manifests.pod_running(
            pod.app, pod.tag, self._stamp(), address=pod.address, restarts=pod.restarts
        )  # fmt: skip
        self._do(Patch(pod.ref, status, "status"))

    def _delete(self, pod: _Pod) -> None:
        """Delete a pod as the API server does: at once without a node or after its end, else with a grace period."""
        pod.leaving, pod.ready = True, False
        if not pod.node or pod.ended:
            self._do(Remove(pod.ref))
        else:
            self._do(Remove(pod.ref, grace=_GRACE))
            self._start(self._end(pod), self._rng.uniform(0.5, 1.5))

    def _end(self, pod: _Pod) -> Actor:
        self._do(Remove(pod.ref))
        yield from ()

    def _kubelet(self, node: str) -> Actor:
        """A kubelet: renews its lease every 2 seconds (a real one: 10) and reports its health every fifth time."""
        lease, ref = Ref("coordination.k8s.io/v1", "Lease", manifests.NODE_LEASES, node), Ref("v1", "Node", "", node)
        for beat in itertools.count(1):
            self._do(Patch(lease, {"spec": {"renewTime": self._stamp(micro=True)}}))
            if beat % 5 == 0:
                self._do(Patch(ref, manifests.node_heartbeat(self._stamp()), "status"))
            yield self._rng.uniform(1.8, 2.2)

    # Releases and incidents.

    def _releases(self) -> Actor:
        """Release a new version of a deployment every few seconds."""
        while True:
            settled = [deployment for deployment in self._deployments if not deployment.rolling]
            if settled:
                deployment = self._rng.choice(settled)
                deployment.revision += 1
                tag = f"v{deployment.revision}"
                image = manifests.deployment(
                    deployment.ref.name, "", labels=deployment.labels, replicas=deployment.replicas, image_tag=tag
                )
                self._do(Patch(deployment.ref, {"spec": {"template": image["spec"]["template"]}}))
                self._new_replicaset(deployment, tag, desired=0)
                deployment.rolling = True
            yield self._rng.uniform(3, 5)

    def _incidents(self) -> Actor:
        """Let a container crash and restart."""
        while True:
            pod = self._pick(tier=None)
            if pod is not None:
                pod.ready = False
                pod.restarts += 1
                crashed = manifests.pod_crashed(pod.app, pod.tag, self._stamp(), restarts=pod.restarts)
                self._do(Patch(pod.ref, crashed, "status"))
                self._start(self._restart(pod), self._rng.uniform(0.8, 2))
            yield self._rng.uniform(1, 2.5)

    def _restart(self, pod: _Pod) -> Actor:
        if not pod.leaving:
            self._run(pod)
        yield from ()

    def _quarantine(self) -> Actor:
        """Put a pod into quarantine: it leaves its replica set and all selectors on its tier."""
        while True:
            pod = self._pick(tier="web")
            if pod is not None:
                for deployment in self._deployments:
                    for replicas in deployment.sets:
                        replicas.pods.pop(pod.ref.name, None)
                quarantined = {"labels": {"tier": "quarantine", "pod-template-hash": None}, "ownerReferences": None}
                self._do(Patch(pod.ref, {"metadata": quarantined}))
                self._start(self._release_quarantined(pod), self._rng.uniform(2, 4))
            yield self._rng.uniform(2, 4)

    def _release_quarantined(self, pod: _Pod) -> Actor:
        self._delete(pod)
        yield from ()

    def _maintenance(self) -> Actor:
        """Cordon a node for some seconds."""
        while True:
            node = self._rng.choice(self._nodes)
            self._cordoned.add(node)
            self._do(Patch(Ref("v1", "Node", "", node), {"spec": {"unschedulable": True}}))
            yield self._rng.uniform(2, 3)
            self._cordoned.discard(node)
            self._do(Patch(Ref("v1", "Node", "", node), {"spec": {"unschedulable": None}}))
            yield self._rng.uniform(2, 4)

    def _backup(self, backup: Ref, source: str) -> Actor:
        """The backup operator: runs a pod to completion and writes the progress into the status."""
        while True:
            pod = _Pod(
                Ref("v1", "Pod", backup.namespace, f"backup-{backup.name}-{self._word(5)}"), "backup", "v3",
                self._address(),
            )  # fmt: skip
            labels = {"app": "backup", "tier": "worker", "source": source}
            manifest = manifests.pod(pod.ref.name, pod.ref.namespace, labels=labels, image_tag=pod.tag, once=True)
            self._do(Create(manifest, owner=backup))
            self._report(backup, phase="Running", progress=0, pod=pod.ref.name)
            yield from self._life(pod)
            fails = self._rng.random() < 0.2
            for progress in (25, 50, 75):
                yield self._rng.uniform(0.3, 0.7)
                self._report(backup, progress=progress)
                if fails and progress == 50:
                    break
            yield self._rng.uniform(0.1, 0.4)
            pod.ended, pod.ready = True, False
            outcome: Literal["Succeeded", "Failed"] = "Failed" if fails else "Succeeded"
            self._do(Patch(pod.ref, manifests.finished(pod.app, pod.tag, self._stamp(), phase=outcome), "status"))
            self._report(backup, phase=outcome, lastRun=self._stamp(), **({} if fails else {"progress": 100}))
            yield self._rng.uniform(2, 4)
            self._delete(pod)
            yield self._rng.uniform(3, 9)

    def _report(self, backup: Ref, **status: object) -> None:
        self._do(Patch(backup, {"status": status}, "status"))

    # Details.

    def _pick(self, *, tier: str | None) -> _Pod | None:
        pods = [
            pod
            for deployment in self._deployments
            if tier is None or deployment.labels["tier"] == tier
            for pod in deployment.current.pods.values()
            if pod.ready
        ]
        return self._rng.choice(pods) if pods else None

    def _start(self, actor: Actor, after: float) -> None:
        heapq.heappush(self._actors, (self.now + after, next(self._order), actor))

    def _do(self, change: Change) -> None:
        self._changes.append(change)

    def _taken_changes(self) -> list[Change]:
        changes, self._changes = self._changes, []
        return changes

    def _word(self, length: int) -> str:
        """Return a unique word as in generated names: a counter, spread over all words of five letters."""
        letters = len(_ALPHABET)
        number = next(self._words) * _SPREAD % letters**5
        word = ""
        for _ in range(5):
            number, letter = divmod(number, letters)
            word += _ALPHABET[letter]
        return "".join(self._rng.choices(_ALPHABET, k=length - 5)) + word

    def _address(self) -> str:
        number = next(self._addresses) % (1 << 16)
        return f"10.42.{number >> 8}.{number & 255}"

    def _stamp(self, *, micro: bool = False) -> str:
        moment = (self._started + timedelta(seconds=self.now)).astimezone(UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")
