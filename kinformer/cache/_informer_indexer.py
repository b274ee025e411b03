"""The cache of an informer: an `Indexer` that also gives the informer the stored objects themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer.cache.indexer import Indexer

if TYPE_CHECKING:
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["InformerIndexer"]


class InformerIndexer(Indexer):
    """An `Indexer` with the methods that only its informer needs."""

    __slots__ = ()

    def stored(self, key: ObjectKey) -> KubeObject | None:
        """Return the stored object itself. Users never get it, only views of it."""
        return self._objects.get(key)

    def put_next(self, before: KubeObject, obj: KubeObject) -> None:
        """Store the next state of an object in place of `before`, the stored state, with the same result as `put`.

        This runs for each event of each watch. Nothing that `stored` has found is looked for again.
        """
        stored = self._keep(obj, before)
        key = stored.key  # that of `before`
        self._objects[key] = stored
        for name, index in self._indexes.items():
            values = self._values(name, index, obj)
            if index.values_by_key.get(key) is not values:
                index.put(key, values)

    def version_of(self, key: ObjectKey) -> tuple[str, str] | None:
        """Return uid and resource version of the object of a key, without making a view of it."""
        stored = self._objects.get(key)
        return None if stored is None else (stored.metadata.uid, stored.metadata.resource_version)

    def known_as(self, obj: KubeObject) -> KubeObject | None:
        """Return the cached object if it is in the same state as `obj`: same uid and same resource version."""
        stored = self._objects.get(obj.key)
        if stored is None or not stored.metadata.resource_version:
            return None
        known, other = stored.metadata, obj.metadata
        same = known.resource_version == other.resource_version and known.uid == other.uid
        return stored.view() if same else None
