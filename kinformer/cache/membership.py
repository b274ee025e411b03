"""Records the objects that each part of a scope holds, and decides which changes of a part change their union. Pure.

Each part of a scope has its own list and its own watch. Parts may overlap, and each may be behind the others. Their
union is one cache, and each object is in it once:

- An object is in the union as long as a part holds it. When the last part loses it, it leaves the union.
- If two parts bring the same state of an object, the first one counts. Resource versions decide, because all parts of a
  resource share one history.
- **Floors.** An object that left the union at a version does not come back by an older event of a part that is behind.
  The floor is dropped when all parts have passed it.
- **Holds.** An object that one part loses may enter another part by the same change, or the other part may have it and
  not know it yet. So its departure waits until the other parts of its namespace have reached that version, or until
  none of those that are behind has received anything for a time limit of the caller.
- **Lists.** A list that lacks an object does not say when the object left: at any version up to that of the list. So an
  older state in another part undoes the departure while it waits. After it, that part lists anew: its own watch might
  never bring the object again.
- **Epoch.** A part that is no longer needed is closed: changes that it still brings are dropped.
- **Ranges.** Parts of different hash ranges are merged into one. It goes on from the lowest of their versions, and each
  range has a floor: the version that its own part had reached. Changes up to that version were received already.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from kinformer._shards import Ranges
from kinformer.cache._lowest_version import LowestVersion
from kinformer.objects import version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["MAX_FLOORS", "Departure", "Membership", "PartMembers"]

MAX_FLOORS: Final = 65_536
"""Maximum number of floors. A part that is behind more departures must list anew; see `Membership.overtake`."""

_EARLY: Final = 1e-6
"""Seconds by which the timer for a departure may be early. Without them, 4.02 - 3.02 is less than 1.0 to a computer,
and the timer for 3.02 + 1.0 would be set again and again."""


class Departure(NamedTuple):
    """An object that left its last part.

    Attributes:
        key: the object.
        version: the version at which it left.
        last: its state in the deletion event; `None` if there was no event.
        since: the time at which it left, or at which a part that is behind last received something; on the caller's
            clock.
        out_of_scope: whether it left because its part was closed. Then it may still exist.
        by_list: whether a list lacked it. Then it may have left at an earlier version.
        until: the version up to which the object was certainly there; 0 if that is unknown.
    """

    key: ObjectKey
    version: int
    last: KubeObject | None
    since: float
    out_of_scope: bool = False
    by_list: bool = False
    until: int = 0


class PartMembers:
    """The objects that one part holds.

    Attributes:
        namespace: the only namespace of the part; "" for all.
        keys: the objects.
        version: the version up to which everything was received; 0 before the first list.
        closed: True after `Membership.close`.
        floor: changes older than this version are dropped, because a list that is not older is due.
        behind: the highest version of a closed part: up to it, the union may have newer states than this part brings.
        range_floors: changes in a hash range that are not newer than its version are dropped: they were received.
        unusable: objects whose state could not be used while there are range floors: each later change of them counts.
        sheds: hash ranges whose objects are about to leave the part; they do not count as members any more.
    """

    __slots__ = ("behind", "closed", "floor", "keys", "namespace", "range_floors", "sheds", "unusable", "version")

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.keys: set[ObjectKey] = set()
        self.version = 0
        self.closed = False
        self.floor = 0
        self.behind = 0
        self.range_floors: tuple[tuple[Ranges, int], ...] = ()
        self.unusable: set[ObjectKey] = set()
        self.sheds = Ranges()

    @property
    def highest(self) -> int:
        """The newest version that any range of the part has reached."""
        return max([self.version, *(floor for _, floor in self.range_floors)])

    def has_received(self, obj: KubeObject) -> bool:
        """Return whether the part had received this change before it was merged."""
        version = version_number(obj.resource_version)
        return obj.key not in self.unusable and any(
            version <= floor and ranges.has(obj) for ranges, floor in self.range_floors
        )


class Membership:
    """The members of all parts of one union.

    Args:
        known: returns the newest state of an object in the union, cached or queued; `None` if it is not there.
        max_floors: see `MAX_FLOORS`.
    """

    def __init__(self, known: Callable[[ObjectKey], KubeObject | None], *, max_floors: int = MAX_FLOORS) -> None:
        self._known = known
        self._max_floors = max_floors
        self._parts: set[PartMembers] = set()
        self._unlisted: set[PartMembers] = set()
        self._lowest = LowestVersion(self._parts)
        self._by_namespace: dict[str, list[PartMembers]] = {}
        self._near: dict[str, tuple[PartMembers, ...]] = {}
        self._floors: dict[ObjectKey, int] = {}
        self._floor_order: deque[tuple[int, ObjectKey]] = deque()
        self._floors_by_list: set[ObjectKey] = set()
        self._overtaken: set[PartMembers] = set()
        self._held: dict[ObjectKey, Departure] = {}
        self._closed_at = 0  # the newest version of the closed parts

    @property
    def version(self) -> int:
        """The version up to which all parts that have listed received everything; 0 if no part has listed."""
        return self._lowest.version

    @property
    def newest(self) -> int:
        """The newest version that a part has reached, also one that is closed now."""
        # No floor of a range is higher than the parts that were merged, and these are closed.
        return max(self._closed_at, *(part.version for part in self._parts), 0)

    @property
    def holds(self) -> Collection[Departure]:
        """The departures that wait for other parts."""
        return self._held.values()

    @property
    def floors(self) -> int:
        """Number of floors."""
        return len(self._floors)

    def add_part(self, namespace: str) -> PartMembers:
        """Add a part, and return the record of its members."""
        part = PartMembers(namespace)
        self._parts.add(part)
        self._unlisted.add(part)
        self._by_namespace.setdefault(namespace, []).append(part)
        self._near.clear()
        return part

    def changed(self, part: PartMembers, obj: KubeObject) -> bool:
        """Record a state of an object in a part; return whether it changes the union."""
        if part.closed:
            return False
        key = obj.key
        version = version_number(obj.resource_version)
        if version < part.floor or version < self._floors.get(key, 0):
            self._may_be_missed(part, key)
            return False
        if part.range_floors and part.has_received(obj):
            return False
        held = self._held.get(key)
        if held is not None:
            if version < held.version and not held.by_list:
                return False
            del self._held[key]
        part.keys.add(key)
        if held is None and version > part.behind and len(self._parts_near(key)) == 1:
            return True
        known = self._known(key)
        return known is None or version > version_number(known.resource_version)

    def deleted(self, part: PartMembers, obj: KubeObject, now: float) -> bool:
        """Record that an object was deleted in a part; return whether it leaves the union at once."""
        key = obj.key
        if part.closed or key not in part.keys or (part.range_floors and part.has_received(obj)):
            return False
        version = version_number(obj.resource_version)
        part.keys.discard(key)
        known = self._known(key)
        if known is not None and version < version_number(known.resource_version) and not self._is_member(key):
            # This part is behind the known state. It brings that state later if the answer to a write has brought it
            # already, and never if another part had brought it and has lost it since.
            self._held[key] = Departure(key, version_number(known.resource_version), None, now)
            return False
        return self._departs(part, Departure(key, version, obj, now, until=version - 1), come_to=version)

    def lost(self, part: PartMembers, key: ObjectKey, version: int, now: float) -> bool:
        """Record that a list of a part lacks an object; return whether it leaves the union at once."""
        if part.closed or key not in part.keys:
            return False
        part.keys.discard(key)
        return self._departs(part, Departure(key, version, None, now, by_list=True), come_to=version)

    def listed(self, part: PartMembers, obj: KubeObject, version: int, *, forced: bool) -> bool:
        """Record an object in a list of a part; return whether it changes the union.

        Args:
            part: the part.
            obj: the object.
            version: the version of the list.
            forced: the list is older than an earlier one, because the cluster was restored from a backup. It is right.
        """
        if part.closed:
            return False
        key = obj.key
        held = self._held.get(key)
        left_at = self._floors.get(key, 0) if held is None else 0 if held.by_list else held.version
        if version < left_at and not forced:
            self._may_be_missed(part, key)
            return False
        self._floors.pop(key, None)
        self._floors_by_list.discard(key)
        if held is not None:
            del self._held[key]
        part.keys.add(key)
        if forced or (held is None and version > part.behind and len(self._parts_near(key)) == 1):
            return True
        known = self._known(key)
        return known is None or version_number(obj.resource_version) > version_number(known.resource_version)

    def came_to(self, part: PartMembers, version: int, now: float) -> None:
        """Record that a part has received everything up to a version."""
        if part.closed:
            return
        if self._held and version > part.version:
            self._wait_longer(part, version, now)
        self._move(part, version)
        if version >= part.floor:
            part.floor = 0
        if version >= part.behind:
            part.behind = 0
        if part.range_floors and version >= part.highest:
            part.range_floors = ()
        if self._floor_order:
            self._forget_floors()

    def due(self, now: float, patience: float) -> list[Departure]:
        """Take the departures that no other part can still undo.

        A part that is behind, and that has received nothing for `patience` seconds, is taken for a quiet one.
        """
        found = [
            held
            for held in self._held.values()
            if held.since + patience <= now + _EARLY or not self._is_awaited(held.key, held.version)
        ]
        for held in found:
            del self._held[held.key]
            self._raise_floor(held)
        return found

    def close(self, part: PartMembers) -> None:
        """Close a part: from now on its changes are dropped, and `leaving` takes its objects out."""
        part.closed = True
        self._parts.discard(part)
        self._unlisted.discard(part)
        near = self._by_namespace[part.namespace]
        near.remove(part)
        if not near:
            del self._by_namespace[part.namespace]
        self._near.clear()
        highest = part.highest
        self._closed_at = max(self._closed_at, highest)
        for other in self._parts if part.namespace == "" else (*near, *self._by_namespace.get("", ())):
            if other.version < highest:
                other.behind = max(other.behind, highest)
        self._forget_floors()

    def leaving(self, part: PartMembers, now: float, *, gone: bool = False) -> Iterator[ObjectKey | None]:
        """Yield each object of a closed part that leaves the union at once, and `None` for each other object.

        Each step checks the other parts anew, so the caller may pause between two objects.

        Args:
            part: the part.
            now: the time on the caller's clock.
            gone: whether the namespace of the part is deleted.
        """
        while part.keys:
            key = part.keys.pop()
            yield key if self._leaves(key, self._known(key), now, out_of_scope=not gone) else None

    def merge(
        self, part: PartMembers, others: Sequence[PartMembers], floors: Sequence[tuple[Ranges, int]], sheds: Ranges
    ) -> None:
        """Let a new part take the place of others of its namespace, with all of their objects, and close them.

        Args:
            part: the part; it goes on from the lowest version of the others. If one of them has not listed, it has not
                listed either.
            others: the parts to close.
            floors: the version that each range has reached.
            sheds: the ranges that the part does not cover. `shed` lets go of their objects.
        """
        largest = max(others, key=lambda other: len(other.keys))
        part.keys, largest.keys = largest.keys, set()
        for other in others:
            part.keys |= other.keys
            other.keys = set()
        self._move(part, min(other.version for other in others))
        part.range_floors = tuple((ranges, floor) for ranges, floor in floors if floor > part.version and ranges)
        part.sheds = sheds
        for other in others:
            self.close(other)

    def depart(self, ranges: Ranges) -> list[Departure]:
        """Take the departures of objects in hash ranges that no part covers any more: no part can undo them."""
        found = [
            held for held in self._held.values() if (known := self._known(held.key)) is not None and ranges.has(known)
        ]
        for held in found:
            del self._held[held.key]
            self._raise_floor(held)
        return found

    def shed(self, part: PartMembers, now: float) -> Iterator[ObjectKey | None]:
        """Yield each object that left a part with its ranges and leaves the union at once, and `None` for each other.

        Each step checks the other parts anew, so the caller may pause between two objects.
        """
        for key in [*part.keys]:
            known = self._known(key) if key in part.keys else None
            if known is None or not part.sheds.has(known):
                yield None
                continue
            part.keys.discard(key)
            yield key if self._leaves(key, known, now, out_of_scope=True) else None
        part.sheds = Ranges()

    @property
    def is_overtaken(self) -> bool:
        """True if `overtake` returns parts."""
        return bool(self._overtaken) or len(self._floors) > self._max_floors

    def overtake(self) -> list[PartMembers]:
        """Return the parts that departures have overtaken: they must list anew.

        A part is overtaken if it is behind too many departures, which are dropped then. So is one that brought an
        object which a list of another part lacked, after its departure.

        The caller must make each of them list anew, not older than its `floor`. Until then its changes are dropped.
        """
        if len(self._floors) > self._max_floors:
            newest = max(self._floors.values())
            behind = [part for part in self._parts if part.version < newest]
            for part in behind:
                part.floor = newest
            self._clear_floors()
            self._overtaken.update(behind)
        found = [part for part in self._overtaken if not part.closed]
        self._overtaken.clear()
        return found

    def forget_history(self) -> None:
        """Drop all floors: the cluster was restored from a backup, so versions may be lower than before."""
        self._closed_at = 0
        for part in self._parts:
            part.behind = 0
        self._clear_floors()

    def _move(self, part: PartMembers, version: int) -> None:
        before, part.version = part.version, version
        if version:
            self._unlisted.discard(part)
        else:
            self._unlisted.add(part)
        self._lowest.moved(part, before)

    def _departs(self, part: PartMembers, departure: Departure, *, come_to: int) -> bool:
        key, near = departure.key, self._parts_near(departure.key)
        if len(near) == 1 and departure.version >= part.behind:
            return True
        if self._is_member(key):
            return False
        known = self._known(key)
        newest = 0 if known is None else version_number(known.resource_version)
        if newest > departure.version:
            # This part is behind. Another part brought a newer state, and then lost the object.
            departure = departure._replace(version=newest, last=None)
        if any((come_to if other is part else other.version) < departure.version for other in near):
            self._held[key] = departure
            return False
        return True

    def _leaves(self, key: ObjectKey, known: KubeObject | None, now: float, *, out_of_scope: bool) -> bool:
        """Return whether an object that left its part without an event leaves the union at once."""
        if self._is_member(key) or key in self._held:
            return False
        version = 0 if known is None else version_number(known.resource_version)
        if self._is_awaited(key, version):
            # A part that is behind may have the object, and receives it later.
            self._held[key] = Departure(key, version, None, now, out_of_scope)
            return False
        return True

    def _wait_longer(self, part: PartMembers, version: int, now: float) -> None:
        """Let departures wait anew for a part that was behind, and still is after it has received something."""
        for key, held in self._held.items():
            if version < held.version and held.since < now and part.namespace in {"", key.namespace}:
                self._held[key] = held._replace(since=now)

    def _is_member(self, key: ObjectKey) -> bool:
        return any(self._holds(part, key) for part in self._parts_near(key))

    def _holds(self, part: PartMembers, key: ObjectKey) -> bool:
        if key not in part.keys:
            return False
        known = self._known(key) if part.sheds else None
        return known is None or not part.sheds.has(known)

    def _is_awaited(self, key: ObjectKey, version: int) -> bool:
        return any(part.version < version for part in self._parts_near(key))

    def _parts_near(self, key: ObjectKey) -> tuple[PartMembers, ...]:
        """Return the parts that may hold an object, by its namespace."""
        near = self._near.get(key.namespace)
        if near is None:
            found = [*self._by_namespace.get(key.namespace, ())]
            if key.namespace:
                found += self._by_namespace.get("", ())
            near = self._near[key.namespace] = tuple(found)
        return near

    def _may_be_missed(self, part: PartMembers, key: ObjectKey) -> None:
        """Have a part list anew that brought an object older than its floor, if the object may still be there."""
        if key in self._floors_by_list and part.floor < self._floors[key]:
            part.floor = self._floors[key]
            self._overtaken.add(part)

    def _raise_floor(self, departure: Departure) -> None:
        key, version = departure.key, departure.version
        if any(part.version < version for part in self._parts_near(key)):
            self._floors[key] = max(version, self._floors.get(key, 0))
            self._floor_order.append((version, key))
            if departure.by_list:
                self._floors_by_list.add(key)

    def _clear_floors(self) -> None:
        self._floors.clear()
        self._floors_by_list.clear()
        self._floor_order.clear()

    def _forget_floors(self) -> None:
        if not self._parts:
            self._clear_floors()
        passed = 0 if self._unlisted else self._lowest.version
        order = self._floor_order
        while order and order[0][0] <= passed:
            version, key = order.popleft()
            if self._floors.get(key) == version:
                del self._floors[key]
                self._floors_by_list.discard(key)
