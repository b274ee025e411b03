"""The queue between the reflector and the cache: the changes of each object, in order.

The rules are those of client-go's DeltaFIFO (tools/cache/delta_fifo.go), with two differences. `replace` queues the
deletions it finds before the objects of the list. The deletion of an unknown object is always dropped, so that no
handler gets the deletion of an object that it never got.

Version marks travel through the queue with the changes. A mark means that everything up to a resource version was
queued before it. When everything before a mark has been taken, the cache has reached that version.

Everything but `pop` and `wait` is synchronous and runs on one event loop, so there are no locks.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from kinformer._flag import Flag
from kinformer._own_loop import OwnLoop
from kinformer.cache._front_keys import front_keys
from kinformer.errors import StoppedError
from kinformer.listwatch import Delta, DeltaType

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator, Mapping

    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["Delta", "DeltaFIFO", "DeltaType", "Deltas", "KnownObjects", "Popped", "VersionMark"]


_NO_KEYS: Final[Iterator[ObjectKey]] = iter(())
_GONE: Final = frozenset({DeltaType.DELETED, DeltaType.LEFT})

_HELD: Final = 1 << 62
"""A number of initial keys that is never reached."""

Deltas = list[Delta]
"""All changes of one object since its key was last popped, oldest first."""


class VersionMark(msgspec.Struct, frozen=True, gc=False):
    """A point in the queue: everything up to a resource version was queued before it.

    Attributes:
        resource_version: that version.
        lists: how many lists have been queued completely before this mark.
    """

    resource_version: str
    lists: int


class Popped(NamedTuple):
    """One key taken from the queue, with its changes.

    Attributes:
        key: the object's key.
        deltas: its changes, oldest first.
        initial: the key was popped before the queue had delivered its first list (client-go: isInInitialList).
    """

    key: ObjectKey
    deltas: Deltas
    initial: bool


class KnownObjects(Protocol):
    """The objects that have left the queue: the cache."""

    def get_by_key(self, key: ObjectKey) -> KubeObject | None:
        """Return the object of that key, or `None`."""
        ...

    def list_keys(self) -> Collection[ObjectKey]:
        """Return all keys."""
        ...

    def __contains__(self, key: object) -> bool: ...


class DeltaFIFO:
    """A queue of keys, each with the list of its changes. A key keeps its place until it is popped.

    Args:
        known_objects: the cache that this queue feeds. `replace` compares it with a new list to find the objects that
            are gone. Without a cache, only queued objects count as known.

    Attributes:
        held: while it is true, changes of a watch and marks do not wake the consumer.
    """

    __slots__ = (
        "_closed",
        "_initial_left",
        "_items",
        "_known",
        "_marks",
        "_next_key",
        "_own_loop",
        "_populated",
        "_taken",
        "_taking",
        "_wakeup",
        "held",
    )

    def __init__(self, known_objects: KnownObjects | None = None) -> None:
        # A dict keeps the order of insertion, but finding its first key means walking over all keys removed before it.
        # So a dict that is not taken as a whole moves to `_taking`, whose keys are found many at a time.
        # Most keys have one change, which is stored without a list: then the garbage collector skips these dicts.
        self._items: dict[ObjectKey, Delta | Deltas] = {}
        self._taking: dict[ObjectKey, Delta | Deltas] = {}
        self._next_key: Iterator[ObjectKey] = _NO_KEYS
        self.held = False
        self._taken = 0  # keys taken since the beginning
        # Each mark has the value that `_taken` reaches once everything before the mark has been taken.
        self._marks: deque[tuple[int, VersionMark]] = deque()
        self._known = known_objects
        self._populated = False
        self._initial_left = 0
        self._closed = False
        self._wakeup = Flag()
        self._own_loop = OwnLoop("this DeltaFIFO was first waited for")

    def __len__(self) -> int:
        return len(self._taking) + len(self._items)

    def __contains__(self, key: ObjectKey) -> bool:
        return self._queued(key) is not None

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._closed

    @property
    def has_synced(self) -> bool:
        """True once every object of the first `replace` was popped, or if another change came before any `replace`.

        Never becomes false again.
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
        """Queue the deletion of an object; drop it if the object is neither known nor queued."""
        self._populated = True
        key = obj.key
        if key in self or (self._known is not None and key in self._known):
            self._append(key, Delta(DeltaType.DELETED, obj, final_state_known))

    def extend(self, deltas: Iterable[Delta]) -> None:
        """Queue the changes of a watch in their order, with the same result as `add`, `update` and `delete` each."""
        # This loop runs for each event of each watch: hence the local names, and no call that can be avoided.
        items, taking, known = self._items, self._taking, self._known
        deleted = DeltaType.DELETED
        for delta in deltas:
            key = delta.object.key
            if key in items or (taking and key in taking):
                self._append(key, delta)
            elif delta.type is not deleted or (known is not None and key in known):
                items[key] = delta
        self._populated = True
        if not self.held:
            self._wake()

    def mark(self, resource_version: str, lists: int) -> None:
        """Queue a mark: everything up to this version, and this number of whole lists, was queued before."""
        mark = VersionMark(resource_version, lists)
        due = self._taken + len(self._taking) + len(self._items)
        marks = self._marks
        if marks and marks[-1][0] == due:
            # Nothing was queued between the two marks, so the newer one replaces the older one.
            marks[-1] = (due, mark)
        else:
            marks.append((due, mark))
        if not self.held:
            self._wake()

    @property
    def queued(self) -> int:
        """Number of keys that were queued since the beginning; `taken` reaches it when all of them were taken."""
        return self._taken + len(self._taking) + len(self._items)

    @property
    def taken(self) -> int:
        """Number of keys that were taken since the beginning."""
        return self._taken

    def take_mark(self) -> VersionMark | None:
        """Take the newest mark that the consumer has reached; `None` if it has reached none since the last call."""
        marks, taken = self._marks, self._taken
        reached = None
        while marks and marks[0][0] <= taken:
            reached = marks.popleft()[1]
        return reached

    def leave_out(self, key: ObjectKey) -> None:
        """Queue the deletion of the object known under a key, because its present state cannot be used."""
        last = self.last_known(key)
        if last is not None:
            self._populated = True
            self._append(key, Delta(DeltaType.DELETED, last, final_state_known=False))

    def replaced(self, key: ObjectKey, obj: KubeObject) -> None:
        """Queue an object that a list of one part has."""
        self._append(key, Delta(DeltaType.REPLACED, obj))

    def let_go(self, key: ObjectKey) -> None:
        """Queue that the object of a key has left the scope."""
        last = self.last_known(key)
        if last is not None:
            self._append(key, Delta(DeltaType.LEFT, last))

    def hold_initial(self) -> None:
        """Count everything as initial until `release_initial`: several lists make up the first one."""
        self._populated = True
        self._initial_left = _HELD

    def release_initial(self) -> None:
        """End the effect of `hold_initial`: the changes queued now are the last initial ones."""
        self._initial_left = len(self)
        self._wake()

    def replace(self, objects: Iterable[KubeObject]) -> None:
        """Queue a whole list: first the deletion of each known object that it lacks, then each object as Replaced."""
        for _ in self.replacing({obj.key: obj for obj in objects}, slice_size=1 << 62):
            pass

    def replacing(
        self,
        by_key: Mapping[ObjectKey, KubeObject],
        *,
        slice_size: int,
        version: int = 0,  # noqa: ARG002 - a whole list is right, of any version
    ) -> Generator[None, None, int]:
        """Queue a whole list in slices: yield after each `slice_size` keys, so that the caller can let other tasks run.

        All deletions are queued before the first object. Keys may be popped between the yields. A change that is queued
        between them comes before what the list says of the same key. So the caller must put the newer object into
        `by_key`, too, also under a key that the list lacks: else its deletion follows. The caller may not remove keys.
        The queue is not synced until the last slice is queued.

        Returns:
            The number of known objects that the list lacks.
        """
        lost = 0
        first = not self._populated
        if first:
            # One too many until the last slice, so that a queue emptied between two slices does not count as synced.
            self._initial_left = 1
            self._populated = True
        # Copies of the keys, because both the cache and the list may change between the yields.
        known = self.list_keys()
        if self._known is not None:
            known += self._known.list_keys()
        # Taken from the end, so that the keys of deleted objects are not all freed at once.
        known.reverse()
        while known:
            key = known.pop()
            if key not in by_key:
                lost += self._append_lost(key, first=first)
            if len(known) % slice_size == 0 and (by_key or known):
                yield
        listed = [*by_key]
        for count, key in enumerate(listed, 1):
            self._append(key, Delta(DeltaType.REPLACED, by_key[key]))
            self._initial_left += first
            if count % slice_size == 0 and count < len(listed):
                yield
        if first:
            self._initial_left -= 1
        # An empty list queues nothing, but the consumer must wake up to see that the queue is synced.
        self._wake()
        return lost

    def resync(self) -> None:
        """Queue every known object as Sync, except objects with a queued change, which is newer."""
        if self._known is None:
            return
        for key in list(self._known.list_keys()):
            if key in self:
                continue
            obj = self._known.get_by_key(key)
            if obj is not None:
                self._append(key, Delta(DeltaType.SYNC, obj))

    def list_keys(self) -> list[ObjectKey]:
        """Return the queued keys, in the order of `pop`."""
        return [*self._taking, *self._items]

    def get_by_key(self, key: ObjectKey) -> Deltas | None:
        """Return a copy of the changes queued for a key, or `None`."""
        queued = self._queued(key)
        return None if queued is None else _all_of(queued)

    def close(self) -> None:
        """Close the queue, and wake all waiting calls. Queued changes can still be popped."""
        self._closed = True
        self._wake()

    def pop_nowait(self) -> Popped | None:
        """Take the oldest key with all its changes; return `None` if the queue is empty."""
        taken, initial = self.take(1)
        if not taken:
            return None
        deltas = _all_of(taken[0])
        return Popped(deltas[0].object.key, deltas, initial)

    def take(self, limit: int) -> tuple[list[Delta | Deltas], bool]:
        """Take at most `limit` keys; return the change or the changes of each, and whether they are initial.

        Changes that are taken together are all initial, or none of them is. The result is empty only if the queue is.
        Call `take_mark` afterwards to get the version that the consumer has reached.
        """
        initial = self._initial_left > 0 or not self._populated
        if self._initial_left:
            limit = min(limit, self._initial_left)
        if not self._taking and len(self._items) <= limit:
            taken: list[Delta | Deltas] = [*self._items.values()]
            self._items = {}
        else:
            taken = self._take_some(limit)
        self._taken += len(taken)
        if self._initial_left:
            self._initial_left -= len(taken)
        return taken, initial

    def _take_some(self, limit: int) -> list[Delta | Deltas]:
        taking = self._taking
        if not taking:
            taking = self._taking = self._items
            self._items = {}
            self._next_key = front_keys(taking)
        # Each key leaves the dict as it is taken: 100,000 keys freed at once would hold the loop.
        taken = [*map(taking.pop, islice(self._next_key, limit))]
        if not taking:
            self._taking, self._next_key = {}, _NO_KEYS
        return taken

    async def wait(self) -> None:
        """Wait until there is a key to pop, a `replace` or a mark was queued, or the queue was closed.

        Cancelling it changes nothing. Meant for one consumer, which then pops until the queue is empty.

        Raises:
            WrongLoopError: the first wait was in another event loop.
        """
        self._own_loop.take_once()
        await self._wakeup.wait()
        if not self._closed:
            self._wakeup.clear()

    async def pop(self) -> Popped:
        """Take the oldest key with all its changes; wait for one if the queue is empty.

        A cancelled call takes nothing.

        Raises:
            StoppedError: the queue is closed and empty.
            WrongLoopError: as `wait`, if the queue is empty.
        """
        while True:
            popped = self.pop_nowait()
            if popped is not None:
                if len(self):
                    self._wake()
                return popped
            if self._closed:
                msg = "DeltaFIFO: manipulating with closed queue"
                raise StoppedError(msg)
            await self.wait()

    def _wake(self) -> None:
        self._wakeup.set()

    def _queued(self, key: ObjectKey) -> Delta | Deltas | None:
        """Return the change or the changes that are queued for a key, or `None`."""
        queued = self._items.get(key)
        return queued if queued is not None or not self._taking else self._taking.get(key)

    def last_known(self, key: ObjectKey) -> KubeObject | None:
        """Return the newest state of an object, queued or cached; `None` if there is none or its deletion is queued."""
        queued = self._queued(key)
        if queued is not None:
            last = _last_of(queued)
            return None if last.type in _GONE else last.object
        return None if self._known is None else self._known.get_by_key(key)

    def _append_lost(self, key: ObjectKey, *, first: bool) -> bool:
        """Queue the deletion of an object that a list lacks; return whether it was known."""
        last = self.last_known(key)
        if last is None:
            return False
        self._append(key, Delta(DeltaType.DELETED, last, final_state_known=False))
        # This also counts a key that a resync queued: it was not counted then, and it will be popped, too.
        self._initial_left += first
        return True

    def _append(self, key: ObjectKey, delta: Delta) -> None:
        queued = self._queued(key)
        if queued is None:
            self._items[key] = delta
            if not self._wakeup.is_set():
                self._wake()
            return
        deltas = [queued] if isinstance(queued, Delta) else queued
        last = deltas[-1]
        if delta.type is DeltaType.DELETED and last.type is DeltaType.DELETED:
            # Of two deletions in a row, keep the one with the final state, else the newer one.
            if delta.final_state_known or not last.final_state_known:
                deltas[-1] = delta
        else:
            deltas.append(delta)
        (self._items if key in self._items else self._taking)[key] = deltas

    # The last method, because below it the annotation list[...] would mean this method.
    def list(self) -> list[KubeObject]:
        """Return the newest queued state of each queued object."""
        return [_last_of(queued).object for key in self.list_keys() if (queued := self._queued(key)) is not None]


def _all_of(queued: Delta | Deltas) -> Deltas:
    return [queued] if isinstance(queued, Delta) else [*queued]


def _last_of(queued: Delta | Deltas) -> Delta:
    return queued if isinstance(queued, Delta) else queued[-1]
