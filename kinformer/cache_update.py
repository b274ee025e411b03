"""From what the FIFO hands out to what the cache holds, and what there is to tell of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.delta_fifo import DeltaType
from kinformer.events import Added, Deleted, Updated
from kinformer.objects import version_number

if TYPE_CHECKING:
    from kinformer.delta_fifo import Popped
    from kinformer.events import Event
    from kinformer.indexer import Indexer
    from kinformer.objects import KubeObject

__all__ = ["apply_deltas"]


def apply_deltas(popped: Popped, indexer: Indexer, events: list[Event]) -> None:
    """Change the cache, and add what there is to tell (client-go controller.go, processDeltas; rows C1 to C8).

    Whatever the deltas say, each object's events are a legal history: Added, Updated and Deleted in their order, an
    update from what was told last, nothing twice, and nothing that takes the object back in time, except by a list.
    """
    key, deltas, initial = popped
    for kind, obj, final_state_known in deltas:
        known = indexer.stored(key)
        if kind is _DELETED:
            if known is None:
                continue
            if final_state_known and _is_older(obj, known):
                # The end of an earlier object of that name; the present one came by `observe`, ahead of the watch.
                continue
            indexer.delete(key)
            # Only a deletion that was seen brings a state newer than the cache's own.
            events.append(Deleted(obj if final_state_known else known, final_state_known))
            continue
        if known is not None:
            new, old = obj.metadata, known.metadata
            if new.uid == old.uid:
                if new.resource_version == old.resource_version and new.resource_version:
                    continue
                if kind is not _REPLACED and _is_older(obj, known):
                    # The watch repeats what we know. A list may not: then the cluster was restored from a backup.
                    continue
                indexer.put(key, obj)
                events.append(Updated(known, obj))
                continue
            # Another object of the same name: the end of the first one fell into a gap.
            indexer.delete(key)
            events.append(Deleted(known, final_state_known=False))
        indexer.put(key, obj)
        events.append(Added(obj, initial))


def _is_older(obj: KubeObject, than: KubeObject) -> bool:
    one, other = obj.metadata.resource_version, than.metadata.resource_version
    if len(one) == len(other):
        # As nearly always. Of two numbers with as many digits, the text of the smaller one comes first.
        return one < other
    return version_number(one) < version_number(other)


_DELETED: Final = DeltaType.DELETED
_REPLACED: Final = DeltaType.REPLACED
