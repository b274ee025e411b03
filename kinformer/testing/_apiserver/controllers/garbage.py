"""The garbage collector: dependents go after their owners, before them, or stay (pkg/controller/garbagecollector)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import Delete, Update, key_of
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import is_deleting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.controllers.actions import Action, Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key, Storage

__all__ = ["garbage_collector"]

_FOREGROUND: Final = "foregroundDeletion"
_ORPHAN: Final = "orphan"


def garbage_collector() -> Controller:
    """Return the garbage collector."""
    return Controller("garbage-collector", _collect, every_change=_concerned, component="garbage-collector-controller")


def _concerned(change: Change, cluster: Cluster) -> Iterator[tuple[Storage, Key]]:
    manifest = change.new.manifest
    metadata = manifest["metadata"]
    references = metadata.get("ownerReferences")
    if change.kind == "DELETED":
        for storage, dependent in cluster.dependents(metadata["uid"]):
            yield storage, key_of(dependent)
    elif references or is_deleting(manifest):
        yield change.storage, change.key
        if is_deleting(manifest) and _FOREGROUND in (metadata.get("finalizers") or ()):
            for storage, dependent in cluster.dependents(metadata["uid"]):
                yield storage, key_of(dependent)
    # An owner that goes in the foreground waits for this object.
    before = [] if change.old is None else change.old.manifest["metadata"].get("ownerReferences") or []
    for reference in before if change.kind == "DELETED" or before != references else ():
        found = cluster.storage_of(reference["apiVersion"], reference["kind"])
        if found is not None:
            storage, namespaced = found
            yield storage, (change.key[0] if namespaced else "", reference["name"])


def _collect(item: tuple[Storage, Key], cluster: Cluster) -> Iterator[Action]:
    storage, key = item
    manifest = cluster.get(storage, key)
    if manifest is None:
        return
    finalizers = manifest["metadata"].get("finalizers") or ()
    dependents = cluster.dependents(manifest["metadata"]["uid"])
    if is_deleting(manifest):
        if _ORPHAN in finalizers:
            uid = manifest["metadata"]["uid"]
            yield from (Update(_without_owners(dependent, {uid})) for _, dependent in dependents)
            yield Update(_without_finalizer(manifest, _ORPHAN))
        elif _FOREGROUND in finalizers:
            uid = manifest["metadata"]["uid"]
            if not any(_blocks(dependent, uid) for _, dependent in dependents):
                yield Update(_without_finalizer(manifest, _FOREGROUND))
        return
    yield from _judge(storage, manifest, dependents, cluster)


def _judge(
    storage: Storage, manifest: Manifest, dependents: list[tuple[Storage, Manifest]], cluster: Cluster
) -> Iterator[Action]:
    """Delete an object whose owners are all gone, or drop the references to those that are."""
    references = manifest["metadata"].get("ownerReferences") or []
    if not references:
        return
    solid, gone, waiting = [], set[str](), set[str]()
    for reference in references:
        state = _state_of(reference, manifest, cluster)
        if state is None:
            # Of a kind that is not served: nothing is known about it.
            solid.append(reference)
        elif state == "waits":
            waiting.add(reference["uid"])
        elif state == "gone":
            gone.add(reference["uid"])
        else:
            solid.append(reference)
    if solid:
        if gone or waiting:
            yield Update(_without_owners(manifest, gone | waiting))
        return
    if waiting and dependents:
        policy = "Foreground"
        if _is_held(manifest, waiting) and any(_goes_in_the_foreground(dependent) for _, dependent in dependents):
            # A circle: each would wait for the next one. So the owners do not wait for this object.
            yield Update(_unblocking(manifest))
            return
    else:
        kept = manifest["metadata"].get("finalizers") or ()
        policy = "Orphan" if _ORPHAN in kept else "Foreground" if _FOREGROUND in kept else "Background"
    yield Delete(storage, manifest, policy=policy)


def _state_of(reference: Manifest, dependent: Manifest, cluster: Cluster) -> str | None:
    """Return whether an owner is "there", is "gone", or "waits" for its dependents to go; `None` if it is unknown."""
    found = cluster.storage_of(reference["apiVersion"], reference["kind"])
    if found is None:
        return None
    storage, namespaced = found
    namespace = dependent["metadata"].get("namespace", "")
    if namespaced and not namespace:
        # A cluster-scoped object cannot have an owner in a namespace.
        return None
    owner = cluster.get(storage, (namespace if namespaced else "", reference["name"]))
    if owner is None or owner["metadata"]["uid"] != reference["uid"]:
        return "gone"
    return "waits" if _goes_in_the_foreground(owner) else "there"


def _goes_in_the_foreground(manifest: Manifest) -> bool:
    return is_deleting(manifest) and _FOREGROUND in (manifest["metadata"].get("finalizers") or ())


def _is_held(manifest: Manifest, uids: set[str]) -> bool:
    """Report whether one of the owners with the uids waits for an object."""
    return any(_blocks(manifest, uid) for uid in uids)


def _blocks(dependent: Manifest, uid: str) -> bool:
    """Report whether the owner with the uid waits for a dependent."""
    references: list[dict[str, Any]] = dependent["metadata"].get("ownerReferences") or []
    return any(one["uid"] == uid and one.get("blockOwnerDeletion") for one in references)


def _unblocking(manifest: Manifest) -> Manifest:
    """Return an object for which no owner waits."""
    references = [one | {"blockOwnerDeletion": False} for one in manifest["metadata"]["ownerReferences"]]
    return manifest | {"metadata": manifest["metadata"] | {"ownerReferences": references}}


def _without_owners(manifest: Manifest, uids: set[str]) -> Manifest:
    left = [one for one in manifest["metadata"].get("ownerReferences") or () if one["uid"] not in uids]
    return manifest | {"metadata": manifest["metadata"] | {"ownerReferences": left}}


def _without_finalizer(manifest: Manifest, finalizer: str) -> Manifest:
    left = [one for one in manifest["metadata"]["finalizers"] if one != finalizer]
    return manifest | {"metadata": manifest["metadata"] | {"finalizers": left}}
