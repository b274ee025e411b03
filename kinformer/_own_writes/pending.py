"""Whether a cache has come to what was written: floors under the state it may be read in. Pure: no clock, no I/O.

Each write of ours that a cache does not show yet is a floor under the written object's key. A floor is reached

- by the object: the cache has it in the written version or a newer one (of whichever UID: versions only grow);
- by progress: everything up to the written version is in the cache, so that the object, if it is not there, has gone
  or lies outside of what the cache covers;
- for a deletion: the cache does not have the object of that UID, and has come to where it still was;

and is forgotten at that moment. Versions are compared as the integers they are (KEP-5504).
"""

from __future__ import annotations

import contextlib
import enum
import heapq
import itertools
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from kinformer.objects import version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kinformer._own_writes.feed import Write
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["MOST_FLOORS", "Floor", "Floors", "Outcome", "raised_within"]

MOST_FLOORS: Final = 10_000
"""How many floors a cache keeps at most; the oldest makes room."""


class Outcome(enum.Enum):
    """How a floor ended."""

    REACHED = "reached"
    GIVEN_UP = "given up"
    STOPPED = "stopped"
    """The cache is not kept up any more."""


class Floor:
    """One floor under one key. `then` is how to hear of its end.

    Attributes:
        key: the object.
        uid: the object's UID.
        outcome: how it ended; `None` as long as it is not reached.
    """

    __slots__ = ("_then", "after", "gone", "key", "outcome", "past", "uid", "version")

    def __init__(
        self, key: ObjectKey, uid: str, version: int, *, gone: bool = False, after: int = 0, past: int | None = None
    ) -> None:
        self.key = key
        self.uid = uid
        self.version = version
        self.gone = gone
        self.after = after
        self.past = past
        self.outcome: Outcome | None = None
        self._then: list[Callable[[Floor], None]] = []

    def __repr__(self) -> str:
        what = f"without {self.uid}" if self.gone else f"at {self.version}"
        return f"<Floor {self.key} {what} {self.outcome.value if self.outcome else 'not reached'}>"

    def then(self, told: Callable[[Floor], None]) -> None:
        """Have a function called when it ends; at once if it has."""
        if self.outcome is None:
            self._then.append(told)
        else:
            told(self)

    def is_reached(self, cached: KubeObject | None, progress: int) -> bool:
        """Whether a cache has come to it, that has this object under the key, and everything up to that version."""
        if self.version and progress >= self.version:
            return True
        if not self.gone:
            return cached is not None and version_number(cached.resource_version) >= self.version
        if progress < self.after:
            return False
        if cached is None or cached.uid != self.uid:
            return True
        return self.past is not None and version_number(cached.resource_version) > self.past

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        then, self._then = self._then, []
        for told in then:
            told(self)


