"""The cache: objects by key, and by any index.

An index function takes an object and returns its index values. The indexer remembers the values of each object. So it
calls the function once per change, and removes an object that changes or goes from every value it had.

Readers never get the stored object itself: each read makes a new view (see `objects`). Reads are plain calls, no await.

Only the event loop writes. Other threads may read at the same time (web frameworks run plain `def` endpoints in
threads). So no read iterates over a dict that a write could change: it iterates over a copy, which the interpreter
makes in one step, and skips objects that were deleted since.
"""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING, Final

from kinformer._callables import check_function
from kinformer._heads import MovedPlaces
from kinformer._survivable import is_survivable
from kinformer.cache._index import Index, IndexFunction, NoValuesError, checked_values
from kinformer.cache.storage import StorageStatus
from kinformer.errors import IndexConflictError, IndexFunctionError, UnknownIndexError
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from kinformer.labels import LabelSelector
    from kinformer.objects import ObjectKey

__all__ = ["NAMESPACE_INDEX", "PLACES_KEPT_FROM", "IndexFunction", "Indexer"]

_log = logging.getLogger(__name__)

NAMESPACE_INDEX: Final = "namespace"
"""The index every cache has: by `metadata.namespace` (client-go index.go, NamespaceIndex)."""

PLACES_KEPT_FROM: Final = 4096
"""Objects of at least this many bytes of JSON are stored with the places of their sections. That takes 150 bytes per
object, and saves each reader the search for them. In a small object the search is fast."""

# A stored object has no decoded sections, so that a copy of it is a view. It is made in less time than by `view`.
_view_of: Final = KubeObject.__copy__


