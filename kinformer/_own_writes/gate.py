"""Holds a controller's keys back until the caches show the writes that belong to them.

A reconcile that reads a cache which does not show the last write yet would write once more. So each write belongs to
keys: to the key whose reconcile made it, and to the keys that the controller's watches map the object to. The queue
asks the gate before it hands out a key (`WorkQueue.hold_back`), and keeps a key whose writes are pending. The gate
releases the key when the caches show all of them, or after `timeout` seconds. No worker is occupied meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kinformer._own_writes.pending import Listening, PendingWrite, pending_writes_of
from kinformer._survivable import is_survivable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from contextlib import AbstractContextManager

    from kinformer.objects import KubeObject

__all__ = ["DEFAULT_WAIT", "WriteGate"]

K = TypeVar("K", bound="Hashable")

_log = logging.getLogger(__name__)

DEFAULT_WAIT: Final = 5.0
"""Maximum wait of a key, seconds (controller-runtime designs/read_your_own_write_client.md has the same)."""


class WriteGate(Generic[K]):
    """Knows for each key the pending writes that hold it back.

    Args:
        name: name of the controller, for logs.
        release: called with a key that need not wait any longer, if `must_wait` returned true for it.
        timeout: maximum wait of a key, seconds; 0 holds no key back.

    Attributes:
        waits: number of times that a key had to wait.
        given_up: number of times that a key was released after `timeout` seconds by a cache that was still behind.
    """

    def __init__(self, name: str, release: Callable[[K], None], *, timeout: float = DEFAULT_WAIT) -> None:
        self.waits = 0
        self.given_up = 0
        self._name = name
        self._release_key = release
        self._timeout = timeout
        self._writes: dict[K, set[PendingWrite]] = {}
        self._keys: dict[PendingWrite, set[K]] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._unlisten: list[Callable[[], None]] = []

    def __len__(self) -> int:
        """Return the number of keys with pending writes."""
        return len(self._writes)

    def watch(self, source: object, keys_of: Callable[[KubeObject], Iterable[K]]) -> Callable[[], None]:
        """Let the writes of a source's objects hold back the keys that `keys_of` maps them to.

        Returns:
            A function that ends this for later writes. Keys that are held back already are released as usual.
        """
        pending = pending_writes_of(source)
        if not self._timeout or pending is None:
            return _nothing
        unlisten = pending.listen(_MappedWrites(self, keys_of))
        self._unlisten.append(unlisten)

        def end() -> None:
            unlisten()
            if unlisten in self._unlisten:
                self._unlisten.remove(unlisten)

        return end

    def recording(self, key: K) -> AbstractContextManager[None]:
        """Let the writes of the body, by its task or by tasks that it starts, hold back a key."""
        return Listening(_WritesOfKey(self, key))

    def must_wait(self, key: K) -> bool:
        """Return whether a key has to wait; if so, `release` is called later, within `timeout` seconds."""
        if not self._writes or key not in self._writes:
            return False
        if key not in self._timers:
            self.waits += 1
            self._timers[key] = asyncio.get_running_loop().call_later(self._timeout, self._give_up, key)
        return True

    def close(self) -> None:
        """Release all keys and hold none back any more."""
        for unlisten in self._unlisten:
            unlisten()
        self._unlisten.clear()
        self._timeout = 0
        self._keys.clear()
        for key in [*self._writes]:
            self._release(key)

    def hold(self, key: K, write: PendingWrite) -> None:
        """Let a pending write hold back a key."""
        if self._timeout:
            self._writes.setdefault(key, set()).add(write)
            self._keys.setdefault(write, set()).add(key)

    def hold_mapped(self, keys_of: Callable[[KubeObject], Iterable[K]], write: PendingWrite, obj: KubeObject) -> None:
        """Let a pending write hold back the keys that its object is mapped to."""
        try:
            keys = [*keys_of(obj)]
        except BaseException as error:
            if not is_survivable(error):
                raise
            # The event of the same object reports the failure to the informer.
            _log.error("controller %s: %s could not be mapped to keys", self._name, write.key, exc_info=error)
            return
        for key in keys:
            self.hold(key, write)

    def ended(self, write: PendingWrite) -> None:
        """Release the keys that only this write has held back."""
        for key in self._keys.pop(write, ()):
            writes = self._writes.get(key)
            if writes is not None:
                writes.discard(write)
                if not writes:
                    self._release(key)

    def _give_up(self, key: K) -> None:
        self.given_up += 1
        late = self._writes.get(key, set())
        _log.warning(
            "controller %s: reconcile of %s goes on after %g s, although the cache does not show yet the writes to %s",
            *(self._name, key, self._timeout, ", ".join(sorted({str(write.key) for write in late}))),
        )
        for write in late:
            keys = self._keys.get(write, set())
            keys.discard(key)
            if not keys:
                self._keys.pop(write, None)
        self._release(key)

    def _release(self, key: K) -> None:
        del self._writes[key]
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
            self._release_key(key)


class _MappedWrites(Generic[K]):
    """Listener for the writes of one watched informer."""

    def __init__(self, gate: WriteGate[K], keys_of: Callable[[KubeObject], Iterable[K]]) -> None:
        self._gate = gate
        self._keys_of = keys_of

    def began(self, write: PendingWrite, obj: KubeObject | None) -> None:
        if obj is not None:
            self._gate.hold_mapped(self._keys_of, write, obj)

    def ended(self, write: PendingWrite) -> None:
        self._gate.ended(write)


class _WritesOfKey(Generic[K]):
    """Listener for the writes of one reconcile."""

    def __init__(self, gate: WriteGate[K], key: K) -> None:
        self._gate = gate
        self._key = key

    def began(self, write: PendingWrite, obj: KubeObject | None) -> None:
        del obj
        self._gate.hold(self._key, write)

    def ended(self, write: PendingWrite) -> None:
        self._gate.ended(write)


def _nothing() -> None:
    """End nothing."""
