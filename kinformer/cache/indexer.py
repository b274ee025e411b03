"""The cache: objects by key, and by any index.

An index is a function from an object to the values it is found under. The values are remembered per object, so that a
function is called once per change, and an object that is replaced leaves every place it was found in.

What is stored is never handed out: each read makes a new view (see `objects`). Reads are plain calls, no await.

Only the event loop writes; other threads may read meanwhile (a web framework runs plain `def` endpoints in some). So no
read walks over a dict that a write could change under it: it walks over a copy, which the interpreter makes in one go,
and passes over what has gone since.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from kinformer._survivable import is_survivable
from kinformer.cache.storage import StorageStatus
from kinformer.errors import IndexConflictError, IndexFunctionError, UnknownIndexError
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from kinformer.labels import LabelSelector
    from kinformer.objects import ObjectKey

__all__ = ["NAMESPACE_INDEX", "IndexFunction", "Indexer"]

IndexFunction: TypeAlias = Callable[["KubeObject"], Iterable[str]]
"""From an object to the values it is found under; none leaves it out of the index."""

NAMESPACE_INDEX: Final = "namespace"
"""The index every cache has: by `metadata.namespace` (client-go index.go, NamespaceIndex)."""

_PLACES_KEPT_FROM: Final = 4096
"""Bytes of JSON from which on an object is stored with the places of its sections: 150 bytes, which save each reader of
the cache the search for them. In a small object they are soon found."""


class _Index:
    """One index: value → the keys found under it; a value with no keys is forgotten."""

    __slots__ = ("alone", "function", "keys_by_value", "values_by_key")

    def __init__(self, function: IndexFunction) -> None:
        self.function = function
        self.keys_by_value: dict[str, dict[ObjectKey, None]] = {}
        self.values_by_key: dict[ObjectKey, tuple[str, ...]] = {}
        # Most objects have one value, and most values many objects: one tuple, and one string, for all of them.
        self.alone: dict[str, tuple[str, ...]] = {}

    def put(self, key: ObjectKey, values: tuple[str, ...]) -> None:
        before = self.values_by_key.get(key)
        if before == values:
            return
        if before:
            self.remove(key)
        if not values:
            return
        if len(values) == 1:
            values = self.alone.setdefault(values[0], values)
        self.values_by_key[key] = values
        for value in values:
            keys = self.keys_by_value.get(value)
            if keys is None:
                self.keys_by_value[value] = {key: None}
            else:
                keys[key] = None

    def remove(self, key: ObjectKey) -> None:
        for value in self.values_by_key.pop(key, ()):
            keys = self.keys_by_value[value]
            del keys[key]
            if not keys:
                del self.keys_by_value[value]
                self.alone.pop(value, None)


def _checked(found: object) -> tuple[str, ...]:
    """What an index function returned, each value once."""
    if isinstance(found, str):
        # It would be taken apart into its letters, each a value of its own.
        raise TypeError("an index function must return a list of strings, not a string")
    values = tuple(dict.fromkeys(found))  # type: ignore[call-overload]  # what cannot be iterated raises here, as it should
    for value in values:
        if type(value) is not str:
            msg = f"an index function must return strings, not {type(value).__name__}"
            raise TypeError(msg)
    return values


class Indexer:
    """Objects by key and by index.

    Args:
        indexers: index functions by name; more can be added at any time.
        on_error: told of an index function that raised. The object is in the cache all the same, and in the other
            indexes; it is back in this one with the first change for which the function works.
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
        self._indexes: dict[str, _Index] = {}
        self._json_bytes = 0
        self.freed_bytes = 0
        """How much JSON has been deleted since the last time that free memory was given back to the system."""
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
        """What is held, kept count of as it comes and goes; may be asked from any thread."""
        size = self._json_bytes
        return StorageStatus(storage="plain", objects=len(self._objects), json_bytes=size, stored_bytes=size)

    def add_indexers(self, indexers: Mapping[str, IndexFunction]) -> None:
        """Add indexes; objects already in the cache are indexed at once.

        Raises:
            IndexConflictError: an index of that name exists; nothing was added (client-go thread_safe_store.go).
            TypeError: an index function cannot be called; nothing was added.
        """
        conflicts = sorted(set(indexers) & {NAMESPACE_INDEX, *self._indexes})
        if conflicts:
            msg = f"indexer conflict: {', '.join(conflicts)} exists already; nothing was added, choose another name"
            raise IndexConflictError(msg)
        for name, function in indexers.items():
            if not callable(function):
                msg = f"index {name!r} needs a function from an object to its values, not {type(function).__name__}"
                raise TypeError(msg)
        for name, function in indexers.items():
            index = self._indexes[name] = _Index(function)
            for key, stored in self._objects.items():
                index.put(key, self._values(name, index, stored.view()))

    def put(self, key: ObjectKey, obj: KubeObject) -> KubeObject | None:
        """Store an object under its key, and return the one it takes the place of.

        The index functions are given `obj` itself, so what they decode of it is there for the handlers too; what is
        stored is another view.
        """
        before = self._objects.get(key)
        stored = self._keep(obj, before)
        key = stored.key  # one and the same in all places, as long as there is such an object
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
        """Store an object in place of what has its key."""
        self.put(obj.key, obj)

    def delete(self, key: ObjectKey) -> KubeObject | None:
        """Forget a key, and return what was stored under it."""
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
        """Store these objects, and forget all others."""
        by_key = {obj.key: obj for obj in objects}
        for key in [key for key in self._objects if key not in by_key]:
            self.delete(key)
        for key, obj in by_key.items():
            self.put(key, obj)

    def get_by_key(self, key: ObjectKey) -> KubeObject | None:
        """The object of that key, or `None`."""
        stored = self._objects.get(key)
        return None if stored is None else stored.view()

    def copy(self) -> dict[ObjectKey, KubeObject]:
        """All objects by key, as they are stored: to be handed out as views only."""
        return dict(self._objects)

    def list_keys(self) -> Collection[ObjectKey]:
        """All keys, as a live view: copy it to keep it over an await."""
        return self._objects.keys()

    def select(self, selector: LabelSelector, namespace: str = "") -> list[KubeObject]:
        """The objects whose labels a selector selects; of those it does not, no view is made."""
        objects = self._objects
        if namespace:
            found = [objects.get(key) for key in [*self._keys(NAMESPACE_INDEX, namespace)]]
            candidates = [stored for stored in found if stored is not None]
        else:
            candidates = [*objects.values()]
        return [stored.view() for stored in selector.filter(candidates)]

    def by_index(self, name: str, value: str) -> list[KubeObject]:
        """The objects found under a value of an index.

        Raises:
            UnknownIndexError: there is no index of that name.
        """
        objects = self._objects
        found = [objects.get(key) for key in [*self._keys(name, value)]]
        return [stored.view() for stored in found if stored is not None]

    def index_keys(self, name: str, value: str) -> list[ObjectKey]:
        """The keys found under a value of an index, sorted.

        Raises:
            UnknownIndexError: there is no index of that name.
        """
        return sorted(self._keys(name, value))

    def index_values(self, name: str) -> list[str]:
        """The values of an index under which there is at least one object.

        Raises:
            UnknownIndexError: there is no index of that name.
        """
        return [*(self._by_namespace if name == NAMESPACE_INDEX else self._index(name).keys_by_value)]

    def _keys(self, name: str, value: str) -> Collection[ObjectKey]:
        by_value = self._by_namespace if name == NAMESPACE_INDEX else self._index(name).keys_by_value
        return by_value.get(value, {})

    def _index(self, name: str) -> _Index:
        index = self._indexes.get(name)
        if index is None:
            msg = f"there is no index {name!r}; add it with add_indexers(). There are: {', '.join(self.index_names)}"
            raise UnknownIndexError(msg)
        return index

    def _keep(self, obj: KubeObject, before: KubeObject | None) -> KubeObject:
        """What is stored of an object, in place of an earlier state of it."""
        raw = obj.raw
        self._json_bytes += len(raw)
        places = obj.places if len(raw) >= _PLACES_KEPT_FROM else None
        if before is None:
            return KubeObject(raw, obj.metadata, obj.resource, obj.key, places)
        self._json_bytes -= len(before.raw)
        return KubeObject(raw, obj.metadata, obj.resource, before.key, places)

    def _dropped(self, stored: KubeObject) -> None:
        """It is not stored any more, and nothing is in its place."""
        self._json_bytes -= len(stored.raw)

    def _values(self, name: str, index: _Index, obj: KubeObject) -> tuple[str, ...]:
        """What the index function says of an object; nothing, and a report, when it fails."""
        try:
            found = index.function(obj)
            if type(found) is list and len(found) == 1 and type(found[0]) is str:
                # As nearly always.
                return index.alone.get(found[0]) or (found[0],)
            return _checked(found)
        except BaseException as cause:  # a user's function; nothing it raises may stop the cache
            if not is_survivable(cause):
                raise
            error = IndexFunctionError(
                f"index function {name!r} raised {type(cause).__name__}; left out of that index",
                key=str(obj.key),
                resource=obj.resource.full_name,
            )
            error.__cause__ = cause
            if self._on_error is not None:
                self._on_error(error)
            return ()

    # Last, because below it the annotation list[...] would mean this method.
    def list(self) -> list[KubeObject]:
        """All objects, in the order they came."""
        return [stored.view() for stored in [*self._objects.values()]]
