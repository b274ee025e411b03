"""The objects of one resource, and the newest of their changes: what lists and watches are answered from. Pure.

It does as the watch cache of an API server (apiserver pkg/storage/cacher): a watch may begin at any version that the
kept changes reach back to. A list that replaces the objects ends all watches, because changes between the last one
and the list are unknown.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from kinformer.cache._compact.indexer import CompactIndexer
from kinformer.cache._compact.packed_object import PackedObject
from kinformer.cache._informer_indexer import InformerIndexer
from kinformer.listwatch import DeltaType
from kinformer.objects import version_number
from kinformer.proxy._bodies import at_version, event_line
from kinformer.resources import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from kinformer.cache.storage import Storage
    from kinformer.listwatch import Delta
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.proxy._selection import Selection

__all__ = ["Change", "WatchCache"]

WINDOW_EVENTS: Final = 20_000
WINDOW_BYTES: Final = 64 * 1024 * 1024
_HOT: Final = 256
"""Number of the newest changes whose encoded form is kept for the next watch that sends them."""


class Change:
    """One change of one object.

    Attributes:
        kind: "ADDED", "MODIFIED" or "DELETED", as the API names it.
        version: the resource version of the change.
        new: the object after the change; for a deletion its last state.
        old: the object before the change; `None` if it was created.
        line: the event as it is sent to a watch of all objects, if it was needed lately.
    """

    __slots__ = ("kind", "line", "new", "old", "version")

    def __init__(self, kind: bytes, version: int, new: KubeObject, old: KubeObject | None) -> None:
        self.kind = kind
        self.version = version
        self.new = new
        self.old = old
        self.line: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes that this change keeps in memory at most."""
        return _held(self.new) + (0 if self.old is None else _held(self.old))

    def whole_line(self, form: Resource) -> bytes:
        """Return the event for a watch of all objects."""
        line = self.line
        if line is None:
            line = self.line = event_line(self.kind, self.new, form)
        return line

    def selected_line(self, selection: Selection, form: Resource) -> bytes | None:
        """Return the event for a watch with selectors; `None` if it does not concern that watch.

        An object that no longer matches is DELETED there: with its last state that matched, at the version of the
        change (apiserver pkg/storage/cacher, cache_watcher.go, convertToWatchEvent).
        """
        before = self.old is not None and selection.selects(self.old)
        if self.kind == b"DELETED":
            return self.whole_line(form) if before else None
        if selection.selects(self.new):
            kind = b"MODIFIED" if before else b"ADDED"
            return self.whole_line(form) if kind == self.kind else event_line(kind, self.new, form)
        if before and self.old is not None:
            return event_line(b"DELETED", at_version(self.old, self.version), form)
        return None


def _held(stored: KubeObject) -> int:
    """Return the bytes in which an object is held; the JSON of a compressed one is not made for this."""
    return len(stored.packed[0] if type(stored) is PackedObject else stored.raw)


