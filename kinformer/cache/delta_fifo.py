"""What changed, per key, in order: the queue between the reflector and the cache.

The rules are client-go's DeltaFIFO (tools/cache/delta_fifo.go), with two differences: `replace` puts the deletions it
finds before the objects it was given, and a deletion of an object nobody knows is dropped in every case, so that no
handler hears of the end of something it was never told of.

Everything but `pop` is synchronous, and one event loop is all there is: no locks.
"""

from __future__ import annotations

import asyncio
import enum
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from kinformer.errors import StoppedError
from kinformer.listwatch import EventType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from kinformer.listwatch import WatchEvent
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["Delta", "DeltaFIFO", "DeltaType", "Deltas", "KnownObjects", "Popped"]


class DeltaType(enum.IntEnum):
    """Why an object is in the queue."""

    ADDED = 1
    UPDATED = 2
    DELETED = 3
    REPLACED = 4
    """It was in a list: it may be new, changed or as it was."""
    SYNC = 5
    """It is in the cache, and a resync was asked for."""


class Delta(msgspec.Struct, frozen=True, gc=False):
    """One change of one object.

    Attributes:
        type: what happened.
        object: the object; for a deletion its last known state.
        final_state_known: false for a deletion that was inferred from a list (client-go: DeletedFinalStateUnknown).
    """

    type: DeltaType
    object: KubeObject
    final_state_known: bool = True


Deltas = list[Delta]
"""All that happened to one object since it was last popped, oldest first."""

_DELTA_OF: Final = {
    EventType.ADDED: DeltaType.ADDED,
    EventType.MODIFIED: DeltaType.UPDATED,
    EventType.DELETED: DeltaType.DELETED,
}


class Popped(NamedTuple):
    """What `pop` returns.

    Attributes:
        key: the object's key.
        deltas: what happened to it.
        initial: it was popped before the queue had delivered its first list (client-go: isInInitialList).
    """

    key: ObjectKey
    deltas: Deltas
    initial: bool


class KnownObjects(Protocol):
    """What has left the queue: the cache."""

    def get_by_key(self, key: ObjectKey) -> KubeObject | None:
        """The object of that key, or `None`."""
        ...

    def list_keys(self) -> Collection[ObjectKey]:
        """All keys."""
        ...

    def __contains__(self, key: object) -> bool: ...


