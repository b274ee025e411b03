"""The writes of a client that a cache may not show yet. Pure: no clock, no I/O.

The log keeps the last write to each object. It is independent of the pending writes of informers, because it must also
know the writes that an informer does not know: those before its start, and deletions of objects that it had not seen.

An object of a cache may be shown if the server could have answered with it after the last write:

- after a write that made version v: the object has version v or a newer one, or everything up to v is in the cache;
- after a deletion: the object is not there, or is another one (another UID) that is newer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kinformer.objects import version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kinformer._own_writes.feed import Write
    from kinformer._own_writes.pending import PendingWrite
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.resources import Resource

__all__ = ["MOST_WRITES", "OwnWriteLog", "Unsettled", "WriteRecord", "is_shown", "record_of"]

MOST_WRITES: Final = 4096
"""Maximum number of objects of one resource whose last write is remembered; the oldest ones make room."""

Head = tuple[str, str]
"""UID and resource version of an object of a cache."""


class WriteRecord(NamedTuple):
    """The last write to one object.

    Attributes:
        uid: the object's UID; "" if unknown.
        version: the version that the write made, for a deletion: in which the object still existed; 0 if unknown.
        gone: the object was deleted.
        marked: with `gone`: the object may also still be there in a newer version, marked as deleted.
        exact: with `gone`: nothing was written to the object between `version` and its end.
        also: UIDs of other objects of the name that were deleted, earlier or later: their answers do not say when.
        obj: the object as written; `None` if unknown or deleted.
    """

    uid: str
    version: int
    gone: bool = False
    marked: bool = False
    exact: bool = True
    also: frozenset[str] = frozenset()
    obj: KubeObject | None = None


def is_shown(record: WriteRecord, cached: Head | None, progress: int, *, outside: bool = False) -> bool:
    """Return whether a cache may answer for an object after a write.

    Args:
        record: the last write to the object.
        cached: UID and version of the object in the cache; `None` if it has none.
        progress: the version up to which everything is in the cache.
        outside: the written object is known to lie outside of the cache's scope.
    """
    if cached is not None and record.also:
        return False  # only the server knows whether this one came before or after those
    version = 0 if cached is None else version_number(cached[1])
    if record.gone:
        if cached is None:
            return True
        if record.marked:
            return version > record.version
        return bool(record.uid) and cached[0] != record.uid and version > record.version > 0
    if progress >= record.version or version >= record.version:
        return True
    return cached is None and outside


def is_settled(record: WriteRecord, cached: Head | None, progress: int) -> bool:
    """Return whether no later state of a cache can be older than a write."""
    if not record.version or not record.exact or record.also or progress < record.version:
        return False
    return not record.gone or is_shown(record, cached, progress)


class OwnWriteLog:
    """The last write to each object of each resource, and the caches that do not show them for certain yet."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], dict[ObjectKey, WriteRecord]] = {}
        self._unsettled: dict[tuple[str, str], list[Unsettled]] = {}

    def wrote(self, write: Write) -> None:
        """Take note of an accepted write; of late answers to older writes, none is taken."""
        group = (write.resource.group, write.resource.plural)
        records = self._records.setdefault(group, {})
        record = merged(records.pop(write.key, None), write)
        records[write.key] = record
        if len(records) > MOST_WRITES:
            del records[next(iter(records))]
        for unsettled in self._unsettled.get(group, ()):
            unsettled.add(write.key, record)

    def last(self, resource: Resource, key: ObjectKey) -> WriteRecord | None:
        """Return the record of an object; `None` if it has none."""
        return self._records.get((resource.group, resource.plural), {}).get(key)

    def answered(self, resource: Resource, key: ObjectKey, obj: KubeObject, asked: WriteRecord | None) -> None:
        """Take note of an object that the server returned: then the successor of a deleted object is known.

        Args:
            resource: the resource of the object.
            key: the object.
            obj: the object.
            asked: the record of the object when the request was sent. If it is another one now, the server may have
                answered before the last write, and the answer says nothing about it.
        """
        before = self.last(resource, key)
        if before is None or before is not asked or not (before.gone or before.also):
            return
        group = (resource.group, resource.plural)
        if obj.uid in before.also or (before.gone and obj.uid == before.uid):
            return
        record = WriteRecord(obj.uid, version_number(obj.resource_version), obj=obj)
        self._records[group][key] = record
        for unsettled in self._unsettled.get(group, ()):
            unsettled.add(key, record)

    def follow(self, resource: Resource, head_of: Callable[[ObjectKey], Head | None]) -> Unsettled:
        """Return the writes that a cache does not show for certain, from now on.

        Args:
            resource: the resource of the cache.
            head_of: returns UID and version of an object in the cache.
        """
        group = (resource.group, resource.plural)
        unsettled = Unsettled(head_of)
        for key, record in self._records.get(group, {}).items():
            unsettled.add(key, record)
        self._unsettled.setdefault(group, []).append(unsettled)
        return unsettled

    def forget(self, resource: Resource, unsettled: Unsettled) -> None:
        """Follow a cache no more."""
        self._unsettled[resource.group, resource.plural].remove(unsettled)


