"""The state that a recording has reached, and the records that are still to come. Pure, but for the file.

The first lists of all resources come first, at once. Events that were recorded between them follow, so that a client
that lists before the playback begins sees each event.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from kinformer.errors import DecodeError, RecordingError
from kinformer.listwatch import Delta, DeltaType
from kinformer.objects import KubeObject, version_number
from kinformer.proxy._watch_cache import WatchCache
from kinformer.recordings._format import Added, Bookmark, Change, Deleted, Item, Listed, Modified, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.objects import ObjectKey
    from kinformer.recordings._format import Record, Recording

__all__ = ["Playback"]

MOST_HELD_BYTES: Final = 2 * 1024 * 1024 * 1024
"""Bytes of objects that are held in memory, if nothing else is given."""

_TYPES: Final = {Added: DeltaType.ADDED, Modified: DeltaType.UPDATED, Deleted: DeltaType.DELETED}


class Playback:
    """Plays a recording into a cache per resource.

    Args:
        recording: the recording.
        most_held_bytes: bytes of the objects that may be held.
        window_events: number of changes of a resource that a watch can begin before.

    Attributes:
        caches: the caches by the number of their resource.
        refused: the HTTP status of resources that the recorder was refused, by number.
        position: the time of the last record that was played, in seconds.
        events: the number of events that were played.
    """

    def __init__(
        self, recording: Recording, *, most_held_bytes: int = MOST_HELD_BYTES, window_events: int = 100_000
    ) -> None:
        self._recording = recording
        self._most = most_held_bytes
        self._window = window_events
        self._records = iter(recording)
        self._items: dict[int, dict[ObjectKey, KubeObject]] = {}
        self._waiting: deque[Record] = deque()
        self._held = 0
        self.caches: dict[int, WatchCache] = {}
        self.refused: dict[int, int] = {}
        self.position = 0.0
        self.events = 0

    def first_lists(self) -> Iterator[None]:
        """Read the first list of each resource; yields after some records.

        A resource whose list is not in the file has no objects.

        Raises:
            RecordingError: the file is damaged, or its objects need too much memory.
        """
        unlisted: set[int] | None = None
        for count, record in enumerate(self._records):
            if count % 200 == 0:
                yield
            resources = self._recording.resources
            if isinstance(record, Item | Listed | Change | Bookmark | Refused) and unlisted is None:
                unlisted = {*resources}
            if isinstance(record, Item | Listed):
                if record.id in self.caches and self.caches[record.id].synced:
                    # A second list belongs to the playback.
                    self._wait(record)
                    continue
                self._take(record)
                if isinstance(record, Listed) and unlisted is not None:
                    unlisted.discard(record.id)
            elif isinstance(record, Refused):
                self._take(record)
                if unlisted is not None:
                    unlisted.discard(record.id)
            elif isinstance(record, Change | Bookmark):
                self._wait(record)
            if unlisted is not None and not unlisted:
                break
        for number in self._recording.resources:
            cache = self._cache(number)
            if not cache.synced:
                _replace(cache, {}, 1)
        self._items.clear()

    def rest(self) -> Iterator[Record]:
        """Yield the records behind the first lists; `play` plays one.

        Raises:
            RecordingError: the file is damaged.
        """
        waiting, self._waiting = self._waiting, deque()
        while waiting:
            record = waiting.popleft()
            if isinstance(record, Item | Change):
                self._held -= len(record.object)
            yield record
        yield from self._records

    def play(self, record: Record) -> WatchCache | None:
        """Play one record; return the cache that has changed.

        Raises:
            RecordingError: it is damaged, or the objects need too much memory.
        """
        self.position = max(self.position, getattr(record, "at", 0.0))
        return self._take(record)

    def _wait(self, record: Item | Listed | Change | Bookmark) -> None:
        if isinstance(record, Item | Change):
            self._hold(len(record.object))
        self._waiting.append(record)

    def _take(self, record: Record) -> WatchCache | None:
        match record:
            case Item():
                obj = self._object(record)
                self._hold(len(obj.raw))
                self._items.setdefault(record.id, {})[obj.key] = obj
            case Listed():
                cache = self._cache(record.id)
                self._held -= sum(len(obj.raw) for obj in cache.objects.values())
                _replace(cache, self._items.pop(record.id, {}), version_number(record.version) or 1)
                return cache
            case Added() | Modified() | Deleted():
                obj = self._object(record)
                cache = self._cache(record.id)
                old = cache.objects.get(obj.key)
                self._held -= len(old.raw) if old is not None else 0
                if not isinstance(record, Deleted):
                    self._hold(len(obj.raw))
                cache.changed([Delta(_TYPES[type(record)], obj)])
                self.events += 1
                return cache
            case Bookmark():
                cache = self._cache(record.id)
                cache.reached(version_number(record.version))
                return cache
            case Refused():
                self.refused[record.id] = record.code
        return None

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > self._most:
            msg = (
                f"the objects of {self._recording.path} need more than {self._most} bytes of memory; "
                "allow more with most_held_bytes (--most-memory), or record fewer resources"
            )
            raise RecordingError(msg)

    def _object(self, record: Item | Change) -> KubeObject:
        try:
            # A copy: a raw value keeps the whole line alive.
            return KubeObject.from_json(bytes(record.object), self._recording.resources[record.id])
        except DecodeError as error:
            raise RecordingError(f"{self._recording.path} is damaged: {error}") from None

    def _cache(self, number: int) -> WatchCache:
        cache = self.caches.get(number)
        if cache is None:
            resource = self._recording.resources[number]
            cache = self.caches[number] = WatchCache(resource, window_events=self._window)
        return cache


def _replace(cache: WatchCache, objects: dict[ObjectKey, KubeObject], version: int) -> None:
    """Replace all objects of a cache, in one step."""
    for _ in cache.replacing(objects, version):
        pass
