"""The objects of the server, one revision for all of them, and the history of changes, as in etcd.

Pure and synchronous. A stored manifest is never changed: each write stores a new one together with its JSON. So lists
and watches of many clients send the same bytes, which are encoded once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
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
    """A stored object.

    Attributes:
        manifest: the whole object, `kind` and `apiVersion` included; never changed.
        raw: its JSON; for a built-in resource without `kind` and `apiVersion`, as lists send it.
        revision: the revision of the write.
    """

    manifest: dict[str, Any]
    raw: bytes
    revision: int


class Change(NamedTuple):
    """One write.

    Attributes:
        revision: the revision of the write; each write has the next one.
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
    """Return the JSON to store: sorted for a custom resource, without `kind` and `apiVersion` for a built-in one."""
    if custom:
        return _encode_sorted(manifest)
    return _encode({name: value for name, value in manifest.items() if name not in {"kind", "apiVersion"}})


def in_order(objects: dict[Key, Stored]) -> list[tuple[Key, Stored]]:
    """Return the objects in etcd's order of whole keys: "web-1/a" is before "web/a", because "-" is before "/"."""
    return sorted(objects.items(), key=lambda item: "/".join(item[0]))


class Store:
    """Objects by resource and key, and the history of their changes.

    Args:
        history: the number of changes that are kept; a watch cannot start before them.
        first_revision: the first revision, so that versions look like those of a cluster that has run for some time.
    """

    def __init__(self, *, history: int, first_revision: int = 1) -> None:
        if history < 1:
            msg = f"history={history}: at least one change must be kept"
            raise ValueError(msg)
        self.revision = first_revision
        self.compacted = first_revision
        """The history contains only changes after this revision."""
        self.watchable_from = first_revision
        """Watches from before this revision are refused, even if the history still contains the changes."""
        self._limit = history
        self._objects: dict[Storage, dict[Key, Stored]] = {}
        self._history: list[Change] = []
        self._order: dict[Storage, list[str]] = {}  # the paths of the present objects, sorted at the first list
        self._listeners: dict[tuple[Storage, str], set[Callable[[Change], None]]] = {}  # "": of all namespaces
        self._listeners_to_all: list[Callable[[Change], None]] = []

    def get(self, storage: Storage, key: Key) -> Stored | None:
        """Return one object; `None` if it does not exist."""
        return self._objects.get(storage, {}).get(key)

    def listed(self, storage: Storage, namespace: str = "") -> list[tuple[Key, Stored]]:
        """Return the present objects of a resource, of a namespace or of all, in the order of lists."""
        objects = self.all(storage)
        paths = self._order.get(storage)
        if paths is None:
            paths = self._order[storage] = sorted(map("/".join, objects))
        if namespace:
            # "0" is the character after "/".
            paths = paths[bisect_left(paths, f"{namespace}/") : bisect_left(paths, f"{namespace}0")]
        found = []
        for path in paths:
            of, _, name = path.partition("/")
            found.append(((of, name), objects[of, name]))
        return found

    def all(self, storage: Storage) -> dict[Key, Stored]:
        """Return all present objects of a resource; the caller must not change the dict."""
        return self._objects.get(storage, {})

    def storages(self) -> list[Storage]:
        """Return all resources that have or had objects."""
        return [*self._objects]

    def at(self, storage: Storage, revision: int) -> dict[Key, Stored]:
        """Return the objects of a resource at an earlier revision, which must not be compacted."""
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
        """Return the changes of a resource after a revision, which must not be compacted."""
        start = max(revision - self.compacted, 0)
        return [change for change in self._history[start:] if change.storage == storage]

    def put(self, storage: Storage, key: Key, manifest: dict[str, Any], *, custom: bool) -> Stored:
        """Create or change an object; this sets `metadata.resourceVersion` in the given manifest."""
        old = self.get(storage, key)
        return self._write("MODIFIED" if old else "ADDED", storage, key, manifest, old, custom=custom)

    def read_anew(self, storage: Storage, key: Key, manifest: dict[str, Any], *, custom: bool) -> None:
        """Show an object otherwise from now on, of the same version: this is no write, and no watch sees it."""
        stored = self._objects[storage][key]
        self._objects[storage][key] = Stored(manifest, encode(manifest, custom=custom), stored.revision)

    def remove(self, storage: Storage, key: Key, manifest: dict[str, Any], *, custom: bool) -> Stored:
        """Delete an object; this sets the version of the deletion in the given manifest, which is its last state."""
        return self._write("DELETED", storage, key, manifest, self._objects[storage][key], custom=custom)

    def compact(self, revision: int | None = None) -> None:
        """Drop the changes up to a revision from the history; by default all changes."""
        revision = self.revision if revision is None else min(revision, self.revision)
        if revision > self.compacted:
            del self._history[: revision - self.compacted]
            self.compacted = revision
            self.watchable_from = max(self.watchable_from, revision)

    def listen(self, storage: Storage, listener: Callable[[Change], None], namespace: str = "") -> Callable[[], None]:
        """Call `listener` with each change of a resource, in a namespace or in all; return what ends this."""
        listeners = self._listeners.setdefault((storage, namespace), set())
        listeners.add(listener)
        return lambda: listeners.discard(listener)

    def listen_to_all(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` with each change of every resource, for ever."""
        self._listeners_to_all.append(listener)

    def present(self) -> list[Change]:
        """Return the present objects as changes that add them."""
        return [
            Change(stored.revision, "ADDED", storage, key, stored, None)
            for storage, objects in self._objects.items()
            for key, stored in objects.items()
        ]

    def _write(
        self, kind: str, storage: Storage, key: Key, manifest: dict[str, Any], old: Stored | None, *, custom: bool
    ) -> Stored:
        self.revision += 1
        manifest["metadata"]["resourceVersion"] = str(self.revision)
        stored = Stored(manifest, encode(manifest, custom=custom), self.revision)
        objects = self._objects.setdefault(storage, {})
        paths = self._order.get(storage)
        if kind == "DELETED":
            del objects[key]
            if paths is not None:
                del paths[bisect_left(paths, "/".join(key))]
        else:
            objects[key] = stored
            if paths is not None and kind == "ADDED":
                insort(paths, "/".join(key))
        change = Change(self.revision, kind, storage, key, stored, old)
        self._history.append(change)
        if len(self._history) > 2 * self._limit:
            # Cut only at twice the limit, so that cutting costs little per write.
            self.compact(self.revision - self._limit)
        for namespace in ("", key[0]) if key[0] else ("",):
            for listener in tuple(self._listeners.get((storage, namespace), ())):
                listener(change)
        for listener in self._listeners_to_all:
            listener(change)
        return stored
