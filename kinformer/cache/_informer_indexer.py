"""The cache of an informer: an `Indexer` that also gives the informer the stored objects themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from kinformer._heads import MovedPlaces
from kinformer.cache.indexer import PLACES_KEPT_FROM, Indexer
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kinformer.cache._index import Index
    from kinformer.cache.indexer import IndexFunction
    from kinformer.errors import IndexFunctionError
    from kinformer.objects import ObjectKey

__all__ = ["HasVersion", "InformerIndexer"]


class HasVersion(Protocol):
    """Anything that says which state of which object it is."""

    uid: str
    resource_version: str


class InformerIndexer(Indexer):
    """An `Indexer` with the methods that only its informer needs."""

    __slots__ = ("_parts_of_indexes", "stored_objects")

    _keeps_plain: ClassVar[bool] = True
    """Whether objects are stored as `Indexer` stores them."""

    def __init__(
        self,
        indexers: Mapping[str, IndexFunction] | None = None,
        *,
        on_error: Callable[[IndexFunctionError], None] | None = None,
    ) -> None:
        super().__init__(indexers, on_error=on_error)
        self.stored_objects: Mapping[ObjectKey, KubeObject] = self._objects
        """All stored objects themselves, as a live view."""
        self._parts_of_indexes: tuple[
            tuple[str, Index, IndexFunction, dict[str, tuple[str, ...]], dict[ObjectKey, tuple[str, ...]]], ...
        ] = ()

    def begin_indexers(self, indexers: Mapping[str, IndexFunction]) -> None:
        """Add indexes; `index_some` indexes the objects that are in the cache already.

        A read of such an index indexes all that is left first, so that no read is incomplete. In another thread, which
        may not write, the read makes an index of its own.

        Raises:
            IndexConflictError: an index of that name exists; nothing was added.
            TypeError: an index function cannot be called; nothing was added.
        """
        self._begin(indexers)

    def index_some(self, name: str, count: int) -> bool:
        """Index at most `count` objects that were in the cache before an index; return whether more are left."""
        return self._index_some(name, count)

    def stored(self, key: ObjectKey) -> KubeObject | None:
        """Return the stored object itself. Users never get it, only views of it."""
        return self._objects.get(key)

    def version_in(self, stored: KubeObject) -> HasVersion:
        """Return the part of a stored object that has its uid and resource version."""
        return stored.metadata

    def put_next(self, befores: Sequence[KubeObject], objects: Sequence[KubeObject]) -> None:
        """Store the next states of some objects, with the same result as `put` for each.

        Args:
            befores: the stored states that they replace, of different keys.
            objects: the next states, in the same order.
        """
        # This runs for each event of each watch: hence the local names, and no call that is not needed. Nothing that
        # `stored` has found is looked for again.
        by_key, keep, indexes = self._objects, self._keep, self._parts_of_indexes
        if len(indexes) != len(self._indexes):
            # Indexes are added, and never replaced.
            indexes = self._parts_of_indexes = tuple(
                (name, index, index.function, index.alone, index.values_by_key) for name, index in self._indexes.items()
            )
        plain = self._keeps_plain
        size = 0
        for before, obj in zip(befores, objects, strict=True):
            key = before.key
            if plain:
                # As `_keep` does.
                raw = obj.raw
                added = len(raw)
                size += added - len(before.raw)
                places = obj.places if added >= PLACES_KEPT_FROM else None
                if type(places) is MovedPlaces:
                    places = None
                by_key[key] = KubeObject(raw, obj.metadata, obj.resource, key, places)
            else:
                by_key[key] = keep(obj, before)
            for name, index, function, alone, values_by_key in indexes:
                try:
                    found = function(obj)
                except BaseException as cause:  # noqa: BLE001 - a user's function; nothing it raises may stop the cache
                    self._index_failed(name, obj, cause)
                    index.put(key, ())
                    continue
                if type(found) is list and len(found) == 1 and type(found[0]) is str:
                    # Nearly always, and most changes leave the value as it is.
                    values = alone.get(found[0])
                    if values is None:
                        index.put(key, (found[0],))
                    elif values_by_key.get(key) is not values:
                        index.put(key, values)
                else:
                    index.put(key, self._checked(name, obj, found))
        self._json_bytes += size

    def version_of(self, key: ObjectKey) -> tuple[str, str] | None:
        """Return uid and resource version of the object of a key, without making a view of it."""
        stored = self._objects.get(key)
        return None if stored is None else (stored.uid, stored.resource_version)

    def known_as(self, obj: KubeObject) -> KubeObject | None:
        """Return the cached object if it is in the same state as `obj`: same uid and same resource version."""
        stored = self._objects.get(obj.key)
        if stored is None:
            return None
        new = obj.metadata
        old = stored.metadata if type(stored) is KubeObject else self.version_in(stored)
        version = new.resource_version
        same = version and version == old.resource_version and new.uid == old.uid
        return stored.view() if same else None