class Unsettled:
    """The writes that one cache does not show for certain, by object.

    Args:
        head_of: returns UID and version of an object in the cache.
    """

    __slots__ = ("_head_of", "_records")

    def __init__(self, head_of: Callable[[ObjectKey], Head | None]) -> None:
        self._head_of = head_of
        self._records: dict[ObjectKey, WriteRecord] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: object) -> bool:
        return key in self._records

    def add(self, key: ObjectKey, record: WriteRecord) -> None:
        """Take note of a write to one object."""
        cached = self._head_of(key)
        if record.gone and not record.exact and cached is not None and record.uid == cached[0]:
            # The answer did not say in which version the object ended. The cache will see that end. Without a UID, the
            # object of the cache may be an earlier one of the name.
            record = record._replace(version=version_number(cached[1]), exact=True)
        self._records.pop(key, None)
        self._records[key] = record
        if len(self._records) > MOST_WRITES:
            del self._records[next(iter(self._records))]

    def shows(self, key: ObjectKey, progress: int) -> bool:
        """Return whether the cache may answer for one object, at a version up to which everything is in it."""
        record = self._records.get(key)
        if record is None:
            return True
        cached = self._head_of(key)
        if is_settled(record, cached, progress):
            del self._records[key]
            return True
        return is_shown(record, cached, progress)

    def hidden(
        self, progress: int, concerns: Callable[[ObjectKey], bool], outside: Callable[[KubeObject], bool]
    ) -> Iterator[ObjectKey]:
        """Yield the objects that the cache may not answer for.

        Args:
            progress: the version up to which everything is in the cache.
            concerns: whether an object matters to the question.
            outside: whether a written object is known to lie outside of the cache's scope.
        """
        for key, record in [*self._records.items()]:
            cached = self._head_of(key)
            if is_settled(record, cached, progress):
                del self._records[key]
            elif concerns(key) and not is_shown(
                record, cached, progress, outside=record.obj is not None and outside(record.obj)
            ):
                yield key


def record_of(write: PendingWrite) -> WriteRecord:
    """Return the record of a write that an informer waits for already."""
    version = write.version or write.after
    return WriteRecord(
        write.uid, version, gone=write.gone, marked=write.past is not None, exact=bool(version) or not write.gone
    )


def merged(before: WriteRecord | None, write: Write) -> WriteRecord:
    """Return the last write to an object, after one more was answered: answers need not come in the order of writes."""
    version = write.version or write.after
    known = version
    if before is not None and before.uid == write.uid:
        known = max(known, before.version)
    new = WriteRecord(
        write.uid,
        known if write.gone else version,
        gone=write.gone,
        marked=write.past is not None,
        exact=bool(version),
        obj=None if write.gone else write.obj,
    )
    if before is None:
        return new
    new = new._replace(also=before.also)
    if write.gone and not version and write.uid and write.uid != before.uid:
        return before._replace(also=before.also | {write.uid})
    # A late answer to a write before the deletion.
    late = not write.gone and version <= before.version
    if before.gone and before.uid == write.uid and (late or not before.marked):
        return before._replace(version=max(before.version, version))
    if version and version < before.version and not (write.gone and before.uid == write.uid):
        return before
    return new
