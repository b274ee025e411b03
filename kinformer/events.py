"""What a handler is told: `Added`, `Updated`, `Deleted`, and what may be a handler.

Events match by position, so a consumer reads like the sentence it means:

    match event:
        case Added(obj): ...
        case Updated(old, new): ...
        case Deleted(obj, final_state_known=False): ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, cast

import msgspec

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from kinformer.objects import KubeObject, ObjectKey

    # Whoever names no class means the cache's own (PEP 696).
    T = TypeVar("T", default=KubeObject)
else:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Added", "Deleted", "Delivery", "Event", "EventHandler", "Updated"]


class Added(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """An object has come into the cache.

    Attributes:
        obj: the object.
        initial: it was there already when this handler began to listen (client-go: isInInitialList). Every handler is
            told of each such object, also one that is added late.
    """

    obj: T
    initial: bool = False

    @property
    def source(self) -> KubeObject:
        """The object as the cache has it, also where `obj` is of a class of yours."""
        return cast("KubeObject", self.obj)

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return cast("KubeObject", self.obj).key


class Updated(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """An object has changed, or (old and new have one version) this handler asked for a resync.

    Attributes:
        old: what this handler was told last.
        new: what it is now.
    """

    old: T
    new: T

    @property
    def obj(self) -> T:
        """What it is now: every kind of event has an `obj`."""
        return self.new

    @property
    def source(self) -> KubeObject:
        """The object as the cache has it, also where `obj` is of a class of yours."""
        return cast("KubeObject", self.new)

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return cast("KubeObject", self.new).key

    @property
    def is_resync(self) -> bool:
        """Nothing has changed; the handler asked to be told from time to time."""
        old, new = cast("KubeObject", self.old), cast("KubeObject", self.new)
        return old.resource_version == new.resource_version and old.uid == new.uid


class Deleted(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """An object has gone.

    Attributes:
        obj: its last state. If the deletion itself was missed (it fell into a gap of the watch and showed in the next
            list), this is the last state that was seen.
        final_state_known: whether `obj` is the state it was deleted in (client-go: not a DeletedFinalStateUnknown).
        out_of_scope: whether the object was not deleted, as far as is known: the scope of the informer changed, or the
            labels of its namespace did, and the object lies outside now. Code that cleans up after deleted objects must
            leave such an object alone. A server says DELETED also when an object stops to match a selector. A watch
            cannot distinguish that from a deletion, and this is false then: see `SharedInformer.find`.
    """

    obj: T
    final_state_known: bool = True
    out_of_scope: bool = False

    @property
    def source(self) -> KubeObject:
        """The object as the cache has it, also where `obj` is of a class of yours."""
        return cast("KubeObject", self.obj)

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return cast("KubeObject", self.obj).key


Event: TypeAlias = Added | Updated | Deleted

EventHandler: TypeAlias = Callable[[Event], Awaitable[object] | object]
"""A plain or a coroutine function that takes an event; what it returns is ignored."""

Delivery: TypeAlias = Literal["every", "latest"]
"""How a handler that is slower than the events is served. "every": each event, in order, however many wait. "latest":
per object only the oldest `old` and the newest `new`, so that what waits is bounded by the number of objects."""