class DeltaFIFO:
    """A queue of keys, each with the list of its changes; a key keeps the place it got when it came.

    Args:
        known_objects: the cache this queue feeds, to tell what a new list no longer has. Without one, only what is
            queued counts as known.
    """

    __slots__ = (
        "_closed",
        "_initial_left",
        "_items",
        "_known",
        "_left",
        "_next_key",
        "_populated",
        "_taking",
        "_wakeup",
    )

    def __init__(self, known_objects: KnownObjects | None = None) -> None:
        # A dict keeps the order in which keys came, but its first one is found by going over all that were removed
        # before; so a dict that is not taken as a whole is set aside, and its values made None one after the other.
        # Most keys have one change, which needs no list around it: then the collector does not look at these dicts.
        self._items: dict[ObjectKey, Delta | Deltas | None] = {}
        self._taking: dict[ObjectKey, Delta | Deltas | None] = {}
        self._next_key: Iterator[ObjectKey] = iter(())
        self._left = 0  # of what was set aside
        self._known = known_objects
        self._populated = False
        self._initial_left = 0
        self._closed = False
        self._wakeup = asyncio.Event()

    def __len__(self) -> int:
        return self._left + len(self._items)

    def __contains__(self, key: ObjectKey) -> bool:
        return self._queued(key) is not None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def has_synced(self) -> bool:
        """Whether everything of the first `replace` has been popped, or something else came before any `replace`.

        Never goes back to false.
        """
        return self._populated and self._initial_left == 0

    def add(self, obj: KubeObject) -> None:
        """Queue an object that was created."""
        self._populated = True
        self._append(obj.key, Delta(DeltaType.ADDED, obj))

    def update(self, obj: KubeObject) -> None:
        """Queue an object that was changed."""
        self._populated = True
        self._append(obj.key, Delta(DeltaType.UPDATED, obj))

    def delete(self, obj: KubeObject, *, final_state_known: bool = True) -> None:
        """Queue the deletion of an object; dropped when it is neither known nor queued."""
        self._populated = True
        key = obj.key
        if key in self or (self._known is not None and key in self._known):
            self._append(key, Delta(DeltaType.DELETED, obj, final_state_known))

    def extend(self, events: Iterable[WatchEvent]) -> None:
        """Queue what a watch brought, in its order: what `add`, `update` and `delete` do one by one, in one go."""
        # This loop runs for each event of each watch: hence the local names, and no call that is not needed.
        items, taking, known = self._items, self._taking, self._known
        delta_of, deleted = _DELTA_OF, DeltaType.DELETED
        for event in events:
            obj = event.object
            key = obj.key
            kind = delta_of[event.type]
            if key in items or (taking and taking.get(key) is not None):
                self._append(key, Delta(kind, obj))
            elif kind is not deleted or (known is not None and key in known):
                items[key] = Delta(kind, obj)
        self._populated = True
        self._wakeup.set()

    def leave_out(self, key: ObjectKey) -> None:
        """Queue the deletion of whatever is known under a key, because its present state cannot be used."""
        last = self._last_known(key)
        if last is not None:
            self._populated = True
            self._append(key, Delta(DeltaType.DELETED, last, final_state_known=False))

    def replace(self, objects: Iterable[KubeObject]) -> None:
        """Queue a whole list: each object as Replaced, and first the deletion of everything known that it lacks."""
        for _ in self.replacing({obj.key: obj for obj in objects}, slice_size=1 << 62):
            pass

    def replacing(self, by_key: Mapping[ObjectKey, KubeObject], *, slice_size: int) -> Iterator[None]:
        """`replace` in slices: stops after each `slice_size` keys, so that the caller can let others run.

        The deletions are all queued before the first stop. Between the stops anything may be popped; what is queued
        then is queued before what the list still has of the same key, so the caller must put it into the list, too,
        which may be given other objects, but no other keys. Nothing counts as synced until the last slice is in.
        """
        first = not self._populated
        if first:
            # One more than there is, so that what is popped between the slices cannot look like the end.
            self._initial_left = 1
            self._populated = True
        for key in [key for key in self.list_keys() if key not in by_key]:
            self._append_lost(key, first=first)
        if self._known is not None:
            for key in [key for key in self._known.list_keys() if key not in by_key and key not in self]:
                self._append_lost(key, first=first)
        for count, (key, obj) in enumerate(by_key.items(), 1):
            self._append(key, Delta(DeltaType.REPLACED, obj))
            self._initial_left += first
            if count % slice_size == 0 and count < len(by_key):
                yield
        if first:
            self._initial_left -= 1
        # An empty list queues nothing, and yet whoever waits must learn that it has come.
        self._wakeup.set()

    def resync(self) -> None:
        """Queue every known object as Sync, except those that are queued anyway: their news is fresher."""
        if self._known is None:
            return
        for key in list(self._known.list_keys()):
            if key in self:
                continue
            obj = self._known.get_by_key(key)
            if obj is not None:
                self._append(key, Delta(DeltaType.SYNC, obj))

    def list_keys(self) -> list[ObjectKey]:
        """The queued keys, in the order they will be popped."""
        return [*(key for key, queued in self._taking.items() if queued is not None), *self._items]

    def get_by_key(self, key: ObjectKey) -> Deltas | None:
        """A copy of what is queued for a key, or `None`."""
        queued = self._queued(key)
        return None if queued is None else _all_of(queued)

    def close(self) -> None:
        """Wake everybody who waits. What is queued can still be popped."""
        self._closed = True
        self._wakeup.set()

    def pop_nowait(self) -> Popped | None:
        """Take the oldest key with all its changes, or `None` when there is none."""
        taken, initial = self.take(1)
        if not taken:
            return None
        deltas = _all_of(taken[0])
        return Popped(deltas[0].object.key, deltas, initial)

    def take(self, limit: int) -> tuple[list[Delta | Deltas], bool]:
        """`pop_nowait` for so many keys at most: of each its one change, or all of them; and whether they are initial.

        What is taken together is initial as a whole, or not at all. Only where there is nothing, nothing is taken.
        """
        initial = self._initial_left > 0 or not self._populated
        if self._initial_left:
            limit = min(limit, self._initial_left)
        if not self._left and len(self._items) <= limit:
            taken = [queued for queued in self._items.values() if queued is not None]
            self._items = {}
        else:
            taken = self._take_some(limit)
        if self._initial_left:
            self._initial_left -= len(taken)
        return taken, initial

    def _take_some(self, limit: int) -> list[Delta | Deltas]:
        if not self._left:
            self._taking, self._items = self._items, {}
            self._next_key = iter(self._taking)
            self._left = len(self._taking)
        taking, taken = self._taking, []
        for key in islice(self._next_key, limit):
            queued = taking[key]
            assert queued is not None
            taken.append(queued)
            taking[key] = None
        self._left -= len(taken)
        if not self._left:
            self._taking = {}
        return taken

    async def wait(self) -> None:
        """Wait until there is something to pop, a `replace` has been queued, or the queue was closed.

        Cancelling it changes nothing. Meant for one consumer, which then pops until there is nothing left.
        """
        await self._wakeup.wait()
        if not self._closed:
            self._wakeup.clear()

    async def pop(self) -> Popped:
        """Take the oldest key with all its changes; wait for one if there is none.

        If cancelled, nothing has been taken.

        Raises:
            StoppedError: the queue is closed and empty.
        """
        while True:
            popped = self.pop_nowait()
            if popped is not None:
                if len(self):
                    self._wakeup.set()
                return popped
            if self._closed:
                msg = "DeltaFIFO: manipulating with closed queue"
                raise StoppedError(msg)
            await self.wait()

    def _queued(self, key: ObjectKey) -> Delta | Deltas | None:
        """What is queued for a key."""
        queued = self._items.get(key)
        return queued if queued is not None or not self._left else self._taking.get(key)

    def _last_known(self, key: ObjectKey) -> KubeObject | None:
        queued = self._queued(key)
        if queued is not None:
            last = _last_of(queued)
            return None if last.type is DeltaType.DELETED else last.object
        return None if self._known is None else self._known.get_by_key(key)

    def _append_lost(self, key: ObjectKey, *, first: bool) -> None:
        last = self._last_known(key)
        if last is not None:
            self._append(key, Delta(DeltaType.DELETED, last, final_state_known=False))
            # Also a key that is queued already, by a resync: it was not counted then, and will be popped all the same.
            self._initial_left += first

    def _append(self, key: ObjectKey, delta: Delta) -> None:
        queued = self._queued(key)
        if queued is None:
            self._items[key] = delta
            self._wakeup.set()
            return
        deltas = [queued] if isinstance(queued, Delta) else queued
        last = deltas[-1]
        if delta.type is DeltaType.DELETED and last.type is DeltaType.DELETED:
            # Of two deletions in a row the one that knows the final state says more, else the newer one.
            if delta.final_state_known or not last.final_state_known:
                deltas[-1] = delta
        else:
            deltas.append(delta)
        (self._items if key in self._items else self._taking)[key] = deltas

    # Last, because below it the annotation list[...] would mean this method.
    def list(self) -> list[KubeObject]:
        """The newest queued state of each queued object."""
        return [_last_of(queued).object for key in self.list_keys() if (queued := self._queued(key)) is not None]


def _all_of(queued: Delta | Deltas) -> Deltas:
    return [queued] if isinstance(queued, Delta) else [*queued]


def _last_of(queued: Delta | Deltas) -> Delta:
    return queued if isinstance(queued, Delta) else queued[-1]
