"""Applies queued changes to the cache, and yields the events for the handlers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.events import Added, Deleted, Updated
from kinformer.listwatch import Delta, DeltaType
from kinformer.objects import KubeObject, version_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.cache._informer_indexer import InformerIndexer
    from kinformer.cache.delta_fifo import Deltas
    from kinformer.events import Event

__all__ = ["apply_changes"]


def apply_changes(
    changes: Iterable[Delta | Deltas], indexer: InformerIndexer, events: list[Event], *, initial: bool
) -> int:
    """Change the cache, and append the events for the handlers (client-go controller.go, processDeltas).

    Whatever the deltas say, the events of each object are a legal history: Added, Updated and Deleted in their order,
    an update from the state that was delivered last, nothing twice, and no older state, except from a list.

    Args:
        changes: the one change, or all changes, of each key; see `DeltaFIFO.take`.
        indexer: the cache.
        events: where the events are appended.
        initial: the changes belong to the first list.

    Returns:
        How many deletions were appended.
    """
    # This loop runs for each event of each watch. Nearly all are updates of a known object to its next version. The
    # changes have different keys, so those of a run of such updates can be stored together.
    stored = indexer.stored_objects.get
    deletions = 0
    befores: list[KubeObject] = []
    nexts: list[KubeObject] = []
    for change in changes:
        if type(change) is Delta and change.type is _UPDATED:
            obj = change.object
            known = stored(obj.key)
            if known is not None:
                new = obj.metadata
                old = known.metadata if type(known) is KubeObject else indexer.version_in(known)
                one, other = new.resource_version, old.resource_version
                digits, before = len(one), len(other)
                # As `_is_older` has it, the other way round. A number that begins with 1 to 9 and has more digits is
                # larger.
                if (
                    one > other if digits == before else digits > before and "1" <= one < ":" and one.isdecimal()
                ) and new.uid == old.uid:
                    befores.append(known)
                    nexts.append(obj)
                    continue
        if nexts:
            _store(befores, nexts, indexer, events)
        for delta in [change] if isinstance(change, Delta) else change:
            deletions += _apply(delta, indexer, events, initial)
    if nexts:
        # As `_store` does; each event that comes alone would pay for the call.
        indexer.put_next(befores, nexts)
        events.extend(map(Updated, befores, nexts))
    return deletions


def _store(befores: list[KubeObject], nexts: list[KubeObject], indexer: InformerIndexer, events: list[Event]) -> None:
    """Store a run of updates, and empty the two lists."""
    indexer.put_next(befores, nexts)
    events.extend(map(Updated, befores, nexts))
    befores.clear()
    nexts.clear()


def _apply(delta: Delta, indexer: InformerIndexer, events: list[Event], initial: bool) -> int:
    """Apply one change to the cache; return how many deletions were appended."""
    kind, obj = delta.type, delta.object
    key = obj.key
    known = indexer.stored(key)
    if kind is _DELETED:
        if known is None:
            return 0
        if delta.final_state_known and _is_older(obj, known):
            # The deletion of an earlier object of that name; the present one came by `observe`, ahead of the watch.
            return 0
        indexer.delete(key)
        # Only a deletion that a watch brought has a state newer than the cached one.
        events.append(Deleted(obj if delta.final_state_known else known, delta.final_state_known))
        return 1
    if kind is _LEFT:
        if known is None:
            return 0
        indexer.delete(key)
        events.append(Deleted(known, final_state_known=False, out_of_scope=True))
        return 1
    deletions = 0
    if known is not None:
        # An object of another class has both without a decoded head.
        new = obj.metadata if type(obj) is KubeObject else obj
        old = known.metadata if type(known) is KubeObject else known
        version = new.resource_version
        if new.uid == old.uid:
            if version and version == old.resource_version:
                return 0
            if kind is not _REPLACED and _is_older(obj, known):
                # A watch may repeat known states. A list with an older state means a cluster restored from a backup.
                return 0
            indexer.put(key, obj)
            events.append(Updated(known, obj))
            return 0
        if kind is not _REPLACED and version_number(version) < version_number(known.resource_version):
            # An earlier object of that name; the present one came by `observe`, ahead of the watch.
            return 0
        # Another object of the same name: the deletion of the first one fell into a gap of the watch.
        indexer.delete(key)
        events.append(Deleted(known, final_state_known=False))
        deletions = 1
    indexer.put(key, obj)
    events.append(Added(obj, initial))
    return deletions


def _is_older(obj: KubeObject, than: KubeObject) -> bool:
    one, other = obj.resource_version, than.resource_version
    if len(one) == len(other):
        # The usual case. Two numbers with as many digits compare as their texts do.
        return one < other
    return version_number(one) < version_number(other)


_UPDATED: Final = DeltaType.UPDATED
_DELETED: Final = DeltaType.DELETED
_REPLACED: Final = DeltaType.REPLACED
_LEFT: Final = DeltaType.LEFT
