"""The whole cache at one moment: what `SharedInformer.snapshot` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["CacheSnapshot"]


class CacheSnapshot(Mapping["ObjectKey", "KubeObject"]):
    """Objects by key, as they were in the cache at one moment; nothing that happens later changes it.

    It shares the objects' bytes with the cache, so it costs some 100 bytes per object, and keeps alive what it holds.
    Each read makes a new view, as reads of the cache do.

    Attributes:
        resource_version: everything up to this version is in it; single objects may be newer. "" before the first list.
    """

    __slots__ = ("_objects", "resource_version")

    def __init__(self, objects: dict[ObjectKey, KubeObject], resource_version: str) -> None:
        self._objects = objects
        self.resource_version = resource_version

    def __getitem__(self, key: ObjectKey) -> KubeObject:
        return self._objects[key].view()

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: object) -> bool:
        return key in self._objects

    def __repr__(self) -> str:
        return f"<CacheSnapshot objects={len(self)} resource_version={self.resource_version}>"
