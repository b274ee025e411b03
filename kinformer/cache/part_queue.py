"""The queue of one part of a scope: it passes the changes that matter on to the queue of the union.

A reflector fills it as it fills a `DeltaFIFO`. It stores nothing: `Membership` decides which changes to pass on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer.listwatch import Delta, DeltaType
from kinformer.objects import version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from kinformer.cache._pushed_fifo import PushedFIFO
    from kinformer.cache.membership import Departure, Membership, PartMembers
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["PartQueue", "queue_departure"]


class PartQueue:
    """Takes the changes of one part.

    Args:
        fifo: the queue of the union.
        membership: the members of all parts.
        members: the members of this part.
        clock: returns the time in seconds.
        came_to: called with the number of its lists when the part has reached another version.
    """

    def __init__(
        self,
        fifo: PushedFIFO,
        membership: Membership,
        members: PartMembers,
        *,
        clock: Callable[[], float],
        came_to: Callable[[int], None],
    ) -> None:
        self._fifo = fifo
        self._membership = membership
        self._members = members
        self._clock = clock
        self._came_to = came_to

    def extend(self, deltas: Iterable[Delta]) -> None:
        """Queue the changes of a watch that change the union."""
        membership, members, fifo = self._membership, self._members, self._fifo
        for delta in deltas:
            if delta.type is DeltaType.DELETED:
                news = membership.deleted(members, delta.object, self._clock())
            else:
                news = membership.changed(members, delta.object)
            if news:
                fifo.extend((delta,))

    @property
    def held(self) -> bool:
        """True while the consumer of the union is not woken."""
        return self._fifo.held

    @held.setter
    def held(self, held: bool) -> None:
        self._fifo.held = held

    def release(self) -> None:
        """Let the consumer of the union take the queued changes; see `PushedFIFO.release`."""
        self._fifo.release()

    def update(self, obj: KubeObject) -> None:
        """Queue a newer state of an object of the part."""
        if self._membership.changed(self._members, obj):
            self._fifo.update(obj)

    def leave_out(self, key: ObjectKey) -> None:
        """Record that the part cannot use the present state of an object."""
        if self._members.range_floors:
            self._members.unusable.add(key)
        if self._membership.lost(self._members, key, self._members.version, self._clock()):
            self._fifo.leave_out(key)

    def replacing(
        self, by_key: Mapping[ObjectKey, KubeObject], *, slice_size: int, version: int = 0
    ) -> Generator[None, None, int]:
        """Queue a whole list of the part, in slices; see `DeltaFIFO.replacing`.

        The caller may add and replace objects in `by_key` between the slices, and other parts may queue changes.
        """
        membership, members, fifo = self._membership, self._members, self._fifo
        lost = 0
        forced = version < members.highest
        if forced:
            membership.forget_history()
            members.range_floors = ()
        known = [*members.keys]
        known.reverse()
        while known:
            key = known.pop()
            if key not in by_key:
                lost += 1
                if membership.lost(members, key, version, self._clock()):
                    fifo.leave_out(key)
            if len(known) % slice_size == 0 and (by_key or known):
                yield
        listed = [*by_key]
        for count, key in enumerate(listed, 1):
            if membership.listed(members, by_key[key], version, forced=forced):
                fifo.replaced(key, by_key[key])
            if count % slice_size == 0 and count < len(listed):
                yield
        return lost

    def mark(self, resource_version: str, lists: int) -> None:
        """Record that everything up to a version was queued, and the number of whole lists."""
        self._membership.came_to(self._members, version_number(resource_version), self._clock())
        self._came_to(lists)


def queue_departure(fifo: PushedFIFO, departure: Departure) -> None:
    """Queue that an object has left its last part: as a deletion, or as out of scope."""
    if departure.out_of_scope:
        fifo.let_go(departure.key)
    elif departure.last is None:
        fifo.leave_out(departure.key)
    else:
        fifo.delete(departure.last)
