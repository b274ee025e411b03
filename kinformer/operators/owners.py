"""The owners of an object: `metadata.ownerReferences`.

When the last owner goes, the garbage collector of Kubernetes deletes the owned object. One of the owners may be the
controller: the one that `Controller.owns` finds, and that alone manages the object.

    manifest = owned_by({"metadata": {"name": "web"}, "spec": ...}, shop)
    await client.create(DEPLOYMENTS, manifest, namespace=shop.namespace)

The rules are those of the garbage collector and of controller-runtime (pkg/controller/controllerutil).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kinformer._heads import owner_of
from kinformer.errors import AlreadyOwnedError
from kinformer.objects import KubeObject, OwnerReference
from kinformer.operators._class_objects import as_mapping

if TYPE_CHECKING:
    from kinformer.custom_resources.definition import CustomResource

__all__ = [
    "AlreadyOwnedError",
    "OwnerReference",
    "controller_of",
    "disowned_by",
    "is_owned_by",
    "owned_by",
    "owners_of",
]


def owners_of(obj: Mapping[str, Any]) -> list[OwnerReference]:
    """Return the owners of an object or manifest, in their order."""
    if isinstance(obj, KubeObject):
        return [*obj.owner_references]
    return [owner_of(entry) for entry in _metadata(obj).get("ownerReferences") or ()]


def controller_of(obj: Mapping[str, Any]) -> OwnerReference | None:
    """Return the owner that manages the object, if there is one."""
    return next((owner for owner in owners_of(obj) if owner.controller), None)


def is_owned_by(obj: Mapping[str, Any], owner: Mapping[str, Any] | CustomResource, *, controller: bool = False) -> bool:
    """Return whether this very object (by UID, not by name) is an owner.

    Args:
        obj: an object or manifest.
        owner: an object as the server has it, or one of a class with `custom_resource`.
        controller: whether it must be the one that manages the object.
    """
    uid = owner.uid if isinstance(owner, KubeObject) else _metadata(as_mapping(owner)).get("uid")
    return any(found.uid == uid and (found.controller or not controller) for found in owners_of(obj))


def owned_by(
    manifest: Mapping[str, Any],
    owner: Mapping[str, Any] | CustomResource,
    *,
    controller: bool = True,
    block_owner_deletion: bool = True,
) -> dict[str, Any]:
    """Return a copy of a manifest with an owner. It replaces an existing entry of the owner, also if recreated since.

    Args:
        manifest: the object that is to be owned. If it names no namespace, it is taken to be in the owner's.
        owner: the owner, as the server has it: with a UID, `apiVersion` and `kind`; or an object of a class with
            `custom_resource`.
        controller: whether it is to be the one that manages the object.
        block_owner_deletion: whether the owner, when deleted in the foreground, waits until this object is gone. On
            clusters that check it (the admission plugin OwnerReferencesPermissionEnforcement), that needs the right to
            update the owner's finalizers.

    Raises:
        AlreadyOwnedError: it is to be the controller, and there is another one.
        ValueError: the owner has no UID, `apiVersion` or `kind`, or lies in another namespace; the garbage collector
            would take such an owner for absent, and delete the object.

    Examples:
        >>> pod = pods.lister.get("web-0", namespace="default")
        >>> settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web-0", "namespace": "default"}}
        >>> owned_by(settings, pod)["metadata"]["ownerReferences"][0]["name"]
        'web-0'
    """
    made = manifest.to_dict() if isinstance(manifest, KubeObject) else dict(manifest)
    head = dict(_metadata(made))
    owner = as_mapping(owner)
    reference = _reference(owner, controller=controller, block_owner_deletion=block_owner_deletion)
    what = f"{made.get('kind') or 'the object'} {head.get('name') or head.get('generateName') or ''}".rstrip()
    namespace = _metadata(owner).get("namespace")
    if namespace and (head.get("namespace") or namespace) != namespace:
        msg = (
            f"{what} in namespace {head['namespace']!r} cannot be owned by {reference.kind} {reference.name} in "
            f"namespace {namespace!r}: an owner lies in the same namespace, or in none"
        )
        raise ValueError(msg)
    others = []
    for entry, found in zip(head.get("ownerReferences") or (), owners_of(made), strict=True):
        if _same(found, reference):
            continue
        if controller and found.controller:
            raise AlreadyOwnedError(what, found)
        others.append(entry)
    head["ownerReferences"] = [*others, reference.to_dict()]
    return {**made, "metadata": head}


def disowned_by(manifest: Mapping[str, Any], owner: Mapping[str, Any] | CustomResource) -> dict[str, Any]:
    """Return a copy of a manifest without this owner (by UID). Without owners, an object outlives them."""
    made = manifest.to_dict() if isinstance(manifest, KubeObject) else dict(manifest)
    head = dict(_metadata(made))
    uid = _metadata(as_mapping(owner)).get("uid")
    kept = [entry for entry in head.pop("ownerReferences", None) or () if entry.get("uid") != uid]
    # An empty list and not no list: in a merge patch the latter would change nothing.
    return {**made, "metadata": {**head, "ownerReferences": kept}}


def _reference(owner: Mapping[str, Any], *, controller: bool, block_owner_deletion: bool) -> OwnerReference:
    head = _metadata(owner)
    parts = {
        "apiVersion": owner.get("apiVersion"),
        "kind": owner.get("kind"),
        "metadata.name": head.get("name"),
        "metadata.uid": head.get("uid"),
    }
    missing = [path for path, value in parts.items() if not value]
    if missing:
        msg = f"an owner needs {', '.join(missing)}: take it as the server has it, not the manifest it was made of"
        raise ValueError(msg)
    return OwnerReference(
        api_version=str(parts["apiVersion"]),
        kind=str(parts["kind"]),
        name=str(parts["metadata.name"]),
        uid=str(parts["metadata.uid"]),
        controller=controller,
        block_owner_deletion=block_owner_deletion,
    )


def _same(one: OwnerReference, other: OwnerReference) -> bool:
    return (one.group, one.kind, one.name) == (other.group, other.kind, other.name)


def _metadata(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}
