"""Deployments: a ReplicaSet for each revision, and the way from one to the next (pkg/controller/deployment)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kinformer.testing._apiserver.controllers.actions import (
    Create,
    Delete,
    Record,
    SetStatus,
    Update,
    key_of,
)
from kinformer.testing._apiserver.controllers.cluster import PODS, controller_of
from kinformer.testing._apiserver.controllers.conditions import (
    nonzero,
)
from kinformer.testing._apiserver.controllers.deployment_status import NO_LIMIT, RolloutStatus, is_complete
from kinformer.testing._apiserver.controllers.hashes import safe_hash
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import (
    claim,
    concerned_owners,
    is_deleting,
    is_finished,
    reference_to,
)
from kinformer.testing._apiserver.controllers.replicasets import REPLICASETS
from kinformer.testing._apiserver.controllers.rollouts import (
    next_sizes,
    proportional_sizes,
    surge_and_unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from kinformer.testing._apiserver.controllers.actions import Action, Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key

__all__ = ["deployment_controller"]

DEPLOYMENTS: Final = ("apps", "deployments")

_HASH: Final = "pod-template-hash"
_REVISION: Final = "deployment.kubernetes.io/revision"
_HISTORY: Final = "deployment.kubernetes.io/revision-history"
_DESIRED: Final = "deployment.kubernetes.io/desired-replicas"
_MOST: Final = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED: Final = frozenset({
    *(_REVISION, _HISTORY, _DESIRED, _MOST),
    *("kubectl.kubernetes.io/last-applied-configuration", "deprecated.deployment.rollback.to"),
})  # fmt: skip
_LONGEST_HISTORY: Final = 2000
_LONGEST_NAME: Final = 253


def deployment_controller() -> Controller:
    """Return the controller of Deployments."""
    return Controller(
        "deployment",
        _reconcile,
        concerns={
            DEPLOYMENTS: lambda change, _: [change.key],
            REPLICASETS: lambda change, cluster: concerned_owners(change, cluster, "Deployment", DEPLOYMENTS),
            PODS: _of_deleted_pod,
        },
        component="deployment-controller",
    )


def _of_deleted_pod(change: Change, cluster: Cluster) -> Iterable[Key]:
    """A Deployment with the strategy Recreate waits for the end of its pods."""
    if change.kind != "DELETED":
        return ()
    reference = controller_of(change.new.manifest)
    if reference is None or reference["kind"] != "ReplicaSet":
        return ()
    replicas = cluster.get(REPLICASETS, (change.key[0], reference["name"]))
    owner = None if replicas is None else controller_of(replicas)
    return () if owner is None else [(change.key[0], owner["name"])]


def _reconcile(key: Key, cluster: Cluster) -> Iterator[Action]:
    deployment = cluster.get(DEPLOYMENTS, key)
    if deployment is None:
        return
    selector = deployment["spec"].get("selector") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        return
    sets, claims = claim(cluster, REPLICASETS, deployment, selector)
    yield from claims
    names_taken = {key_of(one)[1] for one in cluster.within(REPLICASETS, key[0])} - {key_of(one)[1] for one in sets}
    pods_left = (
        any(
            not is_finished(pod)
            for one in sets
            for pod in cluster.controlled(PODS, one["metadata"]["uid"])
            if not _same_template(one, deployment)
        )
        if deployment["spec"]["strategy"]["type"] == "Recreate"
        else False
    )
    failure = cluster.failures.get(("deployment", key), "")
    yield from _Sync(deployment, sets, cluster.now, cluster.stamp, names_taken).actions(
        pods_left=pods_left, failure=failure
    )


class _Sync:
    """One look at a Deployment.

    Args:
        deployment: the Deployment.
        sets: its ReplicaSets.
        now: the time.
        stamp: the time as objects carry it.
        names_taken: the names of ReplicaSets of others.
    """

    def __init__(
        self, deployment: Manifest, sets: list[Manifest], now: datetime, stamp: str, names_taken: set[str]
    ) -> None:
        self._deployment = deployment
        self._spec: dict[str, Any] = deployment["spec"]
        self._names_taken = names_taken
        self._wanted: int = self._spec["replicas"]
        self._surge, self._unavailable = surge_and_unavailable(self._spec)
        sets = sorted(sets, key=lambda one: (one["metadata"].get("creationTimestamp", ""), one["metadata"]["name"]))
        self._new = next((one for one in sets if _same_template(one, deployment)), None)
        self._old = [one for one in sets if one is not self._new]
        self._rollout = RolloutStatus(deployment, now, stamp)
        self._out: list[Action] = []

    def actions(self, *, pods_left: bool, failure: str) -> list[Action]:
        """Return the actions of this look."""
        if is_deleting(self._deployment):
            self._report(self._rollout.counted(self._new, self._old))
            return self._out
        self._rollout.note_pause()
        scaling = self._is_scaling()
        if self._spec.get("paused") or scaling:
            self._update_new_set()
            self._scale_in_proportion()
            if self._spec.get("paused"):
                self._forget_old_sets()
            self._report(self._rollout.counted(self._new, self._old))
            return self._out
        recreates = self._spec["strategy"]["type"] == "Recreate"
        if recreates and any(one["spec"]["replicas"] for one in self._old):
            for one in self._old:
                self._resize(one, 0)
        elif recreates and pods_left:
            self._update_new_set()
        else:
            self._update_new_set()
            self._create_new_set(failure)
            self._roll()
        status = self._rollout.progressed(self._new, self._old, failure)
        self._report(status)
        self._out.extend(self._rollout.next_looks(status))
        return self._out

    # The new ReplicaSet

    def _update_new_set(self) -> None:
        """Bring the annotations of the new ReplicaSet up to date, and the revision of the Deployment."""
        if self._new is None:
            return
        latest = max((_revision_of(one) for one in self._old), default=0) + 1
        annotations = dict(self._new["metadata"].get("annotations") or {})
        before = dict(annotations)
        self._copy_annotations(annotations)
        known = _revision_of(self._new)
        if known < latest:
            annotations[_REVISION] = str(latest)
            if _REVISION in before:
                # The Deployment went back to this one.
                annotations[_HISTORY] = _longer_history(annotations.get(_HISTORY, ""), before[_REVISION])
        seconds = self._spec.get("minReadySeconds")
        spec = self._new["spec"]
        if annotations != before or (spec.get("minReadySeconds") or 0) != (seconds or 0):
            spec = {name: value for name, value in spec.items() if name != "minReadySeconds"}
            spec |= {"minReadySeconds": seconds} if seconds else {}
            metadata = self._new["metadata"] | {"annotations": annotations}
            self._new = self._new | {"metadata": metadata, "spec": spec}
            self._out.append(Update(self._new))
        self._set_revision(annotations[_REVISION])
        if self._rollout.progressing is None and self._rollout.has_deadline:
            message = f'Found new replica set "{self._new["metadata"]["name"]}"'
            self._rollout.note("True", "FoundNewReplicaSet", message)

    def _create_new_set(self, failure: str) -> None:
        if self._new is not None:
            return
        if failure:
            self._rollout.note("False", "ReplicaSetCreateError", f"Failed to create new replica set: {failure}")
        deployment, spec = self._deployment, self._spec
        template = dict(spec["template"])
        collisions = self._rollout.collisions or 0
        while True:
            word = safe_hash(template, collisions)
            name = f"{deployment['metadata']['name'][: _LONGEST_NAME - 1 - len(word)]}-{word}"
            if name not in self._names_taken:
                break
            collisions += 1
            self._rollout.collisions = collisions
        given = template.get("metadata") or {}
        labels = dict(given.get("labels") or {}) | {_HASH: word}
        template["metadata"] = dict(given) | {"labels": labels}
        selector = dict(spec["selector"])
        selector["matchLabels"] = dict(selector.get("matchLabels") or {}) | {_HASH: word}
        revision = str(max((_revision_of(one) for one in self._old), default=0) + 1)
        annotations = {_REVISION: revision, _DESIRED: str(self._wanted), _MOST: str(self._wanted + self._surge)}
        self._copy_annotations(annotations)
        others = sum(one["spec"]["replicas"] for one in self._old)
        size = self._wanted
        if spec["strategy"]["type"] != "Recreate":
            size = max(0, min(self._wanted, self._wanted + self._surge - others))
        manifest = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": deployment["metadata"]["namespace"],
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [reference_to(deployment)],
            },
            "spec": nonzero(minReadySeconds=spec.get("minReadySeconds"))
            | {"replicas": size, "selector": selector, "template": template},
        }
        self._out.append(Create(manifest, about=deployment))
        if size:
            message = f"Scaled up replica set {name} from 0 to {size}"
            self._out.append(Record(deployment, "ScalingReplicaSet", message))
        self._set_revision(revision)
        if self._rollout.has_deadline:
            self._rollout.note("True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
        self._new = manifest

    def _copy_annotations(self, annotations: dict[str, str]) -> None:
        given = self._deployment["metadata"].get("annotations") or {}
        annotations.update({name: value for name, value in given.items() if name not in _NOT_COPIED})

    def _set_revision(self, revision: str) -> None:
        annotations = self._deployment["metadata"].get("annotations") or {}
        if annotations.get(_REVISION) != revision:
            metadata = self._deployment["metadata"] | {"annotations": annotations | {_REVISION: revision}}
            self._deployment = self._deployment | {"metadata": metadata}
            self._out.append(Update(self._deployment))

    # Sizes

    def _is_scaling(self) -> bool:
        """Report whether the number of replicas was changed since the ReplicaSets were sized."""
        for one in [*self._old, *([self._new] if self._new else [])]:
            desired = (one["metadata"].get("annotations") or {}).get(_DESIRED)
            if one["spec"]["replicas"] and desired is not None and desired != str(self._wanted):
                return True
        return False

    def _roll(self) -> None:
        """Go one step from the old ReplicaSets to the new one."""
        assert self._new is not None
        sizes = next_sizes(
            self._new, self._old, self._wanted, self._surge, self._unavailable, self._spec["strategy"]["type"]
        )
        for one in [self._new, *self._old]:
            if one["metadata"]["name"] in sizes and "uid" in one["metadata"]:
                self._resize(one, sizes[one["metadata"]["name"]])
        if not sizes and is_complete(self._deployment, self._deployment.get("status") or {}):
            self._forget_old_sets()

    def _scale_in_proportion(self) -> None:
        """Give every active ReplicaSet its share of a new number of replicas."""
        sizes = proportional_sizes(
            self._new,
            self._old,
            self._wanted,
            self._surge,
            rolling=self._spec["strategy"]["type"] == "RollingUpdate",
            total_before=(self._deployment.get("status") or {}).get("replicas", 0),
            most=_MOST,
            desired=_DESIRED,
        )
        for one in [*self._old, *([self._new] if self._new else [])]:
            if one["metadata"]["name"] in sizes:
                self._resize(one, sizes[one["metadata"]["name"]], always=True)

    def _resize(self, replicas: Manifest, size: int, *, always: bool = False) -> None:
        before = replicas["spec"]["replicas"]
        sized = {_DESIRED: str(self._wanted), _MOST: str(self._wanted + self._surge)}
        annotations = replicas["metadata"].get("annotations") or {}
        if before == size and not (always and not sized.items() <= annotations.items()):
            return
        changed = replicas | {
            "metadata": replicas["metadata"] | {"annotations": annotations | sized},
            "spec": replicas["spec"] | {"replicas": size},
        }
        self._out.append(Update(changed))
        if replicas is self._new:
            self._new = changed
        else:
            self._old = [changed if one is replicas else one for one in self._old]
        if before != size:
            way = "up" if size > before else "down"
            name = replicas["metadata"]["name"]
            message = f"Scaled {way} replica set {name} from {before} to {size}"
            self._out.append(Record(self._deployment, "ScalingReplicaSet", message))

    def _forget_old_sets(self) -> None:
        """Delete the oldest ReplicaSets beyond the history that is kept."""
        limit = self._spec.get("revisionHistoryLimit")
        if limit is None or limit == NO_LIMIT:
            return
        alive = sorted((one for one in self._old if not is_deleting(one)), key=_revision_of)
        for one in alive[: max(0, len(alive) - limit)]:
            status = one.get("status") or {}
            seen = status.get("observedGeneration", 0) >= one["metadata"].get("generation", 0)
            if not status.get("replicas") and not one["spec"]["replicas"] and seen:
                self._out.append(Delete(REPLICASETS, one, policy="Background"))

    def _report(self, status: dict[str, Any]) -> None:
        if status != (self._deployment.get("status") or {}):
            self._out.append(SetStatus(self._deployment | {"status": status}))


def _same_template(replicas: Manifest, deployment: Manifest) -> bool:
    """Report whether a ReplicaSet is of the template of a Deployment, but for the label of the hash."""
    return _comparable(replicas["spec"]["template"]) == _comparable(deployment["spec"]["template"])


def _comparable(template: Manifest) -> bytes:
    metadata = template.get("metadata") or {}
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if name != _HASH}
    annotations = metadata.get("annotations") or {}
    return msgspec.json.encode([labels, annotations, template.get("spec")], order="deterministic")


def _revision_of(replicas: Manifest) -> int:
    text = (replicas["metadata"].get("annotations") or {}).get(_REVISION, "")
    return int(text) if text.isdecimal() else 0


def _longer_history(history: str, revision: str) -> str:
    """Append a revision; the oldest ones go if it becomes too long."""
    revisions = [*(history.split(",") if history else []), revision]
    while len(",".join(revisions)) > _LONGEST_HISTORY:
        del revisions[0]
    return ",".join(revisions)
