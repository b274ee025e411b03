"""From what the FIFO hands out to what the cache holds, and what there is to tell of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer.delta_fifo import DeltaType
from kinformer.events import Added, Deleted, Updated
from kinformer.objects import version_number

if TYPE_CHECKING:
    from kinformer.delta_fifo import Popped
    from kinformer.events import Event
    from kinformer.indexer import Indexer

__all__ = ["apply_deltas"]


def apply_deltas(popped: Popped, indexer: Indexer, events: list[Event]) -> None:
    """Change the cache, and add what there is to tell (client-go controller.go, processDeltas; rows C1 to C8).

    Whatever the deltas say, each object's events are a legal history: Added, Updated and Deleted in their order, an
    update from what was told last, nothing twice, and nothing that takes the object back in time, except by a list.
    """
    key, deltas, initial = popped
    for kind, obj, final_state_known in deltas:
        known = indexer.version_of(key)
        if kind is DeltaType.DELETED:
            if known is None:
                continue
            if final_state_known and version_number(known[1]) > version_number(obj.metadata.resource_version):
                # The end of an earlier object of that name; the present one came by `observe`, ahead of the watch.
                continue
            gone = indexer.delete(key)
            assert gone is not None
            # Only a deletion that was seen brings a state newer than the cache's own.
            events.append(Deleted(obj if final_state_known else gone, final_state_known))
            continue
        if known is not None:
            uid, version = known
            if uid == obj.metadata.uid:
                new_version = obj.metadata.resource_version
                if version == new_version and version:
                    continue
                if kind is not DeltaType.REPLACED and version_number(new_version) < version_number(version):
                    # The watch repeats what we know. A list may not: then the cluster was restored from a backup.
                    continue
                old = indexer.put(key, obj)
                assert old is not None
                events.append(Updated(old, obj))
                continue
            # Another object of the same name: the end of the first one fell into a gap.
            replaced = indexer.delete(key)
            assert replaced is not None
            events.append(Deleted(replaced, final_state_known=False))
        indexer.put(key, obj)
        events.append(Added(obj, initial))
