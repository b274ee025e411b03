"""Objects of decorated classes, where the functions of this package take an object.

shop = shops.lister.get(key)                     # a Shop, or a KubeObject
await finalizer.reconcile(shop, apply, clean_up) # calls apply with a Shop, or with a KubeObject
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from kinformer._object_classes import decoder_of, is_pydantic, reason_of
from kinformer.errors import DecodeError
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from kinformer.custom_resources.definition import CustomResource

__all__ = ["Obj", "as_class_of", "as_mapping", "as_object", "check_keeps_conditions"]

Obj = TypeVar("Obj", bound="KubeObject | CustomResource")
"""A KubeObject, or an object of a class with `custom_resource`."""


def as_object(obj: KubeObject | CustomResource) -> KubeObject:
    """Return an object of a decorated class as a KubeObject; a KubeObject as it is.

    Raises:
        TypeError: it is neither; or its class does not keep the metadata of an object, so that a write could lose
            finalizers or a version.
    """
    if isinstance(obj, KubeObject):
        return obj
    manifest = as_mapping(obj)
    if isinstance(obj, Mapping):
        msg = f"expected an object as the cache or the server has it, not a manifest ({type(obj).__name__})"
        raise TypeError(msg)
    _check_metadata(obj)
    return KubeObject.from_dict(manifest, obj.resource)


def as_mapping(obj: Mapping[str, Any] | CustomResource) -> Mapping[str, Any]:
    """Return an object of a decorated class as a manifest; a KubeObject or a manifest as it is.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(obj, Mapping):
        return obj
    # Imported here, because many programs have no such class.
    from kinformer.custom_resources.definition import manifest_of

    return manifest_of(obj)


def as_class_of(obj: Obj, found: KubeObject) -> Obj:
    """Return an object in the form of another one: as an object of its class, or as a KubeObject.

    Raises:
        DecodeError: the object does not fit the class.
    """
    if isinstance(obj, KubeObject):
        return cast("Obj", found)
    kind = type(obj)
    try:
        return decoder_of(kind)(found.to_decodable())
    except ValueError as cause:
        msg = f"does not fit {kind.__name__}: {reason_of(cause)}"
        # pydantic's own message quotes the input.
        hidden = None if is_pydantic(kind) else cause
        raise DecodeError(msg, key=str(found.key), resource=found.resource.full_name) from hidden


def check_keeps_conditions(obj: object) -> None:
    """Refuse an object whose class has no `status.conditions`: the conditions that the server has would be lost.

    Raises:
        TypeError: the class has no such field.
    """
    if isinstance(obj, KubeObject):
        return
    from kinformer.custom_resources.definition import version_of

    status = version_of(type(obj))["schema"]["openAPIV3Schema"]["properties"].get("status", {})
    if "conditions" not in status.get("properties", {}):
        name = type(obj).__name__
        msg = f"the status of {name} has no conditions; give its class the field `conditions: Conditions = []`"
        raise TypeError(msg)


def _check_metadata(obj: Any) -> None:
    from kinformer.custom_resources.metadata import ObjectMeta

    if not isinstance(getattr(obj, "metadata", None), ObjectMeta | Mapping):
        msg = f"{type(obj).__name__} has no metadata of its objects; give it the field `metadata: ObjectMeta`"
        raise TypeError(msg)
