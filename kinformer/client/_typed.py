"""The class of the objects of a verb: its objects as manifests, and answers as its objects."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from kinformer._object_classes import decoder_of, is_pydantic, reason_of
from kinformer.errors import DecodeError
from kinformer.objects import KubeObject, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["as_manifest", "typed", "typed_as"]

T = TypeVar("T")


@functools.lru_cache(maxsize=256)
def _decoder(into: Any) -> Callable[[bytes], Any]:
    """Make the decoder of a class, once: that takes longer than decoding an object."""
    return decoder_of(into)


def typed(obj: KubeObject, into: type[T]) -> T:
    """Return an object as one of a class.

    Raises:
        DecodeError: it does not fit; the message names the field, never a value.
    """
    kind: Any = into
    try:
        decoded: T = _decoder(kind)(obj.to_decodable())
    except ValueError as cause:
        msg = f"does not fit {into.__name__}: {reason_of(cause)}"
        # pydantic's own message quotes the input.
        hidden = None if is_pydantic(into) else cause
        raise DecodeError(msg, key=str(obj.key), resource=obj.resource.full_name) from hidden
    return decoded


def typed_as(kind: object, obj: KubeObject) -> Any:
    """Return an object as one of the class that a verb was given; as it is if the verb was given no class."""
    return typed(obj, kind) if isinstance(kind, type) else obj


def as_manifest(obj: Any) -> Any:
    """Return the manifest of an object of a decorated class; anything else as it is."""
    if isinstance(obj, str | dict | KubeObject | ObjectKey):
        return obj
    # Imported here, because most programs have no such class.
    from kinformer.custom_resources.definition import is_custom_resource, manifest_of

    return manifest_of(obj) if is_custom_resource(type(obj)) else obj
