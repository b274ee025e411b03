"""Trims, transforms and packs received objects before they are queued, and leaves out unusable ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from kinformer._callables import check_function
from kinformer._survivable import is_survivable
from kinformer._time_slice import TimeSlice
from kinformer.errors import TransformError
from kinformer.listwatch import Delta, DeltaType
from kinformer.objects import KubeObject, ObjectKey, version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from kinformer.errors import ObjectError
    from kinformer.listwatch import WatchBatch
    from kinformer.reflector.trim import Trim

__all__ = ["DeltaQueue", "Intake", "Transform"]

Transform: TypeAlias = "Callable[[dict[str, Any]], dict[str, Any] | None]"
"""Takes the manifest of an object and returns the manifest to keep; `None` leaves the object out of the cache."""


class DeltaQueue(Protocol):
    """The end of a reflector: `PushedFIFO` and `PartQueue` are those of informers, and a proxy has its own."""

    @property
    def held(self) -> bool:
        """True while changes are queued that `release` hands on."""
        ...

    @held.setter
    def held(self, held: bool) -> None: ...

    def release(self) -> None:
        """Hand on the changes that were queued while it was held."""
        ...

    def extend(self, deltas: Iterable[Delta]) -> None:
        """Queue the changes of a watch in their order."""
        ...

    def update(self, obj: KubeObject) -> None:
        """Queue an object from the answer to a write."""
        ...

    def leave_out(self, key: ObjectKey) -> None:
        """Queue that the present state of an object cannot be used."""
        ...

    def replacing(
        self, by_key: Mapping[ObjectKey, KubeObject], *, slice_size: int, version: int = 0
    ) -> Generator[None, None, int]:
        """Queue a whole list in slices; return the number of known objects that it lacks."""
        ...

    def mark(self, resource_version: str, lists: int) -> None:
        """Queue the version, and the number of lists, that everything before has reached."""
        ...


class Intake:
    """Takes objects from lists and watches, and queues them.

    Args:
        fifo: the queue to fill.
        transform: called exactly once for each received state of an object.
        trim: cuts unneeded parts out of each object, before the transform.
        cached: returns the cached object if it is in the same state as the received one, else `None`. The cached object
            is kept in place of the received one, so a list of known objects takes no memory and no transform.
        left_out: called with the error of each object that cannot be used.
        pack: returns an object of a list in a form that takes less memory, until the whole list is there.
    """

    def __init__(
        self,
        fifo: DeltaQueue,
        *,
        transform: Transform | None,
        trim: Trim | None,
        cached: Callable[[KubeObject], KubeObject | None],
        left_out: Callable[[ObjectError], None],
        pack: Callable[[KubeObject], KubeObject] | None = None,
    ) -> None:
        self._fifo = fifo
        if transform is not None:
            check_function("transform", transform, "manifest")
        self._transform = transform
        self._trim = trim
        self.takes_unchanged = transform is None and trim is None
        """True if the objects of events are queued as they are."""
        self._cached = cached
        self._left_out = left_out
        self._pack = pack
        self.observed: dict[ObjectKey, KubeObject] = {}
        """Objects from answers to writes that lists and watches have not reached."""
        self._queueing: dict[ObjectKey, KubeObject] | None = None  # the list that is being queued
        self._queued_version = 0  # of that list

    async def keep(self, arrived: Iterable[KubeObject], kept: dict[ObjectKey, KubeObject]) -> None:
        """Add the objects of a list to `kept`, in time slices, so that a slow transform does not block the loop."""
        time_slice = TimeSlice()
        clock = time_slice.clock
        until = await time_slice.begin()
        pack = self._pack
        for obj in arrived:
            twice = kept.get(obj.key)
            if twice is not None and _version(obj) < _version(twice):
                continue
            usable = self._usable(obj)
            if usable is None:
                # If a list has two states of an object, the newer one counts, even if it cannot be used.
                kept.pop(obj.key, None)
            elif pack is None:
                kept[obj.key] = usable
            else:
                packed = pack(usable)
                kept[packed.key] = packed
            if clock() >= until:
                until = await time_slice.begin()

    async def keep_events(self, batch: WatchBatch, kept: dict[ObjectKey, KubeObject]) -> None:
        """Apply a batch of a streaming list to `kept`. The batch may also contain changes made during the list."""
        run: list[KubeObject] = []
        for event in batch.events:
            obj = event.object
            if event.type is DeltaType.DELETED:
                await self.keep(run, kept)
                run = []
                kept.pop(obj.key, None)
            else:
                run.append(obj)
        if run:
            await self.keep(run, kept)
        for failure in batch.failures:
            self._left_out(failure)
            if failure.key:
                kept.pop(ObjectKey.parse(failure.key), None)

    def queue_events(self, batch: WatchBatch) -> None:
        """Queue a batch of events from a watch."""
        fifo = self._fifo
        if self.takes_unchanged:
            if batch.events:
                fifo.extend(batch.events)
        else:
            for event in batch.events:
                obj = self._usable(event.object)
                if obj is None:
                    fifo.leave_out(event.object.key)
                else:
                    fifo.extend([event if obj is event.object else Delta(event.type, obj)])
        for failure in batch.failures:
            self._left_out(failure)
            if failure.key:
                fifo.leave_out(ObjectKey.parse(failure.key))

    def queue_list(
        self, kept: dict[ObjectKey, KubeObject], version: int, *, slice_size: int
    ) -> Generator[None, None, int]:
        """Queue a whole list, in slices; see `DeltaFIFO.replacing`. Observed objects that are newer replace its own."""
        for key, obj in self.observed.items():
            if _version(obj) > version and (key not in kept or _version(kept[key]) < _version(obj)):
                kept[key] = obj
        self._queueing, self._queued_version = kept, version
        try:
            return (yield from self._fifo.replacing(kept, slice_size=slice_size, version=version))
        finally:
            self._queueing = None

    def observe(self, obj: KubeObject) -> bool:
        """Queue an object from a write's answer, newer than all lists and watches; return whether it was taken.

        It is not taken if it is unusable, or not newer than the list that is being queued: the object may have gone
        since, and no event would say so.
        """
        if self._queueing is not None and _version(obj) <= self._queued_version:
            return False
        usable = self._usable(obj)
        if usable is None:
            return False
        known = self.observed.get(obj.key)
        if known is None or _version(known) < _version(usable):
            # The answers to two writes may arrive in the opposite order.
            self.observed[obj.key] = usable
        self._fifo.update(usable)
        if self._queueing is not None:
            # The rest of the list is queued later: it must neither bring an older state back, nor delete an object that
            # the list lacks because it is newer.
            listed = self._queueing.get(obj.key)
            if listed is None or _version(listed) < _version(usable):
                self._queueing[obj.key] = usable
        return True

    def reached(self, version: str) -> None:
        """Drop the observed objects up to this version, which lists and watches have reached."""
        number = version_number(version)
        self.observed = {key: obj for key, obj in self.observed.items() if _version(obj) > number}

    def take_over(self, other: Intake) -> None:
        """Keep the observed objects of another intake in mind, too."""
        for key, obj in other.observed.items():
            known = self.observed.get(key)
            if known is None or _version(known) < _version(obj):
                self.observed[key] = obj

    async def report(self, failures: Sequence[ObjectError]) -> None:
        """Report the objects of a list that cannot be used, in time slices; they are left out."""
        time_slice = TimeSlice()
        for failure in failures:
            if time_slice.over:
                await time_slice.begin()
            self._left_out(failure)

    def _usable(self, obj: KubeObject) -> KubeObject | None:
        """Return the object in the form to keep; `None` leaves it out."""
        known = self._cached(obj)
        if known is not None:
            return known
        if self._trim is not None:
            obj = self._trimmed(obj, self._trim)
        return obj if self._transform is None else self._transformed(obj, self._transform)

    def _trimmed(self, obj: KubeObject, trim: Trim) -> KubeObject:
        try:
            return trim(obj)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Unusual JSON, such as `metadata` twice: keep it untrimmed, which is correct but larger.
            return obj

    def _transformed(self, obj: KubeObject, transform: Transform) -> KubeObject | None:
        resource = obj.resource
        try:
            manifest = transform(obj.to_dict())
            if manifest is None:
                return None
            made = KubeObject.from_dict(manifest, resource)
        except BaseException as cause:
            if not is_survivable(cause):
                raise
            reason = f"the transform raised {type(cause).__name__}; left out of the cache"
            error = TransformError(reason, key=str(obj.key), resource=resource.full_name)
            error.__cause__ = cause
            self._left_out(error)
            return None
        if made.key != obj.key or made.uid != obj.uid or made.resource_version != obj.resource_version:
            reason = "the transform changed name, namespace, uid or resourceVersion; left out of the cache"
            self._left_out(TransformError(reason, key=str(obj.key), resource=resource.full_name))
            return None
        return made


def _version(obj: KubeObject) -> int:
    return version_number(obj.resource_version)
