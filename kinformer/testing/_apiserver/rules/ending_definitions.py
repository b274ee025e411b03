"""The end of a CustomResourceDefinition, which waits for its objects (apiextensions-apiserver, crd_finalizer.go)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["begin_to_end", "is_ending", "refuse_new_object", "without_cleanup"]

_CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
_TERMINATING: Final = "Terminating"


def is_ending(definition: dict[str, Any]) -> bool:
    """Report whether a deleted definition waits for the end of its objects."""
    metadata = definition["metadata"]
    return bool(metadata.get("deletionTimestamp")) and _CLEANUP in (metadata.get("finalizers") or ())


def begin_to_end(definition: dict[str, Any], now: str) -> dict[str, Any]:
    """Return a definition that is deleted, and waits for its objects."""
    metadata = definition["metadata"]
    finalizers = [*(name for name in metadata.get("finalizers") or () if name != _CLEANUP), _CLEANUP]
    marked = definition | {"metadata": metadata | {"deletionTimestamp": now, "finalizers": finalizers}}
    return _with_condition(marked, now, "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")


def without_cleanup(definition: dict[str, Any], now: str) -> dict[str, Any]:
    """Return an ending definition that has no objects any more; finalizers of others stay."""
    metadata = {name: value for name, value in definition["metadata"].items() if name != "finalizers"}
    if left := [name for name in definition["metadata"]["finalizers"] if name != _CLEANUP]:
        metadata["finalizers"] = left
    emptied = definition | {"metadata": metadata}
    return _with_condition(emptied, now, "False", "InstanceDeletionCompleted", "removed all instances")


def refuse_new_object(kind: ResourceType, name: str) -> None:
    """Refuse an object of a definition that is ending.

    Raises:
        Refusal: 403.
    """
    why = "create not allowed while custom resource definition is terminating"
    message = f'{status.qualified(kind)} "{name}" is forbidden: {why}'
    raise status.Refusal(403, message, "Forbidden", status.details_of(kind, name))


def _with_condition(definition: dict[str, Any], now: str, value: str, reason: str, message: str) -> dict[str, Any]:
    before = definition["status"].get("conditions") or []
    others = [one for one in before if one["type"] != _TERMINATING]
    made = {"type": _TERMINATING, "status": value, "lastTransitionTime": now, "reason": reason, "message": message}
    return definition | {"status": definition["status"] | {"conditions": [*others, made]}}
