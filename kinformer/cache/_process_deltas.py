"""From what the FIFO hands out to what the cache holds, and what there is to tell of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.cache.delta_fifo import Delta, DeltaType
from kinformer.events import Added, Deleted, Updated
from kinformer.objects import version_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.cache.delta_fifo import Deltas
    from kinformer.cache.indexer import Indexer
    from kinformer.events import Event
    from kinformer.objects import KubeObject

__all__ = ["apply_changes"]


def apply_changes(changes: Iterable[Delta | Deltas], indexer: Indexer, events: list[Event], *, initial: bool) -> int:
    """Change the cache, and add what there is to tell (client-go controller.go, processDeltas; rows C1 to C8).

    Whatever the deltas say, each object's events are a legal history: Added, Updated and Deleted in their order, an
    update from what was told last, nothing twice, and nothing that takes the object back in time, except by a list.

    Args:
        changes: of each key its one change, or all of them; see `DeltaFIFO.take`.
        indexer: the cache.
        events: where to add what there is to tell.
        initial: the changes are of the first list.

    Returns:
        How many deletions there are to tell.
    """
    # This loop runs for each event of each watch. Nearly all are updates of what is known to the next version.
    stored, put, tell = indexer.stored, indexer.put, events.append
    deletions = 0
    for change in changes:
        if not isinstance(change, Delta):
            for delta in change:
                deletions += _apply(delta, indexer, events, initial)
            continue
        if change.type is _UPDATED:
            obj = change.object
            known = stored(obj.key)
            if known is not None:
                new, old = obj.metadata, known.metadata
                one, other = new.resource_version, old.resource_version
                # As `_is_older` has it, the other way round.
                if one > other and len(one) == len(other) and new.uid == old.uid:
                    put(obj.key, obj)
                    tell(Updated(known, obj))
                    continue
        deletions += _apply(change, indexer, events, initial)
    return deletions


def _apply(delta: Delta, indexer: Indexer, events: list[Event], initial: bool) -> int:
    """Change the cache by one change; returns how many deletions there are to tell of it."""
    kind, obj = delta.type, delta.object
    key = obj.key
    known = indexer.stored(key)
    if kind is _DELETED:
        if known is None:
            return 0
        if delta.final_state_known and _is_older(obj, known):
            # The end of an earlier object of that name; the present one came by `observe`, ahead of the watch.
            return 0
        indexer.delete(key)
        # Only a deletion that was seen brings a state newer than the cache's own.
        events.append(Deleted(obj if delta.final_state_known else known, delta.final_state_known))
        return 1
    deletions = 0
    if known is not None:
        new, old = obj.metadata, known.metadata
        if new.uid == old.uid:
            if new.resource_version == old.resource_version and new.resource_version:
                return 0
            if kind is not _REPLACED and _is_older(obj, known):
                # The watch repeats what we know. A list may not: then the cluster was restored from a backup.
                return 0
            indexer.put(key, obj)
            events.append(Updated(known, obj))
            return 0
        # Another object of the same name: the end of the first one fell into a gap.
        indexer.delete(key)
        events.append(Deleted(known, final_state_known=False))
        deletions = 1
    indexer.put(key, obj)
    events.append(Added(obj, initial))
    return deletions


def _is_older(obj: KubeObject, than: KubeObject) -> bool:
    one, other = obj.metadata.resource_version, than.metadata.resource_version
    if len(one) == len(other):
        # As nearly always. Of two numbers with as many digits, the text of the smaller one comes first.
        return one < other
    return version_number(one) < version_number(other)


_UPDATED: Final = DeltaType.UPDATED
_DELETED: Final = DeltaType.DELETED
_REPLACED: Final = DeltaType.REPLACED
