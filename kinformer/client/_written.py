"""The stored state after a write, as the response to it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer._own_writes.feed import Write
from kinformer.objects import ObjectKey, version_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["collected", "deleted", "stored"]


def stored(answer: KubeObject) -> Write | None:
    """Return the write of a create, update or patch; `None` where the response shows none (a review, an eviction)."""
    version = version_number(answer.resource_version)
    if not version or not answer.name:
        return None
    view = answer.view()
    whole = view["kind"] == answer.resource.kind
    if whole and answer.deletion_timestamp and _is_gone(view):
        # The last finalizer was removed: the watch has no event of this change, only of the deletion.
        return Write(answer.resource, answer.key, answer.uid, after=version, gone=True, obj=answer)
    # A Scale has the metadata of the scaled object.
    return Write(answer.resource, answer.key, answer.uid, version, obj=answer if whole else None)


def deleted(resource: Resource, key: ObjectKey, answer: KubeObject) -> Write:
    """Return the write of a deletion: the response is the object, marked or in its last state, or a Status."""
    view = answer.view()
    if view["kind"] == "Status":
        return Write(resource, key, str(view.at("details.uid", "")), gone=True)
    version = version_number(answer.resource_version)
    if view.at("metadata.deletionTimestamp") and not _is_gone(view):
        return Write(resource, answer.key, answer.uid, version, obj=answer)
    return Write(resource, answer.key, answer.uid, after=version, gone=True, obj=answer)


def collected(obj: KubeObject) -> Write:
    """Return the write of one object of a deleted collection; the response has the state before the deletion."""
    version = version_number(obj.resource_version)
    # The response does not show whether the object is deleted or only marked; it has changed in any case.
    return Write(obj.resource, obj.key, obj.uid, after=version, gone=True, past=version, obj=obj)


def _is_gone(obj: Mapping[str, Any]) -> bool:
    """Return whether the server deletes the object at once (apiserver registry/store.go, ShouldDeleteDuringUpdate)."""
    metadata = obj["metadata"]
    return bool(
        metadata.get("deletionTimestamp")
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
    )
