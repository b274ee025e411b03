"""Latest changes: the last states of objects, within a budget of memory."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from kinformer.events import Added, Deleted, Updated
from kinformer.integrations.ui.presentation import difference

if TYPE_CHECKING:
    from kinformer.events import Event
    from kinformer.informer import SharedInformer
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.resources import Resource

__all__ = ["BUDGET_BYTES", "Change", "Changes"]

BUDGET_BYTES: Final = 32 * 1024 * 1024
"""The most bytes of earlier states, for all informers together; the oldest changes go first."""


_LOOKED_THROUGH: Final = 400


@dataclass(slots=True, eq=False)
class Change:
    """One change of one object.

    Attributes:
        number: changes are counted from 1.
        at: seconds since the epoch.
        kind: "added", "updated" or "deleted".
        old: the state before; `None` for one that was added.
        new: the state after; `None` for one that was deleted.
        summary: the change in a few words; `None` until it is computed on demand.
    """

    number: int
    at: float
    kind: str
    old: KubeObject | None
    new: KubeObject | None
    summary: str | None = None
    _difference: list[list[str]] | None = field(default=None, init=False)

    def event(self) -> Event:
        """Return the event that a handler received."""
        if self.old is None or self.new is None:
            return Added(self.new) if self.new is not None else Deleted(self._state)
        return Updated(self.old, self.new)

    @property
    def _state(self) -> KubeObject:
        state = self.new if self.new is not None else self.old
        assert state is not None
        return state

    @property
    def resource(self) -> Resource:
        """Return the resource of the object."""
        return self._state.resource

    @property
    def resource_version(self) -> str:
        """Return the version of the state after, or of the last state."""
        return self._state.resource_version

    @property
    def size(self) -> int:
        """Return the size of the states in bytes."""
        return sum(len(obj.raw) for obj in (self.old, self.new) if obj is not None)

    def difference(self) -> list[list[str]]:
        """Return the difference, computed on demand."""
        if self._difference is None:
            self._difference = difference(self.old, self.new) if self.kind == "updated" else []
        return self._difference


class Changes:
    """The latest changes of several caches."""

    def __init__(self, budget: int = BUDGET_BYTES) -> None:
        self._budget = budget
        self._kept = 0
        self._count = 0
        self._in_order: deque[tuple[str, ObjectKey, Change]] = deque()
        self._of: dict[tuple[str, ObjectKey], deque[Change]] = {}

    @property
    def kept_bytes(self) -> int:
        """Return the size of all kept states in bytes."""
        return self._kept

    def listen_to(self, informer: SharedInformer) -> None:
        """Remember the changes of a cache from now on."""
        name = informer.name
        informer.add_event_handler(
            lambda event: self._record(name, event), resync=0, name="changes for kinformer.integrations.ui"
        )

    def of(self, informer: str, key: ObjectKey) -> list[Change]:
        """Return the changes of an object, the latest first."""
        return [*reversed(self._of.get((informer, key), ()))]

    def recent(self, most: int, *, of_one: int = 4) -> list[tuple[str, ObjectKey, Change]]:
        """Return the latest changes, newest first: one of each object, a few of each informer."""
        found: list[tuple[str, ObjectKey, Change]] = []
        # Two informers may cover one object.
        objects: set[tuple[Resource, ObjectKey]] = set()
        counts: Counter[str] = Counter()
        for informer, key, change in islice(reversed(self._in_order), _LOOKED_THROUGH):
            one = (change.resource, key)
            if one in objects or counts[informer] >= of_one:
                continue
            objects.add(one)
            counts[informer] += 1
            found.append((informer, key, change))
            if len(found) >= most:
                break
        return found

    def _record(self, informer: str, event: Event) -> None:
        if isinstance(event, Added) and event.initial:
            return
        old = event.old if isinstance(event, Updated) else event.obj if isinstance(event, Deleted) else None
        new = None if isinstance(event, Deleted) else event.obj
        kind = "updated" if old is not None and new is not None else "added" if old is None else "deleted"
        self._count += 1
        change = Change(self._count, time.time(), kind, _fresh(old), _fresh(new))
        self._in_order.append((informer, event.key, change))
        self._of.setdefault((informer, event.key), deque()).append(change)
        self._kept += change.size
        while self._kept > self._budget and len(self._in_order) > 1:
            self._forget_the_oldest()

    def _forget_the_oldest(self) -> None:
        informer, key, change = self._in_order.popleft()
        self._kept -= change.size
        changes = self._of[informer, key]
        changes.popleft()
        if not changes:
            del self._of[informer, key]


def _fresh(obj: KubeObject | None) -> KubeObject | None:
    """Return another view, without the parts that handlers have decoded."""
    return None if obj is None else obj.view()
