"""Maps the events of informers to the keys that a controller must reconcile.

    event ──▶ filter: does it count? ──▶ map: which keys does it concern? ──▶ queue, with a priority

Objects that exist when the controller begins, and those that a resync repeats, come with a low priority: a start with
100,000 objects must not delay the one that changes just then.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, MappingView
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, cast

from kinformer._survivable import is_survivable
from kinformer.events import Added, Deleted, Event, Updated
from kinformer.objects import ObjectKey
from kinformer.status import class_of
from kinformer.workqueue import DEFAULT_PRIORITY, LOW_PRIORITY

if TYPE_CHECKING:
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource
    from kinformer.workqueue import Debounce, RateLimitingQueue

__all__ = ["EventMapping", "Filter", "Keys", "Registration", "Source", "TypedSource", "own_key"]

K = TypeVar("K", bound=Hashable)


class Registration(Protocol):
    """The registration of a handler with an informer."""

    async def remove(self) -> None:
        """Remove the handler; it is not called again.

        With a keyword argument `drain`, `Controller.unwatch` passes true: deliver the events that wait now first.
        """
        ...


class Source(Protocol):
    """A source of events that a controller can watch; a `SharedInformer` is one."""

    @property
    def resource(self) -> Resource:
        """The resource of its objects."""
        ...

    def add_event_handler(self, *, on_event: Callable[[Event], None], name: str) -> Registration:
        """Call the function with each event, beginning with an `Added` for each object in the cache."""
        ...

    async def synced(self, timeout: float | None = None) -> None:
        """Wait until the cache is filled.

        Raises:
            CacheSyncError: it was not in `timeout` seconds.
        """
        ...


class TypedSource(Protocol):
    """A typed informer; the controller listens to the untyped informer below it."""

    @property
    def informer(self) -> Source:
        """The untyped informer."""
        ...


Keys: TypeAlias = K | list[K] | AbstractSet[K] | Iterator[K] | None
Filter: TypeAlias = Callable[[Event], bool]


def _as_keys(mapped: Any) -> Iterable[Any]:
    """One key or many? Tuples and strings are keys: an `ObjectKey` may be taken apart like a tuple."""
    if type(mapped) is ObjectKey or type(mapped) is str:
        # Nearly all are, and the question to four abstract classes takes 1 µs.
        return (mapped,)
    if mapped is None:
        return ()
    many = isinstance(mapped, list | AbstractSet | Iterator | MappingView)
    return cast("Iterable[Any]", mapped) if many else (mapped,)


def own_key(obj: KubeObject) -> ObjectKey:
    """The default mapping: an object is mapped to its own key."""
    return obj.key


def _priority_of(event: Event) -> int:
    match event:
        case Added(initial=True) | Updated(is_resync=True):
            return LOW_PRIORITY
        case _:
            return DEFAULT_PRIORITY


class EventMapping(Generic[K]):
    """One informer of a controller: its filter, its mapping to keys, and the priority of the keys.

    Args:
        source: the informer.
        keys_of: from an object to the keys it concerns.
        admit: whether an event counts; all do when it is `None`.
        queue: where the keys go.
        debounce: how long keys wait for the events to calm down; not at all when it is `None`.
        priority: of all its keys; by the event when it is `None`.
        on_deleted: called with deleted objects, before their keys are queued.
        on_departed: called with objects that left the scope of the informer; they bring no keys then.
    """

    def __init__(
        self,
        source: Source,
        keys_of: Callable[[KubeObject], Any],
        admit: Filter | None,
        queue: RateLimitingQueue[K],
        debounce: Debounce | None = None,
        priority: int | None = None,
        on_deleted: Callable[[KubeObject], None] | None = None,
        on_departed: Callable[[KubeObject], None] | None = None,
    ) -> None:
        self.source = source
        self.queue = queue
        self._map = keys_of
        self._admit = admit
        self._debounce = debounce
        self._priority = priority
        self._on_deleted = on_deleted
        self._on_departed = on_departed

    def keys_of(self, obj: KubeObject) -> Iterable[K]:
        """Return the keys that an object is mapped to."""
        return _as_keys(self._map(obj))

    def on_event(self, event: Event) -> None:
        """Queue the keys of the object; for an update, the keys of the new and of the old state."""
        if isinstance(event, Deleted) and event.out_of_scope and self._on_departed is not None:
            # Another replica owns the object now. Its key must not be taken for that of a deleted object.
            self._on_departed(event.obj)
            return
        try:
            if self._admit is not None and not self._admit(event):
                return
            keys = [*self.keys_of(event.obj)]
            if isinstance(event, Updated):
                keys += self.keys_of(event.old)
        except Exception:
            raise
        except BaseException as error:
            if not is_survivable(error):
                raise
            # The informer's own task must not take it for its end.
            msg = f"the filter or map of a controller raised {class_of(error)}"
            raise RuntimeError(msg) from error
        priority = _priority_of(event) if self._priority is None else self._priority
        if self._on_deleted is not None and isinstance(event, Deleted):
            self._on_deleted(event.obj)
        for key in keys:
            self._add(key, priority)

    def _add(self, key: K, priority: int) -> None:
        if self._debounce is None:
            self.queue.add(key, priority=priority)
        else:
            self.queue.add_debounced(key, self._debounce, priority=priority)
