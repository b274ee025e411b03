"""StatefulSets: pods with names and volumes of their own, one after another (pkg/controller/statefulset)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import (
    Action,
    Again,
    Create,
    Delete,
    Record,
    SetStatus,
    Update,
    key_of,
)
from kinformer.testing._apiserver.controllers.cluster import PODS, labels_of
from kinformer.testing._apiserver.controllers.conditions import nonzero
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import (
    available_after,
    claim,
    concerned_owners,
    from_template,
    is_deleting,
    is_finished,
    is_ready,
    phase_of,
    reference_to,
)
from kinformer.testing._apiserver.controllers.revisions import REVISIONS, Revisions, revisions_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key

__all__ = ["statefulset_controller"]

STATEFULSETS: Final = ("apps", "statefulsets")
CLAIMS: Final = ("", "persistentvolumeclaims")

_REVISION: Final = "controller-revision-hash"


def statefulset_controller() -> Controller:
    """Return the controller of StatefulSets."""
    return Controller(
        "statefulset",
        _reconcile,
        {
            STATEFULSETS: lambda change, _: [change.key],
            PODS: _of_dependent,
            REVISIONS: _of_dependent,
        },
        component="statefulset-controller",
    )


def _of_dependent(change: Change, cluster: Cluster) -> Iterable[Key]:
    return concerned_owners(change, cluster, "StatefulSet", STATEFULSETS)


def _reconcile(key: Key, cluster: Cluster) -> Iterator[Action]:
    owner = cluster.get(STATEFULSETS, key)
    if owner is None:
        return
    selector = owner["spec"].get("selector") or {}
    pods, claims = claim(cluster, PODS, owner, selector)
    pods = [pod for pod in pods if _ordinal(pod, owner) is not None]
    yield from claims
    known = {one["metadata"]["name"]: one for one in cluster.within(CLAIMS, key[0])} if _has_claims(owner) else {}
    revisions = revisions_of(owner, cluster.controlled(REVISIONS, owner["metadata"]["uid"]))
    if is_deleting(owner) and revisions.actions:
        # The garbage collector would delete a new revision at once, and this would never end.
        return
    yield from revisions.actions
    yield from _StatefulSet(owner, pods, known, revisions, cluster.now).actions()


def _has_claims(owner: Manifest) -> bool:
    return bool(owner["spec"].get("volumeClaimTemplates"))


def _ordinal(pod: Manifest, owner: Manifest) -> int | None:
    """Return the number at the end of the name of a pod, or `None`."""
    parent, _, number = pod["metadata"]["name"].rpartition("-")
    return int(number) if parent == owner["metadata"]["name"] and number.isdecimal() else None


class _StatefulSet:
    """One look at a StatefulSet.

    Args:
        owner: the StatefulSet.
        pods: its pods.
        claims: the volume claims of its namespace, by name.
        revisions: its revisions.
        now: the time.
    """

    def __init__(
        self, owner: Manifest, pods: list[Manifest], claims: dict[str, Manifest], revisions: Revisions, now: datetime
    ) -> None:
        self._owner = owner
        self._spec: dict[str, Any] = owner["spec"]
        self._name: str = owner["metadata"]["name"]
        self._revisions = revisions
        self._claims = claims
        self._now = now
        self._pods = {number: pod for pod in pods if (number := _ordinal(pod, owner)) is not None}
        status = owner.get("status") or {}
        self._current: str = status.get("currentRevision") or revisions.name
        if revisions.template(self._current) is None:
            self._current = revisions.name
        self._first: int = (self._spec.get("ordinals") or {}).get("start") or 0
        self._numbers = range(self._first, self._first + self._spec["replicas"])
        self._seconds: int = self._spec.get("minReadySeconds") or 0
        self._ordered = self._spec.get("podManagementPolicy") != "Parallel"

    def actions(self) -> list[Action]:
        """Return the actions of this look."""
        out: list[Action] = []
        if not is_deleting(self._owner):
            out += self._steps()
        out += self._report()
        live = {
            self._current,
            self._revisions.name,
            *(labels_of(pod).get(_REVISION, "") for pod in self._pods.values()),
        }
        out += self._revisions.forget(self._spec.get("revisionHistoryLimit") or 0, live)
        return out

    def _steps(self) -> list[Action]:
        out: list[Action] = []
        for number in self._numbers:
            done = self._bring_up(number)
            out += done
            if self._ordered and (done or not self._is_available(number)):
                return out
        if out:
            return out
        out = self._shrink()
        if out and self._ordered:
            return out
        if self._spec["updateStrategy"]["type"] == "RollingUpdate":
            out += self._roll()
        return out

    def _bring_up(self, number: int) -> list[Action]:
        """Create a pod that is missing, with its claims; replace one that has ended."""
        pod = self._pods.get(number)
        if pod is None:
            return self._create(number)
        if is_finished(pod) and not is_deleting(pod):
            return self._delete(pod)
        return []

    def _create(self, number: int) -> list[Action]:
        revision = self._revision_of(number)
        template = self._revisions.template(revision) or self._spec["template"]
        name = f"{self._name}-{number}"
        pod = from_template(self._owner, template, name=name)
        pod["metadata"]["labels"] = dict(pod["metadata"].get("labels") or {}) | {
            "apps.kubernetes.io/pod-index": str(number),
            _REVISION: revision,
            "statefulset.kubernetes.io/pod-name": name,
        }
        pod["spec"] |= {"hostname": name} | nonzero(subdomain=self._spec.get("serviceName"))
        out: list[Action] = []
        volumes = {one["name"]: one for one in pod["spec"].get("volumes") or ()}
        for template in self._spec.get("volumeClaimTemplates") or ():
            wanted = self._claim(template, number)
            title = wanted["metadata"]["name"]
            volumes[template["metadata"]["name"]] = {
                "name": template["metadata"]["name"],
                "persistentVolumeClaim": {"claimName": title},
            }
            if title not in self._claims:
                out.append(Create(wanted, about=self._owner))
                said = f"create Claim {title} Pod {name} in StatefulSet {self._name} success"
                out.append(Record(self._owner, "SuccessfulCreate", said))
        if volumes:
            pod["spec"]["volumes"] = [*volumes.values()]
        out.append(Create(pod, about=self._owner))
        said = f"create Pod {name} in StatefulSet {self._name} successful"
        return [*out, Record(self._owner, "SuccessfulCreate", said)]

    def _claim(self, template: Manifest, number: int) -> Manifest:
        given = template["metadata"]
        labels = dict(given.get("labels") or {}) | dict((self._spec.get("selector") or {}).get("matchLabels") or {})
        metadata: dict[str, Any] = {
            "name": f"{given['name']}-{self._name}-{number}",
            "namespace": self._owner["metadata"]["namespace"],
            "labels": labels,
        } | nonzero(annotations=given.get("annotations"))
        kept = self._spec.get("persistentVolumeClaimRetentionPolicy") or {}
        if kept.get("whenDeleted") == "Delete":
            metadata["ownerReferences"] = [reference_to(self._owner)]
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}

    def _shrink(self) -> list[Action]:
        """Delete the pods beyond the number that is wanted, the last one first."""
        surplus = sorted((number for number in self._pods if number not in self._numbers), reverse=True)
        out: list[Action] = []
        for number in surplus:
            pod = self._pods[number]
            if not is_deleting(pod):
                out += self._release_claims(pod, number)
                out += self._delete(pod)
            if self._ordered:
                return out
        return out

    def _release_claims(self, pod: Manifest, number: int) -> list[Action]:
        """Let the claims of a pod that goes for good go with it, if they are not kept."""
        kept = self._spec.get("persistentVolumeClaimRetentionPolicy") or {}
        if kept.get("whenScaled") != "Delete":
            return []
        out: list[Action] = []
        for template in self._spec.get("volumeClaimTemplates") or ():
            found = self._claims.get(f"{template['metadata']['name']}-{self._name}-{number}")
            if found is not None:
                owner = reference_to(pod) | {"apiVersion": "v1", "kind": "Pod", "controller": False}
                out.append(Update(found | {"metadata": found["metadata"] | {"ownerReferences": [owner]}}))
        return out

    def _roll(self) -> list[Action]:
        """Replace one pod of an old revision, the last one first, when all behind it are available."""
        partition = (self._spec["updateStrategy"].get("rollingUpdate") or {}).get("partition") or 0
        for number in reversed(self._numbers):
            if number < self._first + partition:
                return []
            pod = self._pods[number]
            if labels_of(pod).get(_REVISION) != self._revisions.name and not is_deleting(pod):
                return self._delete(pod)
            if not self._is_available(number):
                return []
        return []

    def _delete(self, pod: Manifest) -> list[Action]:
        said = f"delete Pod {key_of(pod)[1]} in StatefulSet {self._name} successful"
        return [Delete(PODS, pod), Record(self._owner, "SuccessfulDelete", said)]

    def _is_available(self, number: int) -> bool:
        pod = self._pods.get(number)
        if pod is None or is_deleting(pod) or phase_of(pod) != "Running":
            return False
        return available_after(pod, self._seconds, self._now) == 0

    def _revision_of(self, number: int) -> str:
        """Return the revision of a new pod: below the partition, it is the former one."""
        strategy = self._spec["updateStrategy"]
        partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
        former = strategy["type"] == "RollingUpdate" and number - self._first < partition
        return self._current if former else self._revisions.name

    # The status

    def _report(self) -> list[Action]:
        before = self._owner.get("status") or {}
        alive = [pod for pod in self._pods.values() if not is_deleting(pod)]
        ready = [pod for pod in self._pods.values() if phase_of(pod) == "Running" and is_ready(pod)]
        waits = [available_after(pod, self._seconds, self._now) for pod in ready]

        def of(revision: str) -> int:
            return sum(labels_of(pod).get(_REVISION) == revision for pod in alive)

        counts = {
            "readyReplicas": len(ready),
            "currentReplicas": of(self._current),
            "updatedReplicas": of(self._revisions.name),
        }
        current = self._current
        wanted = self._spec["replicas"]
        rolled = self._spec["updateStrategy"]["type"] == "RollingUpdate"
        if rolled and counts["updatedReplicas"] == wanted == len(self._pods) == len(ready):
            # The rollout is over.
            current = self._revisions.name
            counts["currentReplicas"] = counts["updatedReplicas"]
        status = nonzero(observedGeneration=self._owner["metadata"].get("generation", 0))
        status |= {"replicas": len(self._pods)} | nonzero(**counts)
        status |= nonzero(currentRevision=current, updateRevision=self._revisions.name)
        status["collisionCount"] = before.get("collisionCount", 0)
        status["availableReplicas"] = sum(seconds == 0 for seconds in waits)
        out: list[Action] = []
        if status != before:
            out.append(SetStatus(self._owner | {"status": status}))
        if soonest := min((seconds for seconds in waits if seconds), default=0):
            out.append(Again(soonest))
        return out
