"""Mailboxes of typed handlers: events go in with the objects of the cache, and come out with objects of a class."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias

from kinformer.cache._compact.packed_object import PackedObject
from kinformer.events import Added, Deleted, T, Updated
from kinformer.informer._mailbox import NOTHING_NOW, NoEvent, initial_event
from kinformer.objects import KubeObject, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kinformer.events import Event
    from kinformer.informer._mailbox import EventOf, Mailbox

__all__ = [
    "UNDECODABLE",
    "UNREAD",
    "Cell",
    "ForgetOnRemoval",
    "ObjectWithCell",
    "PackedWithCell",
    "TypedEvent",
    "TypedMailbox",
]

TypedEvent: TypeAlias = Added[T] | Updated[T] | Deleted[T]
"""An event whose objects are of a class of yours; `event.key` is the key of the object."""

UNREAD: Final[Any] = object()
"""The value of a state that no reader has decoded yet."""

UNDECODABLE: Final[Any] = object()
"""The value of a state that does not fit the class."""


class Cell(Generic[T]):
    """Decoded value of one state of one object, shared by all readers of that state."""

    __slots__ = ("uid", "value", "version")

    def __init__(self, uid: str, version: str) -> None:
        self.uid = uid
        self.version = version
        self.value: Any = UNREAD

    def is_of(self, obj: KubeObject) -> bool:
        """Return whether this cell belongs to the present state of the object."""
        metadata = obj.metadata
        return self.version == metadata.resource_version and self.uid == metadata.uid


class ObjectWithCell(KubeObject, eq=False, gc=False):
    """An object on its way to typed handlers, with the cell that they share."""

    cell: Any = None


class PackedWithCell(PackedObject, eq=False, gc=False):
    """Like `ObjectWithCell`, for a compressed object; it stays compressed until a handler reads it."""

    cell: Any = None


# Subclasses of the events of the cache, so they match in the same way. `source` keeps the object of the cache.


class TypedAdded(Added[T], frozen=True, kw_only=True, gc=True):
    """An object that fits the class was added."""

    source: KubeObject

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return self.source.key


class TypedUpdated(Updated[T], frozen=True, kw_only=True, gc=True):
    """An object has changed; it fitted the class before, and fits now."""

    source: KubeObject
    is_resync: bool

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return self.source.key


class TypedDeleted(Deleted[T], frozen=True, kw_only=True, gc=True):
    """An object that fitted the class was deleted, or does not fit any more."""

    source: KubeObject

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return self.source.key


class Seeing(Protocol):
    """The methods of a view that its typed mailboxes use."""

    def see(self, event: Event) -> Event:
        """Return the same event of an object that shares its decoded value with all other readers."""
        ...

    def see_initial(self, stored: KubeObject) -> Event:
        """Return the `Added` of an object of the cache, for a listener that was added later."""
        ...

    def value_in(self, seen: KubeObject) -> Any:
        """Return the decoded value of an object that `see` made; `None` if it does not fit the class."""
        ...


class TypedMailbox(Generic[T]):
    """A mailbox that takes the events of a cache and gives typed events.

    It decodes an object when its event is taken, so at the pace of the reader. The typed events are a legal history of
    the objects that fit: each follows from the events that came out before. So merged states, and states that do not
    fit, leave no stale object with the reader.
    """

    __slots__ = ("_inner", "_told", "_view")

    def __init__(self, inner: Mailbox, view: Seeing) -> None:
        self._inner = inner
        self._view = view
        self._told: dict[ObjectKey, T] = {}

    def __len__(self) -> int:
        return len(self._inner)

    def put(self, events: Iterable[Event]) -> None:
        """Add events."""
        see = self._view.see
        self._inner.put([see(event) for event in events])

    def put_initial(self, objects: dict[ObjectKey, KubeObject], event_of: EventOf = initial_event) -> None:
        """Add an `Added` for each object of a cache."""
        del event_of  # the view makes its own
        self._inner.put_initial(objects, self._view.see_initial)

    def put_mark(self) -> None:
        """Add the mark."""
        self._inner.put_mark()

    def take(self) -> Any:
        """Take the next event or mark; `NOTHING_NOW` for an event that concerns no value of the class.

        Each call decodes one object at most, so that the reader can watch its time slice.
        """
        item = self._inner.take()
        if item is None or isinstance(item, NoEvent):
            return item
        typed = self._typed(item)
        return NOTHING_NOW if typed is None else typed

    def clear(self) -> None:
        """Drop everything."""
        self._inner.clear()

    def _typed(self, event: Event) -> TypedEvent[T] | None:
        obj = event.obj
        value = self._view.value_in(obj)
        before = self._told.pop(obj.key, None)
        if isinstance(event, Deleted):
            if before is None:
                return None
            if value is None:
                return TypedDeleted(before, False, event.out_of_scope, source=obj)
            return TypedDeleted(value, event.final_state_known, event.out_of_scope, source=obj)
        if value is None:
            return None if before is None else TypedDeleted(before, final_state_known=False, source=obj)
        self._told[obj.key] = value
        if before is None:
            return TypedAdded(value, isinstance(event, Added) and event.initial, source=obj)
        return TypedUpdated(before, value, source=obj, is_resync=isinstance(event, Updated) and event.is_resync)


class ForgetOnRemoval:
    """A mailbox that stores nothing, and reports deleted objects."""

    __slots__ = ("_forget",)

    def __init__(self, forget: Callable[[list[ObjectKey]], None]) -> None:
        self._forget = forget

    def __len__(self) -> int:
        return 0

    def put(self, events: Iterable[Event]) -> None:
        """Report the deletions among the events."""
        gone = [event.key for event in events if isinstance(event, Deleted)]
        if gone:
            # After all listeners have the event: they share one cell of the last state, too.
            asyncio.get_running_loop().call_soon(self._forget, gone)

    def put_initial(self, objects: dict[ObjectKey, KubeObject], event_of: EventOf = initial_event) -> None:
        """Ignore it: nothing is stored."""

    def put_mark(self) -> None:
        """Ignore it: nothing is stored."""

    def take(self) -> None:
        """Return nothing."""

    def clear(self) -> None:
        """Do nothing: no event is stored."""
