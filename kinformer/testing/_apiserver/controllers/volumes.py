"""Persistent volumes: each claim gets a volume, as from a provisioner that always has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import Create, Delete, SetStatus, Update, key_of
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import is_deleting
from kinformer.testing._apiserver.controllers.statefulsets import CLAIMS
from kinformer.testing._apiserver.schemas.scalars import quantity_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.controllers.actions import Action, Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key

__all__ = ["volume_controller"]

_VOLUMES: Final = ("", "persistentvolumes")


def volume_controller() -> Controller:
    """Return the controller that binds claims and volumes."""
    return Controller(
        "persistentvolume",
        _reconcile,
        {CLAIMS: lambda change, _: [("claim", change.key)], _VOLUMES: _of_volume},
        component="persistentvolume-controller",
    )


def _of_volume(change: Change, cluster: Cluster) -> list[tuple[str, Key]]:
    waiting = [key_of(one) for one in cluster.all(CLAIMS) if not one["spec"].get("volumeName")]
    return [("volume", change.key), *(("claim", key) for key in waiting)]


def _reconcile(item: tuple[str, Key], cluster: Cluster) -> Iterator[Action]:
    what, key = item
    yield from _bind(key, cluster) if what == "claim" else _look_after(key, cluster)


def _bind(key: Key, cluster: Cluster) -> Iterator[Action]:
    claim = cluster.get(CLAIMS, key)
    if claim is None:
        for volume in cluster.all(_VOLUMES):
            reference = (volume.get("spec") or {}).get("claimRef") or {}
            if (reference.get("namespace"), reference.get("name")) == key:
                yield from _look_after(key_of(volume), cluster)
        return
    if is_deleting(claim):
        return
    name = claim["spec"].get("volumeName") or ""
    if not name:
        fitting = _fitting(claim, cluster)
        volume = fitting or _provisioned(claim)
        if fitting is None:
            if claim["spec"].get("storageClassName") == "":
                # Only a volume that exists already will do.
                return
            yield Create(volume)
        else:
            yield Update(fitting | {"spec": fitting["spec"] | {"claimRef": _reference(claim)}})
        name = volume["metadata"]["name"]
        annotations = claim["metadata"].get("annotations") or {}
        bound = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
        metadata = claim["metadata"] | {"annotations": annotations | bound}
        claim = claim | {"metadata": metadata, "spec": claim["spec"] | {"volumeName": name}}
        yield Update(claim)
        capacity = volume["spec"]["capacity"]
    else:
        found = cluster.get(_VOLUMES, ("", name))
        if found is None:
            return
        capacity = found["spec"]["capacity"]
    status = {"phase": "Bound", "accessModes": claim["spec"].get("accessModes") or [], "capacity": capacity}
    if claim.get("status") != status:
        yield SetStatus(claim | {"status": status})


def _fitting(claim: Manifest, cluster: Cluster) -> Manifest | None:
    """Return the smallest free volume for a claim, or `None`."""
    wanted = quantity_number(_request(claim))
    fitting = []
    for volume in cluster.all(_VOLUMES):
        spec = volume["spec"]
        reference = spec.get("claimRef") or {}
        free = not reference or (
            not reference.get("uid") and (reference.get("namespace"), reference.get("name")) == key_of(claim)
        )
        same_class = (spec.get("storageClassName") or "") == (claim["spec"].get("storageClassName") or "")
        modes = set(claim["spec"].get("accessModes") or ()) <= set(spec.get("accessModes") or ())
        size = quantity_number((spec.get("capacity") or {}).get("storage", "0"))
        if free and same_class and modes and size >= wanted and not is_deleting(volume):
            fitting.append((size, volume["metadata"]["name"], volume))
    return min(fitting)[2] if fitting else None


def _request(claim: Manifest) -> str:
    storage: str = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "1Gi")
    return storage


def _reference(claim: Manifest) -> Manifest:
    metadata = claim["metadata"]
    return {
        "kind": "PersistentVolumeClaim",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": "v1",
    }


def _provisioned(claim: Manifest) -> Manifest:
    spec: dict[str, Any] = {
        "capacity": {"storage": _request(claim)},
        "accessModes": claim["spec"].get("accessModes") or ["ReadWriteOnce"],
        "claimRef": _reference(claim),
        "persistentVolumeReclaimPolicy": "Delete",
        "hostPath": {"path": f"/var/lib/kinformer/{claim['metadata']['uid']}"},
    }
    if claim["spec"].get("storageClassName"):
        spec["storageClassName"] = claim["spec"]["storageClassName"]
    name = f"pvc-{claim['metadata']['uid']}"
    annotations = {"pv.kubernetes.io/provisioned-by": "kinformer"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    }


def _look_after(key: Key, cluster: Cluster) -> Iterator[Action]:
    """Report the phase of a volume; the volume of a claim that is gone is released, or deleted."""
    volume = cluster.get(_VOLUMES, key)
    if volume is None or is_deleting(volume):
        return
    reference = volume["spec"].get("claimRef") or {}
    phase = "Available"
    if reference.get("uid"):
        claim = cluster.get(CLAIMS, (reference.get("namespace", ""), reference["name"]))
        phase = "Bound"
        if claim is None or claim["metadata"]["uid"] != reference["uid"]:
            phase = "Released"
            if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
                yield Delete(_VOLUMES, volume)
                return
    status = volume.get("status") or {}
    if status.get("phase") != phase:
        changed = {"phase": phase, "lastPhaseTransitionTime": cluster.stamp}
        yield SetStatus(volume | {"status": status | changed})