class Indexer:
    """Objects by key and by index.

    Args:
        indexers: index functions by name; more can be added at any time.
        on_error: called when an index function raised. The object is still in the cache and in the other indexes. It
            enters this index again with the first change for which the function works.
    """

    __slots__ = ("_by_namespace", "_indexes", "_json_bytes", "_objects", "_on_error", "freed_bytes")

    def __init__(
        self,
        indexers: Mapping[str, IndexFunction] | None = None,
        *,
        on_error: Callable[[IndexFunctionError], None] | None = None,
    ) -> None:
        self._objects: dict[ObjectKey, KubeObject] = {}
        self._by_namespace: dict[str, dict[ObjectKey, None]] = {}
        self._indexes: dict[str, Index] = {}
        self._json_bytes = 0
        self.freed_bytes = 0
        """Bytes of JSON deleted since free memory was last given back to the system."""
        self._on_error = on_error
        if indexers:
            self.add_indexers(indexers)

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: object) -> bool:
        return key in self._objects

    @property
    def index_names(self) -> tuple[str, ...]:
        """The names of all indexes."""
        return (NAMESPACE_INDEX, *self._indexes)

    @property
    def storage_status(self) -> StorageStatus:
        """The size of the cache, counted as objects come and go; readable from any thread."""
        size = self._json_bytes
        return StorageStatus(storage="plain", objects=len(self._objects), json_bytes=size, stored_bytes=size)

    def add_indexers(self, indexers: Mapping[str, IndexFunction]) -> None:
        """Add indexes; objects already in the cache are indexed at once.

        Raises:
            IndexConflictError: an index of that name exists; nothing was added (client-go thread_safe_store.go).
            TypeError: an index function cannot be called with one object; nothing was added.
        """
        self._begin(indexers)
        for name in indexers:
            self._finish(name)

    def _begin(self, indexers: Mapping[str, IndexFunction]) -> None:
        """Add indexes; `_index_some` indexes the objects that are in the cache already.

        Raises:
            IndexConflictError: an index of that name exists; nothing was added.
            TypeError: an index function cannot be called; nothing was added.
        """
        conflicts = sorted(set(indexers) & {NAMESPACE_INDEX, *self._indexes})
        if conflicts:
            msg = f"indexer conflict: {', '.join(conflicts)} exists already; nothing was added, choose another name"
            raise IndexConflictError(msg)
        for name, function in indexers.items():
            check_function(f"index {name!r}", function, "obj")
        for name, function in indexers.items():
            self._indexes[name] = Index(function, self._objects)

    def _index_some(self, name: str, count: int) -> bool:
        index = self._indexes[name]
        unindexed = index.unindexed
        keys = index.next_keys(count)
        for key in keys:
            stored = unindexed.get(key)
            if stored is not None:
                index.put(key, self._values(name, index, _view_of(stored)))
        if not unindexed:
            # An empty dict keeps the room of its objects: 5 MB for 100,000.
            index.unindexed = {}
        return bool(keys and unindexed)

    def _finish(self, name: str) -> None:
        while self._index_some(name, 1000):
            pass

    def put(self, key: ObjectKey, obj: KubeObject) -> KubeObject | None:
        """Store an object under its key, and return the object that it replaces.

        The index functions get `obj` itself, so the parts they decode are decoded for the handlers, too. The stored
        object is another view.
        """
        before = self._objects.get(key)
        stored = self._keep(obj, before)
        key = stored.key  # all dicts share one key per object, as long as the object exists
        self._objects[key] = stored
        if before is None:
            keys = self._by_namespace.get(key.namespace)
            if keys is None:
                self._by_namespace[key.namespace] = {key: None}
            else:
                keys[key] = None
        for name, index in self._indexes.items():
            index.put(key, self._values(name, index, obj))
        return before

    def add(self, obj: KubeObject) -> None:
        """Store an object; the same as `update`."""
        self.put(obj.key, obj)

    def update(self, obj: KubeObject) -> None:
        """Store an object, and replace the earlier object of its key."""
        self.put(obj.key, obj)

    def delete(self, key: ObjectKey) -> KubeObject | None:
        """Remove the object of a key, and return it; `None` if there is none."""
        before = self._objects.pop(key, None)
        if before is not None:
            keys = self._by_namespace[key.namespace]
            del keys[key]
            if not keys:
                del self._by_namespace[key.namespace]
            for index in self._indexes.values():
                index.remove(key)
            held = self._json_bytes
            self._dropped(before)
            self.freed_bytes += held - self._json_bytes
        return before

    def replace(self, objects: Iterable[KubeObject]) -> None:
        """Store these objects, and remove all others."""
        by_key = {obj.key: obj for obj in objects}
        for key in [key for key in self._objects if key not in by_key]:
            self.delete(key)
        for key, obj in by_key.items():
            self.put(key, obj)

    def get_by_key(self, key: ObjectKey) -> KubeObject | None:
        """Return the object of that key, or `None`."""
        stored = self._objects.get(key)
        return None if stored is None else _view_of(stored)

    def copy(self) -> dict[ObjectKey, KubeObject]:
        """Return all stored objects by key. Give users views of them, never the stored objects."""
        return dict(self._objects)

    def list_keys(self) -> Collection[ObjectKey]:
        """Return all keys as a live view: copy it to keep it over an await."""
        return self._objects.keys()

    def select(self, selector: LabelSelector, namespace: str = "") -> list[KubeObject]:
        """Return the objects whose labels match a selector. Only these cost a view."""
        objects = self._objects
        if namespace:
            found = [objects.get(key) for key in [*self._keys(NAMESPACE_INDEX, namespace)]]
            candidates = [stored for stored in found if stored is not None]
        else:
            candidates = [*objects.values()]
        return [*map(_view_of, self._matching(selector, candidates))]

    def chunks(self, selector: LabelSelector | None, namespace: str, size: int) -> Iterator[list[KubeObject]]:
        """Yield the objects of a namespace ("" for all) whose labels match, by the matches among `size` objects each.

        The cache may change meanwhile. Each object comes at most once, in its state at the beginning or in a later one.
        """
        objects = self._objects
        keys = [*self._keys(NAMESPACE_INDEX, namespace)] if namespace else []
        found: Iterator[KubeObject | None] = map(objects.get, keys) if namespace else iter([*objects.values()])
        while candidates := [*islice(found, size)]:
            present = [stored for stored in candidates if stored is not None]
            yield [*map(_view_of, present if selector is None else self._matching(selector, present))]

    def by_index(self, name: str, value: str) -> list[KubeObject]:
        """Return the objects that have a value in an index.

        Raises:
            UnknownIndexError: there is no index of that name.
        """
        objects = self._objects
        found = map(objects.get, [*self._keys(name, value)])
        return [_view_of(stored) for stored in found if stored is not None]

    def index_keys(self, name: str, value: str) -> list[ObjectKey]:
        """Return the keys of the objects that have a value in an index, sorted.

        Raises:
            UnknownIndexError: there is no index of that name.
        """
        return sorted(self._keys(name, value))

    def index_values(self, name: str) -> list[str]:
        """Return the values of an index that at least one object has.

        Raises:
            UnknownIndexError: there is no index of that name.
        """
        return [*(self._by_namespace if name == NAMESPACE_INDEX else self._index(name).keys_by_value)]

    def _keys(self, name: str, value: str) -> Collection[ObjectKey]:
        by_value = self._by_namespace if name == NAMESPACE_INDEX else self._index(name).keys_by_value
        return by_value.get(value, {})

    def _index(self, name: str) -> Index:
        index = self._indexes.get(name)
        if index is None:
            msg = f"there is no index {name!r}; add it with add_indexers(). There are: {', '.join(self.index_names)}"
            raise UnknownIndexError(msg)
        if index.unindexed:
            if not index.is_of_this_thread:
                return self._whole(index)
            self._finish(name)
        return index

    def _whole(self, index: Index) -> Index:
        """Return a copy of an index that has all objects. The index itself reports objects that cannot be indexed."""
        whole = Index(index.function)
        for key, stored in [*self._objects.items()]:
            try:
                values = checked_values(index.function(_view_of(stored)))
            except BaseException as cause:  # a user's function
                if not is_survivable(cause):
                    raise
                values = ()
            whole.put(key, values)
        return whole

    @staticmethod
    def _matching(selector: LabelSelector, stored: Sequence[KubeObject]) -> Sequence[KubeObject]:
        """Return those of some stored objects whose labels match."""
        return selector.filter(stored)

    def _keep(self, obj: KubeObject, before: KubeObject | None) -> KubeObject:
        """Return the form of an object to store; count it instead of `before`, its earlier state."""
        raw = obj.raw
        self._json_bytes += len(raw)
        places = obj.places if len(raw) >= PLACES_KEPT_FROM and type(obj.places) is not MovedPlaces else None
        if before is None:
            return KubeObject(raw, obj.metadata, obj.resource, obj.key, places)
        self._json_bytes -= len(before.raw)
        return KubeObject(raw, obj.metadata, obj.resource, before.key, places)

    def _dropped(self, stored: KubeObject) -> None:
        """Stop counting a stored object that was removed."""
        self._json_bytes -= len(stored.raw)

    def _values(self, name: str, index: Index, obj: KubeObject) -> tuple[str, ...]:
        """Return the index values of an object; if the function fails, report that and return none."""
        try:
            found = index.function(obj)
        except BaseException as cause:  # noqa: BLE001 - a user's function; nothing it raises may stop the cache
            self._index_failed(name, obj, cause)
            return ()
        if type(found) is list and len(found) == 1 and type(found[0]) is str:
            # Nearly always; the checks below take longer than all other work of the index.
            return index.alone.get(found[0]) or (found[0],)
        return self._checked(name, obj, found)

    def _checked(self, name: str, obj: KubeObject, found: object) -> tuple[str, ...]:
        """Return the values from an index function; if they are none, report that and return none."""
        try:
            return checked_values(found)
        except BaseException as cause:  # noqa: BLE001 - it may be a generator of the user's
            self._index_failed(name, obj, cause)
            return ()

    def _index_failed(self, name: str, obj: KubeObject, cause: BaseException) -> None:
        """Report that an index function failed for an object.

        Raises:
            BaseException: the cause, if nothing may go on after it.
        """
        if not is_survivable(cause):
            raise cause
        did = f"returned {cause}" if isinstance(cause, NoValuesError) else f"raised {type(cause).__name__}"
        error = IndexFunctionError(
            f"index function {name!r} {did}; left out of that index",
            key=str(obj.key),
            resource=obj.resource.full_name,
        )
        error.__cause__ = cause
        if self._on_error is None:
            return
        try:
            self._on_error(error)
        except BaseException as raised:
            if not is_survivable(raised):
                raise
            _log.error("on_error of an indexer raised; the object is stored all the same", exc_info=raised)

    # The last method, because below it the annotation list[...] would mean this method.
    def list(self) -> list[KubeObject]:
        """Return all objects, in the order in which they were first stored."""
        return [*map(_view_of, [*self._objects.values()])]