class WatchCache:
    """The state of one resource, fed by one list and watch.

    Args:
        resource: the resource.
        namespace: the only namespace of it; "" for all.
        window_events: number of changes that are kept.
        window_bytes: bytes of the objects of these changes that are kept.
        storage: "plain" or "compact".
        metadata_only: whether the objects are PartialObjectMetadata.

    Attributes:
        version: the version that the state has reached; 0 before the first list.
        oldest: the oldest version that a watch may begin with.
        epoch: changes when the watches have to end.
        synced: whether the state is that of one version; false before the first list, and while a list is taken over.
        bookmarks: number of bookmarks that the API server has sent.
        form: kind and apiVersion that the objects are sent with.
        store: the objects, and in compact storage their compression.

    Raises:
        MissingDependencyError: compact storage needs zstd, and there is none.
    """

    def __init__(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        window_events: int = WINDOW_EVENTS,
        window_bytes: int = WINDOW_BYTES,
        storage: Storage = "plain",
        metadata_only: bool = False,
    ) -> None:
        self.resource = resource
        self.form = (
            Resource("meta.k8s.io", "v1", resource.plural, "PartialObjectMetadata") if metadata_only else resource
        )
        self.namespace = namespace
        self.version = 0
        self.oldest = 0
        self.epoch = 0
        self.synced = False
        self.bookmarks = 0
        self.store: InformerIndexer = CompactIndexer() if storage == "compact" else InformerIndexer()
        self._is_compact = storage == "compact"
        self._window_events = window_events
        self._window_bytes = window_bytes
        self._log: deque[Change] = deque()
        self._hot: deque[Change] = deque()
        self._bytes = 0
        self.first = 0
        """Number of the oldest change that is kept, counted from the beginning."""
        self._listeners: dict[object, Callable[[], None]] = {}

    @property
    def objects(self) -> Mapping[ObjectKey, KubeObject]:
        """The stored objects by key, as a live view."""
        return self.store.stored_objects

    @property
    def next(self) -> int:
        """The number of the next change."""
        return self.first + len(self._log)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call a function after each group of changes; return the function that ends this."""
        mark = object()
        self._listeners[mark] = listener
        return lambda: self._listeners.pop(mark, None) and None

    def published(self) -> None:
        """Call the listeners."""
        for listener in [*self._listeners.values()]:
            listener()

    def changed(self, deltas: Iterable[Delta]) -> None:
        """Take the events of the upstream watch, in their order. Events that the state has already are left out."""
        for delta in deltas:
            new = delta.object
            version = version_number(new.resource_version)
            if version <= self.version:
                continue
            self.version = version
            key = new.key
            if delta.type is DeltaType.DELETED:
                old = self.store.delete(key)
                if old is not None:
                    self._append(Change(b"DELETED", version, new, old))
                continue
            old = self.store.put(key, new)
            kind = b"ADDED" if old is None else b"MODIFIED"
            if not self._is_compact:
                self._append(Change(kind, version, new, old))
                continue
            # The line is made now, because the object is held compressed from here on.
            stored = self.store.stored(key)
            assert stored is not None
            change = Change(kind, version, stored, old)
            change.line = event_line(kind, new, self.form)
            self._append(change)

    def reached(self, version: int) -> None:
        """Take the version of a bookmark or of the last event."""
        self.version = max(self.version, version)

    def replacing(
        self, objects: Mapping[ObjectKey, KubeObject], version: int, *, slice_size: int = 1 << 62
    ) -> Generator[None, None, int]:
        """Take a whole list, in slices. Watches end at once, unless it shows that no change was missed.

        Between the slices the cache is not in sync.

        Returns:
            The number of known objects that the list lacks.
        """
        lost = 0
        unchanged = self.synced and objects.keys() == self.objects.keys() and version >= self.version
        if not unchanged or any(
            self.objects[key].resource_version != obj.resource_version for key, obj in objects.items()
        ):
            self.synced = False
            self._forget(version)
            gone = [key for key in self.objects if key not in objects]
            lost = len(gone)
            for at in range(0, len(gone), slice_size):
                for key in gone[at : at + slice_size]:
                    self.store.delete(key)
                yield
            for count, (key, obj) in enumerate([*objects.items()], 1):
                self.store.put(key, obj)
                if count % slice_size == 0:
                    yield
        # An object may have been created and deleted meanwhile: a watch may not begin before the list either way.
        elif version > self.version:
            self._forget(version)
        self.version = version
        self.synced = True
        return lost

    def left_out(self, key: ObjectKey) -> None:
        """Drop an object whose present state cannot be decoded. Watches end, as their next event is unknown."""
        if self.store.delete(key) is not None:
            self._forget(self.version)

    def position(self, version: int) -> int | None:
        """Return the number of the first change after a version; `None` if the version is too old."""
        if version < self.oldest:
            return None
        log, low, high = self._log, 0, len(self._log)
        while low < high:
            middle = (low + high) // 2
            if log[middle].version <= version:
                low = middle + 1
            else:
                high = middle
        return self.first + low

    def changes(self, position: int, limit: int) -> Iterator[Change]:
        """Return some of the changes from a number on, oldest first."""
        log = self._log
        start = position - self.first
        if len(log) - start <= limit:
            # The usual case: the few newest ones. From the end, a deque is walked at once.
            newest = [*islice(reversed(log), len(log) - start)]
            newest.reverse()
            return iter(newest)
        return islice(log, start, start + limit)

    def selected(self, selection: Selection) -> list[KubeObject]:
        """Return the selected objects in the order of a list: by namespace and name."""
        found = [obj for obj in self.objects.values() if selection.selects(obj)]
        found.sort(key=lambda obj: obj.key.namespace + "/" + obj.key.name)
        return found

    def _append(self, change: Change) -> None:
        log, hot = self._log, self._hot
        log.append(change)
        hot.append(change)
        if len(hot) > _HOT:
            hot.popleft().line = None
        self._bytes += change.size
        while len(log) > self._window_events or (self._bytes > self._window_bytes and len(log) > 1):
            gone = log.popleft()
            self._bytes -= gone.size
            self.first += 1
            self.oldest = gone.version

    def _forget(self, version: int) -> None:
        self.first = self.next
        self._log.clear()
        self._hot.clear()
        self._bytes = 0
        self.oldest = version
        self.epoch += 1
