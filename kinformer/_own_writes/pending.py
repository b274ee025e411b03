"""Writes of this program that a cache does not show yet. Pure: no clock, no I/O.

A write is pending under the key of its object. It ends, and is forgotten, when the cache shows it:

- by the object: the cache has the object in the written version or a newer one (of any UID: versions only grow);
- by progress: everything up to the written version is in the cache. If the object is not there, then it is deleted, or
  lies outside of the part that the cache covers;
- for a deletion: the cache does not have the object of that UID, and has reached a version in which it still existed.

Versions are compared as integers (KEP-5504).
"""

from __future__ import annotations

import enum
import heapq
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Final, Protocol

from kinformer.objects import version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kinformer._own_writes.feed import Write
    from kinformer.objects import KubeObject, ObjectKey

__all__ = [
    "MAX_PENDING",
    "Listener",
    "Listening",
    "Outcome",
    "PendingWrite",
    "PendingWrites",
    "pending_writes_of",
    "set_pending_writes",
]

MAX_PENDING: Final = 10_000
"""Maximum number of pending writes of one cache; the oldest one makes room."""


class Outcome(enum.Enum):
    """The end of a pending write."""

    REACHED = "reached"
    GIVEN_UP = "given up"
    STOPPED = "stopped"
    """The cache is not updated any more."""


class Listener(Protocol):
    """The one way to be notified of pending writes.

    A listener is registered for one cache (`PendingWrites.listen`), for one task (`Listening`) or for one write
    (`PendingWrite.listen`). Each write calls each of its listeners once at its beginning and once at its end. Neither
    method may raise.
    """

    def began(self, write: PendingWrite, obj: KubeObject | None, /) -> None:
        """Take note of a new pending write and of its object: as written if known, else as cached."""
        ...

    def ended(self, write: PendingWrite, /) -> None:
        """Take note of the end of a pending write; its `outcome` is set."""
        ...


class PendingWrite:
    """One write that a cache does not show yet.

    Attributes:
        key: the object.
        uid: the object's UID.
        outcome: how the wait for it ended; `None` while it is pending.
    """

    __slots__ = ("_listeners", "after", "gone", "key", "outcome", "past", "uid", "version")

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
        self._listeners: list[Listener] = []

    def __repr__(self) -> str:
        expected = f"without {self.uid}" if self.gone else f"at {self.version}"
        return f"<PendingWrite {self.key} {expected} {self.outcome.value if self.outcome else 'not reached'}>"

    def listen(self, listener: Listener) -> None:
        """Call `listener.ended` when the write is not pending any more; at once if that is so already."""
        if self.outcome is None:
            self._listeners.append(listener)
        else:
            listener.ended(self)

    def is_reached(self, cached: KubeObject | None, progress: int) -> bool:
        """Return whether a cache shows the write.

        Args:
            cached: the object that the cache has under the key.
            progress: the version up to which everything is in the cache.
        """
        if self.version and progress >= self.version:
            return True
        if not self.gone:
            return cached is not None and version_number(cached.resource_version) >= self.version
        if progress < self.after:
            return False
        if cached is None or cached.uid != self.uid:
            return True
        return self.past is not None and version_number(cached.resource_version) > self.past

    def _begin(self, obj: KubeObject | None, listeners: list[Listener]) -> None:
        self._listeners = listeners
        for listener in tuple(listeners):
            listener.began(self, obj)

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.ended(self)


