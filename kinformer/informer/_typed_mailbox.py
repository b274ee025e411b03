"""The events of a cache on their way to typed handlers: put as the cache has them, taken as objects of a class."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias

from kinformer.cache._compact.packed_object import PackedObject
from kinformer.events import Added, Deleted, T, Updated
from kinformer.informer._mailbox import SyncMark, initial_event
from kinformer.objects import KubeObject, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kinformer.events import Event
    from kinformer.informer._mailbox import EventOf, Mailbox

__all__ = ["MISFIT", "UNREAD", "Cell", "Forgetful", "Seen", "SeenPacked", "TypedEvent", "TypedMailbox"]

TypedEvent: TypeAlias = Added[T] | Updated[T] | Deleted[T]
"""An event whose objects are of a class of yours; `event.key` says which object it is about."""

UNREAD: Final[Any] = object()
"""The value of a state that nobody has read yet."""

MISFIT: Final[Any] = object()
"""The value of a state that does not fit the class."""


class Cell(Generic[T]):
    """What one state of one object is as a T; shared by all who see that state."""

    __slots__ = ("uid", "value", "version")

    def __init__(self, uid: str, version: str) -> None:
        self.uid = uid
        self.version = version
        self.value: Any = UNREAD

    def is_of(self, obj: KubeObject) -> bool:
        """Whether it is of the very state that the object is in."""
        metadata = obj.metadata
        return self.version == metadata.resource_version and self.uid == metadata.uid


class Seen(KubeObject, eq=False, gc=False):
    """An object on its way to typed handlers, with the cell that is shared among them."""

    cell: Any = None


class SeenPacked(PackedObject, eq=False, gc=False):
    """The same of an object that is compressed, and stays so until one of them reads it."""

    cell: Any = None


# The events of the cache, of other objects: they match and read the same, and still know which object they are about.


class TypedAdded(Added[T], frozen=True, kw_only=True, gc=True):
    """An object that fits has come."""

    source: KubeObject

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return self.source.key


class TypedUpdated(Updated[T], frozen=True, kw_only=True, gc=True):
    """An object that fitted before has changed, and fits."""

    source: KubeObject
    is_resync: bool

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return self.source.key


class TypedDeleted(Deleted[T], frozen=True, kw_only=True, gc=True):
    """An object that fitted has gone, or does not fit any more."""

    source: KubeObject

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return self.source.key


class Seeing(Protocol):
    """What a typed mailbox needs of the view it belongs to."""

    def see(self, event: Event) -> Event:
        """The same event of an object that shares what is decoded of it with whoever else is told."""
        ...

    def see_initial(self, stored: KubeObject) -> Event:
        """The `Added` of an object of the cache, for a listener that comes late."""
        ...

    def value_in(self, seen: KubeObject) -> Any:
        """What an object that `see` made is as a T; `None` when it does not fit."""
        ...


class TypedMailbox(Generic[T]):
    """A mailbox that takes a cache's events and gives typed ones; decodes when it gives, so at the reader's pace.

    What comes out is a legal history of what fits: it follows from what has come out before, so that also of states
    that were merged, or do not fit, nothing is left over.
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
        del event_of  # the view knows better
        self._inner.put_initial(objects, self._view.see_initial)

    def put_mark(self) -> None:
        """Add the mark."""
        self._inner.put_mark()

    def take(self) -> Any:
        """Take what is due next and can be told."""
        while True:
            item = self._inner.take()
            if item is None or isinstance(item, SyncMark):
                return item
            typed = self._typed(item)
            if typed is not None:
                return typed

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


class Forgetful:
    """A mailbox that keeps nothing, and tells of what has gone."""

    __slots__ = ("_forget",)

    def __init__(self, forget: Callable[[list[ObjectKey]], None]) -> None:
        self._forget = forget

    def __len__(self) -> int:
        return 0

    def put(self, events: Iterable[Event]) -> None:
        """Look for deletions."""
        gone = [event.key for event in events if isinstance(event, Deleted)]
        if gone:
            # Once everybody has been told: of a last state, too, there is one cell for all.
            asyncio.get_running_loop().call_soon(self._forget, gone)

    def put_initial(self, objects: dict[ObjectKey, KubeObject], event_of: EventOf = initial_event) -> None:
        """Nothing to keep."""

    def put_mark(self) -> None:
        """Nothing to keep."""

    def take(self) -> None:
        """Nothing is kept."""

    def clear(self) -> None:
        """Nothing to drop."""
