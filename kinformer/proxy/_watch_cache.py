"""The objects of one resource, and the newest of their changes: what lists and watches are answered from. Pure.

It does as the watch cache of an API server (apiserver pkg/storage/cacher): a watch may begin at any version that the
kept changes reach back to. A list that replaces the objects ends all watches, because changes between the last one
and the list are unknown.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from kinformer.listwatch import DeltaType
from kinformer.objects import version_number
from kinformer.proxy._bodies import at_version, event_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kinformer.listwatch import Delta
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.proxy._selection import Selection
    from kinformer.resources import Resource

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
        return len(self.new.raw) + (0 if self.old is None else len(self.old.raw))

    def whole_line(self) -> bytes:
        """Return the event for a watch of all objects."""
        line = self.line
        if line is None:
            line = self.line = event_line(self.kind, self.new)
        return line

    def selected_line(self, selection: Selection) -> bytes | None:
        """Return the event for a watch with selectors; `None` if it does not concern that watch.

        An object that no longer matches is DELETED there: with its last state that matched, at the version of the
        change (apiserver pkg/storage/cacher, cache_watcher.go, convertToWatchEvent).
        """
        before = self.old is not None and selection.selects(self.old)
        if self.kind == b"DELETED":
            return self.whole_line() if before else None
        if selection.selects(self.new):
            kind = b"MODIFIED" if before else b"ADDED"
            return self.whole_line() if kind == self.kind else event_line(kind, self.new)
        if before and self.old is not None:
            return event_line(b"DELETED", at_version(self.old, self.version))
        return None


class WatchCache:
    """The state of one resource, fed by one list and watch.

    Args:
        resource: the resource.
        namespace: the only namespace of it; "" for all.
        window_events: number of changes that are kept.
        window_bytes: bytes of the objects of these changes that are kept.

    Attributes:
        version: the version that the state has reached; 0 before the first list.
        oldest: the oldest version that a watch may begin with.
        epoch: changes when the watches have to end.
        objects: the objects by key.
    """

    def __init__(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        window_events: int = WINDOW_EVENTS,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.version = 0
        self.oldest = 0
        self.epoch = 0
        self.synced = False
        self.objects: dict[ObjectKey, KubeObject] = {}
        self._window_events = window_events
        self._window_bytes = window_bytes
        self._log: deque[Change] = deque()
        self._hot: deque[Change] = deque()
        self._bytes = 0
        self.first = 0
        """Number of the oldest change that is kept, counted from the beginning."""
        self._listeners: dict[object, Callable[[], None]] = {}

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
                old = self.objects.pop(key, None)
                if old is not None:
                    self._append(Change(b"DELETED", version, new, old))
                continue
            old = self.objects.get(key)
            self.objects[key] = new
            self._append(Change(b"ADDED" if old is None else b"MODIFIED", version, new, old))

    def reached(self, version: int) -> None:
        """Take the version of a bookmark."""
        self.version = max(self.version, version)

    def replaced(self, objects: Mapping[ObjectKey, KubeObject], version: int) -> None:
        """Take a whole list. Watches end, unless it shows that no change was missed."""
        unchanged = self.synced and objects.keys() == self.objects.keys() and version >= self.version
        if not unchanged or any(
            self.objects[key].resource_version != obj.resource_version for key, obj in objects.items()
        ):
            self.objects = dict(objects)
            self._forget(version)
        # An object may have been created and deleted meanwhile: a watch may not begin before the list either way.
        elif version > self.version:
            self._forget(version)
        self.version = version
        self.synced = True

    def left_out(self, key: ObjectKey) -> None:
        """Drop an object whose present state cannot be decoded. Watches end, as their next event is unknown."""
        if self.objects.pop(key, None) is not None:
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