class PendingWrites:
    """The pending writes of one cache.

    Args:
        look: returns the object that the cache has under a key.
        progress: returns the version up to which everything is in the cache.
        most: maximum number of pending writes.
    """

    def __init__(
        self,
        look: Callable[[ObjectKey], KubeObject | None],
        progress: Callable[[], str],
        *,
        most: int = MAX_PENDING,
    ) -> None:
        self._look = look
        self._progress = progress
        self._most = most
        self.by_key: dict[ObjectKey, list[PendingWrite]] = {}
        """The pending writes of each key that has some, the oldest first. For a look only."""
        # Heap of the writes that a version decides: (version, tie-break, write). Ended ones are dropped lazily.
        self._by_version: list[tuple[int, int, PendingWrite]] | None = None
        self._added = 0
        self._listeners: tuple[Listener, ...] = ()
        self._count = 0
        self._closed = False

    def __len__(self) -> int:
        return self._count

    def of(self, key: ObjectKey) -> list[PendingWrite]:
        """Return the pending writes of a key, the oldest first."""
        return [*self.by_key.get(key, ())]

    def all(self) -> list[PendingWrite]:
        """Return all pending writes."""
        return [write for writes in self.by_key.values() for write in writes]

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Notify a listener of each write that becomes pending from now on; return the function that stops this."""
        self._listeners += (listener,)
        return lambda: self._stop_listening(listener)

    def _stop_listening(self, listener: Listener) -> None:
        left = [*self._listeners]
        if listener in left:
            left.remove(listener)
            self._listeners = tuple(left)

    def expect(self, write: Write, *, covered: bool | None) -> PendingWrite | None:
        """Return the pending write for an accepted write; `None` if there is nothing to wait for.

        Args:
            write: the accepted write.
            covered: whether the cache covers the object as it is after the write; `None` if that is unknown.
        """
        key = write.key
        pending = self.by_key.get(key, ())
        cached = self._look(key)
        gone = write.gone or covered is False
        uid = write.uid or (cached.uid if cached is not None else pending[-1].uid if pending else "")
        left = covered is False and not write.gone
        if left and cached is not None and version_number(cached.resource_version) < write.version:
            # The written object, or another one of that name, lies outside of the cache: the cached one will leave it.
            uid = cached.uid
        known = bool(pending) or (cached is not None and cached.uid == uid)
        # An object that the cache does not have may be on its way, unless the cache does not cover it.
        to_come = write.obj is not None and covered is not False
        if not known and not (to_come and max(write.version, write.after) > version_number(self._progress())):
            return None
        after = max([write.after, *(before.version for before in pending if not before.gone and before.uid == uid)])
        added = PendingWrite(key, uid, write.version, gone=gone, after=after if gone else 0, past=write.past)
        return self.add(added, write.obj or cached)

    def add(self, write: PendingWrite, obj: KubeObject | None = None, *, announce: bool = True) -> PendingWrite | None:
        """Add a pending write; return `None` if the cache shows it already.

        Args:
            write: the write.
            obj: the object, for listeners.
            announce: whether the listeners of the cache and of the task are notified.
        """
        if self._closed or write.is_reached(self._look(write.key), version_number(self._progress())):
            return None
        while self._count >= self._most:
            self.give_up(next(iter(self.by_key.values()))[0])
        self.by_key.setdefault(write.key, []).append(write)
        self._count += 1
        decisive = write.version or write.after
        if decisive:
            self._added += 1
            if self._by_version is None:
                self._by_version = []
            heapq.heappush(self._by_version, (decisive, self._added, write))
        if announce:
            of_task = _listener_of_task.get()
            write._begin(obj, [*self._listeners] if of_task is None else [of_task, *self._listeners])
        return write

    def changed(self, keys: Iterable[ObjectKey]) -> None:
        """Check the writes of the keys whose objects have changed in the cache."""
        progress = version_number(self._progress())
        for key in [key for key in keys if key in self.by_key]:
            cached = self._look(key)
            for write in self.of(key):
                if write.is_reached(cached, progress):
                    self._forget(write, Outcome.REACHED)

    def progressed(self) -> None:
        """Check the writes up to the version up to which everything is in the cache; that version may have grown."""
        progress = version_number(self._progress())
        heap = self._by_version
        while heap and (heap[0][0] <= progress or heap[0][2].outcome is not None):
            write = heapq.heappop(heap)[2]
            if write.outcome is None and write.is_reached(self._look(write.key), progress):
                self._forget(write, Outcome.REACHED)

    def give_up(self, write: PendingWrite) -> None:
        """Forget a write, whether it is pending or not."""
        if write.outcome is None:
            self._forget(write, Outcome.GIVEN_UP)

    def close(self) -> None:
        """End all writes: the cache is not updated any more."""
        self._closed = True
        for write in self.all():
            self._forget(write, Outcome.STOPPED)

    def _forget(self, write: PendingWrite, outcome: Outcome) -> None:
        writes = self.by_key[write.key]
        writes.remove(write)
        self._count -= 1
        if not writes:
            del self.by_key[write.key]
            if not self.by_key:
                self._by_version = None
        write._end(outcome)


_listener_of_task: ContextVar[Listener | None] = ContextVar("kinformer_pending_writes_of_task", default=None)


class Listening:
    """Notify a listener of the writes, pending in any cache, of the body: of its task and of tasks that it starts.

    Args:
        listener: the listener.
    """

    __slots__ = ("_listener", "_token")

    _token: Token[Listener | None]

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def __enter__(self) -> None:
        self._token = _listener_of_task.set(self._listener)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        _listener_of_task.reset(self._token)


_ATTRIBUTE: Final = "_kinformer_pending_writes"


def set_pending_writes(informer: object, pending: PendingWrites) -> None:
    """Make the pending writes of an informer known to the controllers that use it.

    They are a private attribute of the informer, because they are no part of its public API. A weak dictionary would
    hold every informer for ever: its pending writes refer to its cache, and so to the informer.
    """
    setattr(informer, _ATTRIBUTE, pending)


def pending_writes_of(informer: object) -> PendingWrites | None:
    """Return the pending writes of an informer; `None` for an object that does not know the writes of this program."""
    found = getattr(informer, _ATTRIBUTE, None)
    return found if isinstance(found, PendingWrites) else None
