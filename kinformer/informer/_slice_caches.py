"""An informer that covers the slices of a member of a shard group, while they come and go."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Final

from kinformer._flag import Flag
from kinformer._time_slice import TimeSlice
from kinformer.errors import StoppedError
from kinformer.informer._shared_informer import core_of
from kinformer.objects import version_number
from kinformer.operators.shard_group import engine_of
from kinformer.scope import Ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer.informer._shared_informer import SharedInformer
    from kinformer.listwatch import ListerWatcher
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.operators.shard_group import GroupShare
    from kinformer.scope import Scope

__all__ = ["InformerSlices"]

_RETRY: Final = 1.0
"""Seconds until a part that the server refuses is looked at again."""


class InformerSlices:
    """The slices of one informer; a `kinformer.operators._slice_work.SliceCaches`.

    Args:
        informer: the informer, which begins without a slice.
        scope: its scope, whose ranges are set here.
        share: the share of the group.
        metadata: makes a source of the metadata of objects in a scope.
    """

    def __init__(
        self, informer: SharedInformer, scope: Scope, share: GroupShare, metadata: Callable[[Scope], ListerWatcher]
    ) -> None:
        self._informer = informer
        self._core = core_of(informer)
        self._core.group_share = share
        self._scope = scope
        self._engine = engine_of(share.group)
        self._by = share.by
        self._metadata = metadata
        self._wanted: frozenset[int] = frozenset()
        self._listed: dict[int, int] = {}
        self._confirmed: dict[int, int] = {}
        self._changed = Flag()

    @property
    def ended(self) -> bool:
        """True once the informer has ended."""
        return self._informer.stopped

    def want(self, slices: frozenset[int]) -> None:
        """Cover these slices from now on."""
        for number in self._wanted - slices:
            self._listed.pop(number, None)
            self._confirmed.pop(number, None)
        self._wanted = slices
        self._changed.set()

    def listed(self, number: int) -> int:
        """Return a version from which on the cache shows all changes of a slice; 0 if it does not."""
        return self._listed.get(number, 0)

    def seen(self, number: int) -> int:
        """Return the version up to which the cache shows all deletions in a slice."""
        return max(version_number(self._informer.resource_version), self._confirmed.get(number, 0))

    async def follow(self) -> None:
        """Bring the informer in line with `want`, until cancelled or until the informer ends."""
        covered: frozenset[int] | None = frozenset()
        try:
            await self._informer.synced()
            while True:
                self._changed.clear()
                if covered != self._wanted:
                    covered = self._wanted
                    await self._core.relists.set_scope(self._informer.resource, self._scope_of(covered), None)
                    if self._core.is_refused:
                        # Without a list, absence from the cache means nothing.
                        covered = None
                        await asyncio.sleep(_RETRY)
                        continue
                # No list can be newer than this, so a deletion that the lists do not show is not newer, either.
                newest = self._core.newest_version
                for number in covered & self._wanted:
                    self._listed.setdefault(number, max(newest, 1))
                self._engine.poke()
                await self._changed.wait()
        except StoppedError:
            self._engine.poke()

    async def catch_up(self, due: Mapping[int, int]) -> None:
        """Have `seen` of slices reach versions, also if nothing changes and no event would come.

        A list of the metadata shows which objects exist. Those that the cache has besides are about to leave it.
        """
        behind = {number: version for number, version in due.items() if self.seen(number) < version}
        if not behind:
            return
        source = self._metadata(self._scope_of(frozenset(behind)))
        present: dict[ObjectKey, str] = {}
        async for page in source.list(resource_version=str(max(behind.values()))):
            present.update((obj.key, obj.uid) for obj in page.items)
        ranges = Ranges.of_slices(behind, by=self._by)
        time_slice = TimeSlice()
        gone: list[KubeObject] = []
        for obj in self._informer.lister:
            if present.get(obj.key) != obj.uid and ranges.has(obj):
                gone.append(obj)
            if time_slice.over:
                await time_slice.begin()
        for obj in gone:
            await self._informer.wait_for(obj.key, functools.partial(_is_not, obj.uid), namespace=obj.namespace or None)
        for number, version in behind.items():
            if number in self._wanted:
                self._confirmed[number] = max(version, self._confirmed.get(number, 0))

    def _scope_of(self, slices: frozenset[int]) -> Scope:
        return self._scope.sharded(Ranges.of_slices(slices, by=self._by))


def _is_not(uid: str, obj: KubeObject | None) -> bool:
    """Return whether the object of a name is not the one with this uid."""
    return obj is None or obj.uid != uid
