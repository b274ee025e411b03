"""One part of a scope at work: a list and a watch of some namespace, selectors and share of the objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinformer._shards import Ranges, may_merge, ranges_over, same_shard

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from kinformer._shards import ShardBy
    from kinformer.cache.membership import PartMembers
    from kinformer.errors import KinformerError
    from kinformer.informer._sharing_source import SharingSource
    from kinformer.reflector._reflector import Reflector
    from kinformer.scope import ScopePart, ShardLike
    from kinformer.status import StatusRecord

__all__ = ["PartKey", "RunningPart", "drop_other_fields", "merged_floors", "shed_ranges"]

PartKey = tuple["ScopePart", "ShardLike | None"]
"""A part and its share of the objects; `None` for all of them."""


@dataclass(eq=False)
class RunningPart:
    """A part that lists and watches.

    Attributes:
        scope: the part.
        shard: the share of the objects; `None` for all of them.
        source: lists and watches the objects.
        members: the objects that the part holds.
        status: the record of the part.
        folded: the counts of that record that the record of the whole contains.
        reflector: fills the queue of the part.
        task: the task of the reflector.
        wanted: whether the present scope has it. A part that is not wanted is removed when all others have settled.
        gone: whether its namespace is known to be deleted.
        refusal: the error of a server that refuses the part; `None` if it does not.
        awaits: the number of the list that answers a relist; 0 if there is none to wait for.
        shown_at: the number of keys that are taken from the queue of the informer when its first list is in the cache.
    """

    scope: ScopePart
    shard: ShardLike | None
    source: SharingSource
    members: PartMembers
    status: StatusRecord
    folded: StatusRecord
    reflector: Reflector
    task: asyncio.Task[None] | None = None
    wanted: bool = True
    gone: bool = False
    refusal: KinformerError | None = None
    awaits: int = 0
    shown_at: int | None = None

    @property
    def key(self) -> PartKey:
        """The part and its share."""
        return self.scope, self.shard

    @property
    def fields(self) -> set[ShardBy]:
        """The fields whose hashes make the ranges of the part: of its share, and of the floors that it has still."""
        shares = [] if self.shard is None else [self.shard.by]
        return {*shares, *(ranges.by for ranges, _ in self.members.range_floors)}

    @property
    def has_listed(self) -> bool:
        """True if the first list has come."""
        return self.members.version > 0

    @property
    def is_settled(self) -> bool:
        """True if the first list has come, or was refused."""
        return self.has_listed or self.refusal is not None

    def may_stay(self, shard: ShardLike | None) -> bool:
        """Return whether the part helps to cover another share."""
        if same_shard(self.shard, shard):
            return True
        return may_merge(self.shard, shard) and (self.has_listed or self._covers_only(shard))

    def _covers_only(self, shard: ShardLike | None) -> bool:
        """Return whether the part covers nothing that a share lacks."""
        if shard is None or self.shard is None:
            return shard is None
        return ranges_over(self.shard).is_within(ranges_over(shard))


def drop_other_fields(parts: Iterable[RunningPart], shard: ShardLike | None) -> None:
    """Let all wanted parts have ranges by the field of a share, or by the same one; those of two cannot be merged."""
    by = "" if shard is None else shard.by
    for part in parts:
        if part.wanted:
            fields = part.fields
            by = by or min(fields, default="")
            part.wanted = fields <= {by}


def merged_floors(parts: Sequence[RunningPart], shard: ShardLike | None) -> list[tuple[Ranges, int]]:
    """Return the version that each range of a share has reached, if parts together cover it.

    A range that the share lacks has no floor: if it comes back, only its new list counts.
    """
    by: ShardBy
    by = shard.by if shard is not None else next((by for part in parts for by in part.fields), "uid")
    wanted = ranges_over(shard, by)
    floors: list[tuple[Ranges, int]] = []
    for part in parts:
        rest = ranges_over(part.shard, by) & wanted
        for ranges, floor in part.members.range_floors:
            floors.append((ranges & rest, floor))
            rest -= ranges
        floors.append((rest, part.members.version))
    return floors


def shed_ranges(parts: Sequence[RunningPart], shard: ShardLike | None) -> Ranges:
    """Return the ranges that parts together cover and a share lacks."""
    if shard is None:
        return Ranges()
    covered = Ranges(by=shard.by)
    for part in parts:
        covered |= ranges_over(part.shard, shard.by)
    return covered - ranges_over(shard)
