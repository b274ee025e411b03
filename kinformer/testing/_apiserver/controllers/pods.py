"""The states of pods, and how pods are made of templates."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from kinformer.testing._apiserver.controllers.actions import Action, Update, key_of
from kinformer.testing._apiserver.controllers.cluster import PODS, controller_of, labels_of
from kinformer.testing._apiserver.controllers.conditions import condition_of, is_true
from kinformer.testing._apiserver.rules.selectors import selects_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key, Storage

__all__ = [
    "available_after",
    "claim",
    "concerned_owners",
    "from_template",
    "is_active",
    "is_deleting",
    "is_finished",
    "is_ready",
    "moment",
    "phase_of",
    "reference_to",
]


def moment(stamp: str) -> datetime:
    """Read a time as objects carry it."""
    return datetime.fromisoformat(stamp)


def phase_of(pod: Manifest) -> str:
    """Return the phase of a pod."""
    return (pod.get("status") or {}).get("phase") or "Pending"


def is_deleting(manifest: Manifest) -> bool:
    """Report whether an object is marked for deletion."""
    return bool(manifest["metadata"].get("deletionTimestamp"))


def is_finished(pod: Manifest) -> bool:
    """Report whether the containers of a pod have ended for good."""
    return phase_of(pod) in {"Succeeded", "Failed"}


def is_active(pod: Manifest) -> bool:
    """Report whether a pod counts as a replica (pkg/controller/controller_utils.go, IsPodActive)."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Manifest) -> bool:
    """Report whether a pod is ready."""
    return is_true(pod.get("status") or {}, "Ready")


def available_after(pod: Manifest, min_ready_seconds: int, now: datetime) -> float | None:
    """Return the seconds until a pod is available: 0 if it is, `None` if it is not ready."""
    ready = condition_of(pod.get("status") or {}, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    if not min_ready_seconds:
        return 0.0
    since = ready.get("lastTransitionTime")
    due = moment(since) if since else now
    return max((due + timedelta(seconds=min_ready_seconds) - now).total_seconds(), 0.0)


def reference_to(owner: Manifest) -> Manifest:
    """Return the reference by which an object names its controller."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def from_template(owner: Manifest, template: Manifest, *, name: str = "") -> Manifest:
    """Make a pod of a template; without a name the server generates one."""
    given = template.get("metadata") or {}
    metadata: dict[str, Any] = {"name": name} if name else {"generateName": f"{owner['metadata']['name']}-"}
    metadata["namespace"] = owner["metadata"]["namespace"]
    for field in ("labels", "annotations", "finalizers"):
        if given.get(field):
            metadata[field] = type(given[field])(given[field])
    metadata["ownerReferences"] = [reference_to(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": dict(template["spec"])}


def claim(
    cluster: Cluster, storage: Storage, owner: Manifest, selector: Mapping[str, Any]
) -> tuple[list[Manifest], list[Action]]:
    """Find the objects that a controller has; adopts those without one, and releases those with other labels.

    Source: pkg/controller/controller_ref_manager.go.
    """
    mine, actions = [], list[Action]()
    uid = owner["metadata"]["uid"]
    for one in cluster.controlled(storage, uid):
        if selects_labels(selector, labels_of(one)):
            mine.append(one)
        elif not is_deleting(owner):
            left = [r for r in one["metadata"]["ownerReferences"] if r["uid"] != uid]
            actions.append(Update(one | {"metadata": one["metadata"] | {"ownerReferences": left}}))
    if not is_deleting(owner):
        for one in cluster.orphans(storage, owner["metadata"]["namespace"], selector):
            if not is_deleting(one) and not (storage == PODS and is_finished(one)):
                kept = one["metadata"].get("ownerReferences") or []
                adopted = one | {"metadata": one["metadata"] | {"ownerReferences": [*kept, reference_to(owner)]}}
                actions.append(Update(adopted))
                mine.append(adopted)
    return mine, actions


def concerned_owners(change: Change, cluster: Cluster, kind: str, owners: Storage) -> list[Key]:
    """Return the keys of the owners of a kind that a change of a dependent concerns, and of those that may adopt it."""
    keys = []
    states = [change.new.manifest] + ([change.old.manifest] if change.old else [])
    for state in states:
        reference = controller_of(state)
        if reference is not None and reference.get("kind") == kind:
            keys.append((key_of(state)[0], reference["name"]))
    if controller_of(change.new.manifest) is None and change.kind != "DELETED":
        labels = labels_of(change.new.manifest)
        for owner in cluster.within(owners, change.key[0]):
            selector = (owner.get("spec") or {}).get("selector") or {}
            if "matchLabels" not in selector and "matchExpressions" not in selector:
                selector = {"matchLabels": selector} if selector else {}
            if selector and selects_labels(selector, labels):
                keys.append(key_of(owner))
    return keys
