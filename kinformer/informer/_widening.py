"""Decides which parts of a scope share one watch of all namespaces, and keeps these watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from kinformer.informer._shared_watch import SharedWatch
from kinformer.scope import ScopePart

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterable

    from kinformer.informer._scope_part import RunningPart
    from kinformer.labels import FieldSelector, LabelSelector
    from kinformer.listwatch import ListerWatcher
    from kinformer.scope import ShardLike

    _Group: TypeAlias = tuple[LabelSelector, FieldSelector, ShardLike | None]

__all__ = ["Widening"]


class Widening:
    """The watches of all namespaces: one for parts of the same selectors and the same share of the objects.

    Args:
        make: makes the source of a part that covers all namespaces.
        drop: called with such a source when its watch has ended.
    """

    def __init__(
        self, make: Callable[[ScopePart, ShardLike | None], ListerWatcher], drop: Callable[[ListerWatcher], None]
    ) -> None:
        self._make = make
        self._drop = drop
        self._watches: dict[_Group, tuple[SharedWatch, asyncio.Task[None]]] = {}

    @property
    def newest(self) -> int:
        """The newest version that one of the watches has reached; 0 if there is none."""
        return max((watch.position for watch, _ in self._watches.values()), default=0)

    def plan(
        self, parts: Collection[RunningPart], wanted: Iterable[ScopePart], group: asyncio.TaskGroup
    ) -> list[RunningPart]:
        """Begin and end watches of all namespaces, and let each part have its subscription.

        Args:
            parts: the parts at work.
            wanted: the parts of the present scope, which say at what number a watch of all namespaces may begin.
            group: the group for the tasks of the watches.

        Returns:
            The parts that must open their watch again to take part.
        """
        limits = {part: part.widen_at for part in wanted if part.widen_at and part.namespace}
        members: dict[_Group, list[RunningPart]] = {}
        if limits:
            for part in parts:
                if part.wanted and part.scope in limits:
                    members.setdefault(_group_of(part), []).append(part)
        for key in [*self._watches]:
            found = members.get(key, ())
            if 2 * len(found) < max((limits[part.scope] for part in found), default=1):
                self._end(key, parts)
        reopen = []
        for key, found in members.items():
            if key not in self._watches and len(found) < max(limits[part.scope] for part in found):
                continue
            watch = self._watch(key, group)
            for part in found:
                if part.source.subscription is None:
                    part.source.subscription = watch.subscribe(part.scope.namespace, part.members.version)
                    if part.source.has_plain_watch:
                        reopen.append(part)
        return reopen

    def leave(self, part: RunningPart) -> None:
        """End the subscription of a part that ends, if it has one."""
        if part.source.subscription is not None:
            part.source.subscription = None
            self._watches[_group_of(part)][0].unsubscribe(part.scope.namespace)

    def reconnect(self) -> None:
        """End each watch, and open another one."""
        for watch, _ in self._watches.values():
            watch.reconnect()

    def close(self) -> None:
        """End all watches."""
        for _, task in self._watches.values():
            task.cancel()

    def _watch(self, key: _Group, group: asyncio.TaskGroup) -> SharedWatch:
        if key not in self._watches:
            labels, fields, shard = key
            part = ScopePart("", labels, fields)
            source = self._make(part, shard)
            name = f"{source.resource.full_name} in {part}"
            watch = SharedWatch(source, name)
            self._watches[key] = watch, group.create_task(watch.run(), name=f"kinformer watch of {name}")
        return self._watches[key][0]

    def _end(self, key: _Group, parts: Collection[RunningPart]) -> None:
        for part in parts:
            if _group_of(part) == key:
                self.leave(part)
        watch, task = self._watches.pop(key)
        task.cancel()
        self._drop(watch.source)


def _group_of(part: RunningPart) -> _Group:
    return part.scope.labels, part.scope.fields, part.shard