class Floors:
    """The floors of one cache.

    Args:
        look: what the cache has under a key.
        progress: the version up to which everything is in the cache.
        most: how many are kept at most.
    """

    def __init__(
        self,
        look: Callable[[ObjectKey], KubeObject | None],
        progress: Callable[[], str],
        *,
        most: int = MOST_FLOORS,
    ) -> None:
        self._look = look
        self._progress = progress
        self._most = most
        self._by_key: dict[ObjectKey, list[Floor]] = {}
        # Those a version decides, the lowest first: (version, tie-break, floor). What has ended is left out lazily.
        self._by_version: list[tuple[int, int, Floor]] = []
        self._order = itertools.count()
        self._listeners: list[Callable[[Floor, KubeObject | None], None]] = []
        self._count = 0
        self._closed = False

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def of(self, key: ObjectKey) -> list[Floor]:
        """Those under a key that are not reached, in the order they were raised."""
        return [*self._by_key.get(key, ())]

    def all(self) -> list[Floor]:
        """All that are not reached."""
        return [floor for floors in self._by_key.values() for floor in floors]

    def listen(self, listener: Callable[[Floor, KubeObject | None], None]) -> Callable[[], None]:
        """Have a function told of each floor that is raised, and of the object: as written if known, else as cached."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def raised_by(self, write: Write, *, covered: bool | None) -> Floor | None:
        """The floor that a write raises; `None` where there is nothing to wait for.

        Args:
            write: what was written.
            covered: whether the cache covers the object as it is after the write; `None` if that cannot be told.
        """
        key = write.key
        pending = self._by_key.get(key, ())
        cached = self._look(key)
        gone = write.gone or covered is False
        uid = write.uid or (cached.uid if cached is not None else pending[-1].uid if pending else "")
        left = covered is False and not write.gone
        if left and cached is not None and version_number(cached.resource_version) < write.version:
            # It, or another object that took its name, is outside of what the cache covers: what it has there is to go.
            uid = cached.uid
        known = bool(pending) or (cached is not None and cached.uid == uid)
        # What the cache does not have, it may be about to hear of; but not of what it does not cover.
        to_come = write.obj is not None and covered is not False
        if not known and not (to_come and max(write.version, write.after) > version_number(self._progress())):
            return None
        after = max([write.after, *(floor.version for floor in pending if not floor.gone and floor.uid == uid)])
        floor = Floor(key, uid, write.version, gone=gone, after=after if gone else 0, past=write.past)
        return self.add(floor, write.obj or cached)

    def add(self, floor: Floor, obj: KubeObject | None = None, *, tell: bool = True) -> Floor | None:
        """Raise a floor; `None` if it is reached already. Not to `tell` of it is for one's own use."""
        if self._closed or floor.is_reached(self._look(floor.key), version_number(self._progress())):
            return None
        while self._count >= self._most:
            self.give_up(next(iter(self._by_key.values()))[0])
        self._by_key.setdefault(floor.key, []).append(floor)
        self._count += 1
        decisive = floor.version or floor.after
        if decisive:
            heapq.heappush(self._by_version, (decisive, next(self._order), floor))
        if tell:
            within = _within.get()
            if within is not None:
                within(floor)
            for listener in tuple(self._listeners):
                listener(floor, obj)
        return floor

    def changed(self, keys: Iterable[ObjectKey]) -> None:
        """These objects have changed in the cache."""
        progress = version_number(self._progress())
        for key in [key for key in keys if key in self._by_key]:
            cached = self._look(key)
            for floor in self.of(key):
                if floor.is_reached(cached, progress):
                    self._over(floor, Outcome.REACHED)

    def progressed(self) -> None:
        """The version up to which everything is in the cache may have grown."""
        progress = version_number(self._progress())
        heap = self._by_version
        while heap and (heap[0][0] <= progress or heap[0][2].outcome is not None):
            floor = heapq.heappop(heap)[2]
            if floor.outcome is None and floor.is_reached(self._look(floor.key), progress):
                self._over(floor, Outcome.REACHED)

    def give_up(self, floor: Floor) -> None:
        """Forget one, reached or not."""
        if floor.outcome is None:
            self._over(floor, Outcome.GIVEN_UP)

    def close(self) -> None:
        """The cache is not kept up any more: nothing will be reached."""
        self._closed = True
        for floor in self.all():
            self._over(floor, Outcome.STOPPED)

    def _over(self, floor: Floor, outcome: Outcome) -> None:
        floors = self._by_key[floor.key]
        floors.remove(floor)
        self._count -= 1
        if not floors:
            del self._by_key[floor.key]
            if not self._by_key:
                self._by_version.clear()
        floor._end(outcome)


_within: ContextVar[Callable[[Floor], None] | None] = ContextVar("kinformer_floors_raised_within", default=None)


@contextlib.contextmanager
def raised_within(told: Callable[[Floor], None]) -> Iterator[None]:
    """Have a function told of each floor that the body raises in any cache, in its own task or in tasks it starts."""
    token = _within.set(told)
    try:
        yield
    finally:
        _within.reset(token)
