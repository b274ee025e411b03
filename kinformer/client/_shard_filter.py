"""Keep the objects of one shard, and detect whether the server sends only those (KEP-5866).

A server with the feature gate ShardedListAndWatch sends the objects of the shard; one without the gate ignores the
parameter and sends all. A list of a server with the gate echoes the selector, but a streaming list does not. So the
objects are the proof: one foreign object shows a server that does not filter, and many objects without a foreign one
show a server that does. The objects are checked here in any case: a control plane is upgraded one API server at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from kinformer.listwatch import Delta, DeltaType
from kinformer.scope import Ranges

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.objects import KubeObject
    from kinformer.scope import ShardLike

__all__ = ["ShardFilter", "Sharding"]

Sharding: TypeAlias = Literal["", "server", "here", "unknown"]
"""Where a shard is filtered: "" for an informer without a shard."""

# Without the gate, an object belongs to one of two shards with probability 1/2. So many in a row come by chance less
# than once in 10^19 times.
_ENOUGH: Final = 64


class ShardFilter:
    """The objects of a shard.

    Args:
        shard: the shard.

    Attributes:
        foreign: number of objects and events of other shards that the server has sent.
    """

    __slots__ = ("_divides", "_seen", "foreign", "shard")

    def __init__(self, shard: ShardLike) -> None:
        self.shard = shard
        self.foreign = 0
        self._divides = shard != Ranges.everything(shard.by) if isinstance(shard, Ranges) else shard.of > 1
        self._seen: set[str] = set()

    @property
    def sharding(self) -> Sharding:
        """The place that filters the shard, as far as the received objects show it."""
        if self.foreign:
            return "here"
        return "server" if len(self._seen) >= _ENOUGH and self._divides else "unknown"

    def keeps(self, obj: KubeObject) -> bool:
        """Return whether an object belongs to the shard; count it if not."""
        ours = self.shard.has(obj)
        if not ours:
            self.foreign += 1
        elif len(self._seen) < _ENOUGH:
            self._seen.add(obj.namespace if self.shard.by == "namespace" else obj.uid)
        return ours

    def kept(self, events: Iterable[Delta]) -> list[Delta]:
        """Return the events of the shard.

        An object may get another owner. A change that takes it out of the shard is a deletion here; of an object that
        is not known, it is dropped later.
        """
        if self.shard.by != "owner":
            return [event for event in events if self.keeps(event.object)]
        return [event if self.keeps(event.object) else Delta(DeltaType.DELETED, event.object) for event in events]
