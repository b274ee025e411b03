"""DaemonSets: a pod on each node that takes it (pkg/controller/daemon)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import Action, Again, Create, Delete, SetStatus
from kinformer.testing._apiserver.controllers.cluster import PODS, labels_of
from kinformer.testing._apiserver.controllers.conditions import nonzero
from kinformer.testing._apiserver.controllers.kubelets import NODES
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import (
    available_after,
    claim,
    concerned_owners,
    from_template,
    is_deleting,
    is_finished,
    is_ready,
)
from kinformer.testing._apiserver.controllers.revisions import REVISIONS, Revisions, revisions_of
from kinformer.testing._apiserver.controllers.rollouts import scaled_value
from kinformer.testing._apiserver.controllers.scheduler import fits_node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key

__all__ = ["daemonset_controller"]

DAEMONSETS: Final = ("apps", "daemonsets")
_HASH: Final = "controller-revision-hash"
_GENERATION: Final = "pod-template-generation"

_TOLERATIONS: Final = tuple(
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
    for key, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
)
"""The tolerations of every daemon (pkg/controller/daemon/util, AddOrUpdateDaemonPodTolerations)."""


def daemonset_controller() -> Controller:
    """Return the controller of DaemonSets."""
    return Controller(
        "daemonset",
        _reconcile,
        {DAEMONSETS: lambda change, _: [change.key], PODS: _of_dependent, REVISIONS: _of_dependent, NODES: _of_node},
        component="daemonset-controller",
    )


def _of_dependent(change: Change, cluster: Cluster) -> Iterable[Key]:
    return concerned_owners(change, cluster, "DaemonSet", DAEMONSETS)


def _of_node(change: Change, cluster: Cluster) -> Iterable[Key]:
    before = change.old and {**change.old.manifest.get("spec", {}), "labels": labels_of(change.old.manifest)}
    after = {**change.new.manifest.get("spec", {}), "labels": labels_of(change.new.manifest)}
    # Most changes of nodes are heartbeats.
    return [] if change.kind == "MODIFIED" and before == after else cluster.keys(DAEMONSETS)


def _reconcile(key: Key, cluster: Cluster) -> Iterator[Action]:
    owner = cluster.get(DAEMONSETS, key)
    if owner is None:
        return
    pods, claims = claim(cluster, PODS, owner, owner["spec"].get("selector") or {})
    yield from claims
    revisions = revisions_of(owner, cluster.controlled(REVISIONS, owner["metadata"]["uid"]))
    if is_deleting(owner) and revisions.actions:
        # The garbage collector would delete a new revision at once, and this would never end.
        return
    yield from revisions.actions
    yield from _DaemonSet(owner, pods, cluster.all(NODES), revisions, cluster).actions()


class _DaemonSet:
    """One look at a DaemonSet.

    Args:
        owner: the DaemonSet.
        pods: its pods.
        nodes: all nodes.
        revisions: its revisions.
        cluster: the time.
    """

    def __init__(
        self, owner: Manifest, pods: list[Manifest], nodes: list[Manifest], revisions: Revisions, cluster: Cluster
    ) -> None:
        self._owner = owner
        self._spec: dict[str, Any] = owner["spec"]
        self._revisions = revisions
        self._now = cluster.now
        self._seconds: int = self._spec.get("minReadySeconds") or 0
        template = {"spec": self._spec["template"]["spec"]}
        self._wanted = [node["metadata"]["name"] for node in nodes if not fits_node(template, node, more=_TOLERATIONS)]
        self._by_node: dict[str, list[Manifest]] = {}
        for pod in pods:
            self._by_node.setdefault(_node_of(pod), []).append(pod)

    def actions(self) -> list[Action]:
        """Return the actions of this look."""
        out: list[Action] = []
        if not is_deleting(self._owner):
            out += self._place()
            if self._spec["updateStrategy"]["type"] == "RollingUpdate" and not out:
                out += self._roll()
        out += self._report()
        live = {self._revisions.name}
        return out + self._revisions.forget(self._spec.get("revisionHistoryLimit") or 0, live)

    def _place(self) -> list[Action]:
        """Create the pods that are missing; delete those that have ended, and those on other nodes."""
        out: list[Action] = []
        for node in self._wanted:
            pods = self._by_node.get(node, [])
            out += [self._delete(pod) for pod in pods if is_finished(pod) and not is_deleting(pod)]
            if not pods:
                out.append(Create(self._pod(node), about=self._owner, reported=True))
            alive = sorted(
                (pod for pod in pods if not is_deleting(pod) and not is_finished(pod)),
                key=lambda pod: pod["metadata"]["creationTimestamp"],
            )
            out += [self._delete(pod) for pod in alive[1:]]
        for node in self._by_node.keys() - {*self._wanted}:
            out += [self._delete(pod) for pod in self._by_node[node] if not is_deleting(pod)]
        return out

    def _delete(self, pod: Manifest) -> Action:
        return Delete(PODS, pod, about=self._owner)

    def _pod(self, node: str) -> Manifest:
        pod = from_template(self._owner, self._spec["template"])
        generation = str(self._owner["metadata"].get("generation", 1))
        labels = dict(pod["metadata"].get("labels") or {})
        pod["metadata"]["labels"] = labels | {_HASH: self._revisions.word, _GENERATION: generation}
        spec = pod["spec"]
        given = [*(spec.get("tolerations") or ())]
        spec["tolerations"] = given + [dict(one) for one in _TOLERATIONS if one not in given]
        affinity = dict(spec.get("affinity") or {})
        field = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        affinity["nodeAffinity"] = dict(affinity.get("nodeAffinity") or {}) | {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [field]}
        }
        spec["affinity"] = affinity
        return pod

    def _roll(self) -> list[Action]:
        """Delete pods of former templates, as many as may be unavailable."""
        rolling = self._spec["updateStrategy"].get("rollingUpdate") or {}
        most = scaled_value(rolling.get("maxUnavailable", 1), len(self._wanted), up=True)
        most = most or 1
        current = [self._by_node[node][0] for node in self._wanted if self._by_node.get(node)]
        old = [pod for pod in current if labels_of(pod).get(_HASH) != self._revisions.word and not is_deleting(pod)]
        unavailable = [pod for pod in current if not self._is_available(pod)]
        # Those that are unavailable already cost nothing.
        broken = [pod for pod in old if pod in unavailable]
        rest = [pod for pod in old if pod not in broken]
        return [self._delete(pod) for pod in broken + rest[: max(0, most - len(unavailable))]]

    def _is_available(self, pod: Manifest) -> bool:
        return not is_deleting(pod) and available_after(pod, self._seconds, self._now) == 0

    def _report(self) -> list[Action]:
        placed = [pods[0] for node in self._wanted if (pods := self._by_node.get(node))]
        ready = [pod for pod in placed if is_ready(pod)]
        available = sum(self._is_available(pod) for pod in placed)
        updated = sum(labels_of(pod).get(_HASH) == self._revisions.word for pod in placed)
        astray = sum(bool(pods) for node, pods in self._by_node.items() if node not in self._wanted)
        status: dict[str, Any] = {
            "currentNumberScheduled": len(placed),
            "numberMisscheduled": astray,
            "desiredNumberScheduled": len(self._wanted),
            "numberReady": len(ready),
        } | nonzero(
            observedGeneration=self._owner["metadata"].get("generation", 0),
            updatedNumberScheduled=updated,
            numberAvailable=available,
            numberUnavailable=len(self._wanted) - available,
        )
        out: list[Action] = []
        if status != (self._owner.get("status") or {}):
            out.append(SetStatus(self._owner | {"status": status}))
        waits = [available_after(pod, self._seconds, self._now) for pod in ready]
        if soonest := min((seconds for seconds in waits if seconds), default=0):
            out.append(Again(soonest))
        return out


def _node_of(pod: Manifest) -> str:
    """Return the node of a pod: the one that it has, or the one that it is meant for."""
    if node := pod["spec"].get("nodeName"):
        return str(node)
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for one in term.get("matchFields") or ():
            if one["key"] == "metadata.name" and one.get("values"):
                return str(one["values"][0])
    return ""
