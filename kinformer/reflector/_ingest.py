"""What arrives, on its way into the FIFO: transformed once, kept once, and left out when it cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from kinformer._survivable import is_survivable
from kinformer._time_slice import TimeSlice
from kinformer.errors import TransformError
from kinformer.listwatch import Delta, DeltaType
from kinformer.objects import KubeObject, ObjectKey, version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kinformer.cache.delta_fifo import DeltaFIFO
    from kinformer.cache.part_queue import PartQueue
    from kinformer.errors import ObjectError
    from kinformer.listwatch import WatchBatch
    from kinformer.reflector.trim import Trim

__all__ = ["Intake", "Transform"]

Transform: TypeAlias = "Callable[[dict[str, Any]], dict[str, Any] | None]"
"""Makes of an object's manifest what is kept of it; `None` leaves the object out of the cache."""


class Intake:
    """Takes objects from lists and watches, and queues them.

    Args:
        fifo: where they go.
        transform: called exactly once for each state of an object that arrives.
        trim: cuts out what is not to be kept, before the transform.
        cached: what the cache has of an object when that is the very state that arrived, else `None`. It is kept in
            place of what arrived, so that a list of what is known already takes no memory and no transform.
        left_out: told of each object that cannot be used.
        pack: makes of an object of a list what takes less memory, until all of the list is there.
    """

    def __init__(
        self,
        fifo: DeltaFIFO | PartQueue,
        *,
        transform: Transform | None,
        trim: Trim | None,
        cached: Callable[[KubeObject], KubeObject | None],
        left_out: Callable[[ObjectError], None],
        pack: Callable[[KubeObject], KubeObject] | None = None,
    ) -> None:
        self._fifo = fifo
        self._transform = transform
        self._trim = trim
        self._cached = cached
        self._left_out = left_out
        self._pack = pack
        self._observed: dict[ObjectKey, KubeObject] = {}
        self._queueing: dict[ObjectKey, KubeObject] = {}  # the list that is on its way into the FIFO

    async def keep(self, arrived: Iterable[KubeObject], kept: dict[ObjectKey, KubeObject]) -> None:
        """Add the objects of a list to `kept`; a slow transform does not hold the loop for long."""
        time_slice = TimeSlice()
        await time_slice.begin()
        pack = self._pack
        for obj in arrived:
            usable = self._usable(obj)
            if usable is None:
                # Of two states of an object in one list, the later one counts, also when it cannot be used.
                kept.pop(obj.key, None)
            elif pack is None:
                kept[obj.key] = usable
            else:
                packed = pack(usable)
                kept[packed.key] = packed
            if time_slice.over:
                await time_slice.begin()

    async def keep_events(self, batch: WatchBatch, kept: dict[ObjectKey, KubeObject]) -> None:
        """Apply a batch of a streaming list to `kept`: what was changed meanwhile is in it, too."""
        run: list[KubeObject] = []
        for event in batch.events:
            obj = event.object
            if event.type is DeltaType.DELETED:
                await self.keep(run, kept)
                run = []
                kept.pop(obj.key, None)
            else:
                run.append(obj)
        await self.keep(run, kept)
        for failure in batch.failures:
            self._left_out(failure)
            if failure.key:
                kept.pop(ObjectKey.parse(failure.key), None)

    def queue_events(self, batch: WatchBatch) -> None:
        """Queue what a watch brought."""
        fifo = self._fifo
        if self._transform is None and self._trim is None:
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

    def queue_list(self, kept: dict[ObjectKey, KubeObject], version: int, *, slice_size: int) -> Iterable[None]:
        """Queue a whole list, in slices; see `DeltaFIFO.replacing`. What was observed and is newer stays."""
        for key, obj in self._observed.items():
            if _version(obj) > version and (key not in kept or _version(kept[key]) < _version(obj)):
                kept[key] = obj
        self._queueing = kept
        try:
            yield from self._fifo.replacing(kept, slice_size=slice_size, version=version)
        finally:
            self._queueing = {}

    def observe(self, obj: KubeObject) -> bool:
        """Queue an object from somewhere else that is newer than everything seen; returns whether it can be used."""
        usable = self._usable(obj)
        if usable is None:
            return False
        known = self._observed.get(obj.key)
        if known is None or _version(known) < _version(usable):
            # Answers to two writes may come in the other order.
            self._observed[obj.key] = usable
        self._fifo.update(usable)
        listed = self._queueing.get(obj.key)
        if listed is not None and _version(listed) < _version(usable):
            # The rest of the list is still to be queued, and must not take it back.
            self._queueing[obj.key] = usable
        return True

    def reached(self, version: int) -> None:
        """Lists and watches have come to this version: what was observed before it needs no care any more."""
        if self._observed:
            self._observed = {key: obj for key, obj in self._observed.items() if _version(obj) > version}

    def report(self, failures: Sequence[ObjectError]) -> None:
        """Tell of objects of a list that cannot be used; they are not in it."""
        for failure in failures:
            self._left_out(failure)

    def _usable(self, obj: KubeObject) -> KubeObject | None:
        """The object as it is kept; `None` leaves it out."""
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
            # An odd spelling, metadata twice for example: kept as it is, which is right if not small.
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
