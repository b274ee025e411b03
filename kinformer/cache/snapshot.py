"""The whole cache at one moment: the result of `SharedInformer.snapshot`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["CacheSnapshot"]


class CacheSnapshot(Mapping["ObjectKey", "KubeObject"]):
    """The objects of a cache at one moment, by key; later changes of the cache do not affect it.

    It shares the objects' bytes with the cache. So it takes about 100 bytes per object, and its objects stay in memory
    as long as the snapshot does. Each read makes a new view, as reads of the cache do.

    Attributes:
        resource_version: the snapshot contains everything up to this version; single objects may be newer. "" before
            the first list.
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
