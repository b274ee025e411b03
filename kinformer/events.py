"""Events that handlers get: `Added`, `Updated` and `Deleted`; and the types of handlers and of their delivery.

Events can be matched by position:

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

    # The default is the class of the cache (PEP 696).
    T = TypeVar("T", default=KubeObject)
else:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Added", "Deleted", "Delivery", "Event", "EventHandler", "Updated"]


class Added(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """An object was added to the cache.

    Attributes:
        obj: the object.
        initial: true if the object is from the first list, or was in the cache when this handler was added (client-go:
            isInInitialList). Every handler gets an event of each such object, also a handler that is added late.
    """

    obj: T
    initial: bool = False

    @property
    def source(self) -> KubeObject:
        """The object as it is in the cache, also if `obj` is of a class of yours."""
        return cast("KubeObject", self.obj)

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return cast("KubeObject", self.obj).key


class Updated(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """An object has changed; or nothing has changed, and this is a resync of the handler (see `is_resync`).

    Attributes:
        old: the state that this handler got last.
        new: the present state.
    """

    old: T
    new: T

    @property
    def obj(self) -> T:
        """The present state, as `new`: every kind of event has an `obj`."""
        return self.new

    @property
    def source(self) -> KubeObject:
        """The object as it is in the cache, also if `obj` is of a class of yours."""
        return cast("KubeObject", self.new)

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return cast("KubeObject", self.new).key

    @property
    def is_resync(self) -> bool:
        """True if nothing has changed: the event is from a resync, and old and new have the same version."""
        old, new = cast("KubeObject", self.old), cast("KubeObject", self.new)
        return old.resource_version == new.resource_version and old.uid == new.uid


class Deleted(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """An object was deleted, or has left the scope of the informer.

    Attributes:
        obj: the last state of the object. If the deletion fell into a gap of the watch, and the next list showed it,
            this is the last state that was received.
        final_state_known: whether `obj` is the state at the deletion (client-go: not a DeletedFinalStateUnknown).
        out_of_scope: true if the object was not deleted, as far as is known: the scope of the informer or the labels of
            the object's namespace changed, and the object is outside now. Code that cleans up after deleted objects
            must leave such an object alone. A server sends DELETED also when an object stops to match a selector. A
            watch cannot distinguish that from a deletion, and this is false then: see `SharedInformer.find`.
    """

    obj: T
    final_state_known: bool = True
    out_of_scope: bool = False

    @property
    def source(self) -> KubeObject:
        """The object as it is in the cache, also if `obj` is of a class of yours."""
        return cast("KubeObject", self.obj)

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return cast("KubeObject", self.obj).key


Event: TypeAlias = Added | Updated | Deleted

EventHandler: TypeAlias = Callable[[Event], Awaitable[object] | object]
"""A plain or a coroutine function that takes an event; its result is ignored."""

Delivery: TypeAlias = Literal["every", "latest"]
"""Events that a handler gets when it is slower than the changes. "every": each event, in order, without a bound.
"latest": per object only the oldest `old` and the newest `new`, so the number of objects bounds the backlog."""
