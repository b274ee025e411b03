"""Objects, one revision for all of them, and the history of changes, as etcd has them.

Pure and synchronous. A manifest that is stored is never changed: a write stores a new one, with its JSON beside it, so
that lists and watches of many clients send bytes that were made once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Change", "Key", "Storage", "Store", "Stored", "encode", "in_order"]

Storage: TypeAlias = tuple[str, str]
"""Group and plural: all versions of a resource are stored together."""

Key: TypeAlias = tuple[str, str]
"""Namespace ("" for a cluster-scoped object) and name."""


class Stored(NamedTuple):
    """An object as it is stored.

    Attributes:
        manifest: the whole object, `kind` and `apiVersion` included; never changed.
        raw: its JSON; of a built-in resource without `kind` and `apiVersion`, as lists send it.
        revision: when it was written.
    """

    manifest: dict[str, Any]
    raw: bytes
    revision: int


class Change(NamedTuple):
    """One write.

    Attributes:
        revision: of the write; each write has the next one.
        kind: "ADDED", "MODIFIED" or "DELETED".
        new: the object after the write; for a deletion its last state, at the revision of the deletion.
        old: the object before the write.
    """

    revision: int
    kind: str
    storage: Storage
    key: Key
    new: Stored
    old: Stored | None


_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def encode(manifest: dict[str, Any], *, custom: bool) -> bytes:
    """The JSON that is stored: custom resources sort their fields, built-in ones have kind and version put in front."""
    if custom:
        return _encode_sorted(manifest)
    return _encode({name: value for name, value in manifest.items() if name not in {"kind", "apiVersion"}})


def in_order(objects: dict[Key, Stored]) -> list[tuple[Key, Stored]]:
    """As etcd orders whole keys: namespace "web-1" comes before "web", because "-" comes before "/"."""
    return sorted(objects.items(), key=lambda item: "/".join(item[0]))


class Store:
    """Objects by resource and key, and what happened to them.

    Args:
        history: the number of changes that are kept; a watch cannot start before them.
        first_revision: where the count begins, so that versions look like those of a cluster that has lived.
    """

    def __init__(self, *, history: int, first_revision: int = 1) -> None:
        if history < 1:
            msg = f"history={history}: at least one change must be kept"
            raise ValueError(msg)
        self.revision = first_revision
        self.compacted = first_revision
        """Changes up to this revision are forgotten."""
        self.watchable_from = first_revision
        """Watches from before this revision are refused, whether or not the changes are still known."""
        self._limit = history
        self._objects: dict[Storage, dict[Key, Stored]] = {}
        self._history: list[Change] = []
        self._listeners: dict[Storage, set[Callable[[Change], None]]] = {}

    def get(self, storage: Storage, key: Key) -> Stored | None:
        """One object."""
        return self._objects.get(storage, {}).get(key)

    def listed(self, storage: Storage) -> list[tuple[Key, Stored]]:
        """All objects of a resource, as they are now, in the order in which they are listed."""
        return in_order(self.all(storage))

    def all(self, storage: Storage) -> dict[Key, Stored]:
        """All objects of a resource, as they are now; not to be changed."""
        return self._objects.get(storage, {})

    def storages(self) -> list[Storage]:
        """All resources of which there are or were objects."""
        return [*self._objects]

    def at(self, storage: Storage, revision: int) -> dict[Key, Stored]:
        """All objects of a resource as they were at a revision, which must not be compacted."""
        objects = dict(self.all(storage))
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            if change.storage != storage:
                continue
            if change.old is None:
                objects.pop(change.key, None)
            else:
                objects[change.key] = change.old
        return objects

    def since(self, storage: Storage, revision: int) -> list[Change]:
        """The changes of a resource after a revision, which must not be compacted."""
        start = max(revision - self.compacted, 0)
        return [change for change in self._history[start:] if change.storage == storage]

    def put(self, storage: Storage, key: Key, manifest: dict[str, Any], *, custom: bool) -> Stored:
        """Create or change an object; the store sets its `metadata.resourceVersion`, in place."""
        old = self.get(storage, key)
        return self._write("MODIFIED" if old else "ADDED", storage, key, manifest, old, custom=custom)

    def remove(self, storage: Storage, key: Key, manifest: dict[str, Any], *, custom: bool) -> Stored:
        """Delete an object, whose last state the manifest is; its version is set to that of the deletion, in place."""
        return self._write("DELETED", storage, key, manifest, self._objects[storage][key], custom=custom)

    def compact(self, revision: int | None = None) -> None:
        """Forget the changes up to a revision; by default all."""
        revision = self.revision if revision is None else min(revision, self.revision)
        if revision > self.compacted:
            del self._history[: revision - self.compacted]
            self.compacted = revision
            self.watchable_from = max(self.watchable_from, revision)

    def listen(self, storage: Storage, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Have a function called with each change of a resource; returns what ends that."""
        listeners = self._listeners.setdefault(storage, set())
        listeners.add(listener)
        return lambda: listeners.discard(listener)

    def _write(
        self, kind: str, storage: Storage, key: Key, manifest: dict[str, Any], old: Stored | None, *, custom: bool
    ) -> Stored:
        self.revision += 1
        manifest["metadata"]["resourceVersion"] = str(self.revision)
        stored = Stored(manifest, encode(manifest, custom=custom), self.revision)
        objects = self._objects.setdefault(storage, {})
        if kind == "DELETED":
            del objects[key]
        else:
            objects[key] = stored
        change = Change(self.revision, kind, storage, key, stored, old)
        self._history.append(change)
        if len(self._history) > 2 * self._limit:
            # Twice the limit before anything is cut, so that cutting costs little per write.
            self.compact(self.revision - self._limit)
        for listener in tuple(self._listeners.get(storage, ())):
            listener(change)
        return stored
