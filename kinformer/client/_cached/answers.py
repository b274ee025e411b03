"""Answers that name their origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from kinformer.cache._compact.packed_object import PackedObject
from kinformer.client._decoding.lists import ObjectList
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.cache._compact.dictionary import Dictionary
    from kinformer.errors import ObjectError
    from kinformer.objects import Metadata, ObjectKey
    from kinformer.resources import Resource

__all__ = ["SERVER", "AnsweredList", "AnsweredObject", "Origin", "answered"]


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The origin of an answer. As text: "cache at version 4711", or "server".

    Attributes:
        source: "cache" or "server".
        informer: the name of the informer whose cache answered; "" for the server.
        resource_version: the version up to which everything was in the cache; "" for the server.
    """

    source: Literal["cache", "server"]
    informer: str = ""
    resource_version: str = ""

    def __str__(self) -> str:
        return "server" if self.source == "server" else f"cache at version {self.resource_version or '?'}"


SERVER = Origin("server")
"""The origin of everything that no cache answered."""


class AnsweredObject(PackedObject, eq=False, gc=False):
    """An object, and the origin of the answer. Otherwise it is like every `KubeObject`.

    Attributes:
        origin: the cache or the server.
    """

    # A PackedObject, because that has a place both for JSON and for the compressed form of a compact cache.
    origin: Origin = SERVER

    if TYPE_CHECKING:

        def __init__(
            self,
            raw: bytes,
            metadata: bytes | Metadata,
            resource: Resource,
            key: ObjectKey,
            places: Any,
            _sections: dict[str, Any] | None,
            _source: Dictionary | bytes | None,
            origin: Origin,
        ) -> None: ...


def answered(obj: KubeObject, origin: Origin) -> AnsweredObject:
    """Return an object with the origin of the answer; nothing is decompressed for it."""
    if isinstance(obj, PackedObject):
        return AnsweredObject(*obj.packed, obj.resource, obj.key, obj.places, None, obj._source, origin)
    return AnsweredObject(b"", obj.metadata, obj.resource, obj.key, obj.places, None, obj.raw, origin)


class AnsweredList(ObjectList[KubeObject]):
    """A list of objects, and the origin of the answer.

    Attributes:
        origin: the cache or the server. In a list of a cache, everything up to `resource_version` is there; single
            objects may be newer.
    """

    __slots__ = ("origin",)

    def __init__(
        self,
        items: Sequence[KubeObject],
        resource_version: str,
        failures: Sequence[ObjectError] = (),
        *,
        origin: Origin = SERVER,
    ) -> None:
        super().__init__(items, resource_version, failures)
        self.origin = origin
