"""Holds a controller's keys back until the caches show what was written for them.

A reconcile that reads a cache which does not yet show what the last one wrote, writes it once more. So each write
belongs to keys: to the one whose reconcile made it, and to those the controller's watches map the object to. Such a key
is not reconciled before every informer that got a floor by the write has reached it, or `timeout` seconds have passed.
It waits outside of the workers, which meanwhile do others.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar, runtime_checkable

from kinformer._own_writes.pending import Floor, Floors, raised_within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable
    from contextlib import AbstractContextManager

    from kinformer.objects import KubeObject

__all__ = ["DEFAULT_WAIT", "HasFloors", "WriteGate"]

K = TypeVar("K", bound="Hashable")

_log = logging.getLogger(__name__)

DEFAULT_WAIT: Final = 5.0
"""Seconds that a key waits at most (controller-runtime designs/read_your_own_write_client.md, the same)."""


@runtime_checkable
class HasFloors(Protocol):
    """What an informer is that knows of this program's writes."""

    @property
    def floors(self) -> Floors:
        """What its cache must come to."""
        ...


class WriteGate(Generic[K]):
    """Knows for each key which floors its next reconcile must not stand below.

    Args:
        name: the controller's, for logs.
        timeout: seconds that a key waits at most; 0 for not at all.

    Attributes:
        waits: how often a key had to wait.
        given_up: how often one went on after `timeout` seconds with a cache that had not come so far.
    """

    def __init__(self, name: str, *, timeout: float = DEFAULT_WAIT) -> None:
        self.waits = 0
        self.given_up = 0
        self._name = name
        self._timeout = timeout
        self._floors: dict[K, set[Floor]] = {}
        self._waiting: dict[K, asyncio.Event] = {}
        self._unlisten: list[Callable[[], None]] = []

    def __len__(self) -> int:
        """How many keys wait, or would."""
        return len(self._floors)

    def watch(self, source: object, keys_of: Callable[[KubeObject], Iterable[K]]) -> None:
        """Writes of a source's objects hold back the keys they are mapped to."""
        if not self._timeout or not isinstance(source, HasFloors):
            return

        def raised(floor: Floor, obj: KubeObject | None) -> None:
            if obj is None:
                return
            try:
                keys = [*keys_of(obj)]
            except Exception:  # noqa: BLE001 - a user's map; the event of the same object will tell him again
                _log.exception("controller %s: %s could not be mapped to keys", self._name, floor.key)
                return
            for key in keys:
                self._hold_below(key, floor)

        self._unlisten.append(source.floors.listen(raised))

    def recording(self, key: K) -> AbstractContextManager[None]:
        """What is written in the body, by its task or by tasks it starts, holds back this key."""
        return raised_within(lambda floor: self._hold_below(key, floor))

    def before(self, key: K) -> Awaitable[None] | None:
        """What must be awaited before a key is reconciled; `None` if nothing."""
        return self._wait(key) if key in self._floors else None

    def close(self) -> None:
        """Hold nothing any more."""
        for unlisten in self._unlisten:
            unlisten()
        self._unlisten.clear()
        for key in [*self._floors]:
            self._release(key)

    async def _wait(self, key: K) -> None:
        self.waits += 1
        over = self._waiting.setdefault(key, asyncio.Event())
        try:
            async with asyncio.timeout(self._timeout):
                await over.wait()
        except TimeoutError:
            self.given_up += 1
            late = sorted({str(floor.key) for floor in self._floors.get(key, ())})
            _log.warning(
                "controller %s: reconcile of %s goes on after %g s, though the cache does not show yet what was "
                "written to %s",
                *(self._name, key, self._timeout, ", ".join(late)),
            )
            self._release(key)

    def _hold_below(self, key: K, floor: Floor) -> None:
        if not self._timeout:
            return
        floors = self._floors.setdefault(key, set())
        if floor not in floors:
            floors.add(floor)
            floor.then(lambda ended: self._ended(key, ended))

    def _ended(self, key: K, floor: Floor) -> None:
        floors = self._floors.get(key)
        if floors is not None and floor in floors:
            floors.remove(floor)
            if not floors:
                self._release(key)

    def _release(self, key: K) -> None:
        self._floors.pop(key, None)
        over = self._waiting.pop(key, None)
        if over is not None:
            over.set()
