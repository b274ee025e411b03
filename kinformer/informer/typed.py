"""A cache's objects as objects of a class of yours: `factory.informer(PODS, type=Pod)`.

    one SharedInformer ──▶ handlers and lister of KubeObject
                      └──▶ TypedInformer[Pod] ──▶ handlers and lister of Pod

It is a view: the watch, the cache and its bytes are the shared informer's, however many classes they are seen through
(docs/design/0009). Each state of an object is decoded once, by whoever needs it first (a handler in its own task and
slice, or a reader), and not at all when nobody does.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic

from kinformer._own_writes.pending import set_pending_writes
from kinformer.events import T
from kinformer.informer._handler_task import handler_of, name_of
from kinformer.informer._mailbox import make_mailbox
from kinformer.informer._shared_informer import core_of
from kinformer.informer._typed_mailbox import TypedEvent, TypedMailbox
from kinformer.informer._typed_view import TypedView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from kinformer.cache.lister import Lister
    from kinformer.errors import DecodeError
    from kinformer.events import Delivery
    from kinformer.informer._shared_informer import SharedInformer
    from kinformer.informer.event_stream import EventStream
    from kinformer.informer.registration import HandlerRegistration
    from kinformer.labels import SelectorInput
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.resources import Resource
    from kinformer.status import InformerStatus

__all__ = ["TypedEvent", "TypedInformer", "TypedLister"]


class TypedLister(Generic[T]):
    """Reads of a cache as objects of a class of yours: plain calls, no await, no request.

    Each state of an object is decoded once, and the same object is handed out until it changes: treat it as read-only
    (a frozen class makes sure). Objects that do not fit the class are left out; see `TypedInformer.misfits`.
    """

    def __init__(self, lister: Lister, value_of: Callable[[KubeObject], T | None]) -> None:
        self._lister = lister
        self._value_of = value_of

    def __len__(self) -> int:
        return len(self.list())

    def __iter__(self) -> Iterator[T]:
        return iter(self.list())

    def get(self, name: str | ObjectKey, namespace: str | None = None) -> T | None:
        """One object; `None` when there is none of that name, or it does not fit the class.

        Raises:
            ValueError: the resource lives in namespaces, and which one was not said.
        """
        found = self._lister.get(name, namespace)
        return None if found is None else self._value_of(found)

    def by_index(self, index: str, value: str) -> list[T]:
        """The objects an index has under a value.

        Raises:
            UnknownIndexError: there is no index of that name.
        """
        return self._values(self._lister.by_index(index, value))

    def _values(self, objects: list[KubeObject]) -> list[T]:
        return [value for value in map(self._value_of, objects) if value is not None]

    # Last, because below it the annotation list[...] would mean this method.
    def list(self, namespace: str | None = None, selector: SelectorInput = None) -> list[T]:
        """The objects of a namespace (or of all) whose labels the selector selects, in no particular order.

        Raises:
            SelectorError: the selector does not parse.
        """
        return self._values(self._lister.list(namespace, selector))


class TypedInformer(Generic[T]):
    """A `SharedInformer` whose objects are of a class of yours.

        class Pod(msgspec.Struct, frozen=True):
            metadata: Meta
            status: Status

        pods = factory.informer(PODS, type=Pod)
        pods.add_event_handler(on_update=lambda old, new: print(old.status.phase, "->", new.status.phase))

    Fields the class does not have are skipped, not built. An object that does not fit is left out of this view alone,
    as if it were not there: a handler is told that it has gone (`final_state_known=False`) if it did fit before, and
    that it has been added when it fits again. It is in `misfits`, and is logged, counted and given to `on_error` once
    per state.

    Args:
        informer: whose objects they are. Everything about the watch is there: `typed.informer.status` and so on.
        into: a `msgspec.Struct`, dataclass, TypedDict or pydantic model. Its objects are shared among all who read
            them: treat them as read-only.

    Raises:
        TypeError: the class is none of these.
        StoppedError: the informer has stopped.
    """

    def __init__(self, informer: SharedInformer, into: type[T]) -> None:
        self._informer = informer
        self._into = into
        self._core = core_of(informer)
        self._view: TypedView[T] = TypedView(self._core, into)
        self._lister: TypedLister[T] = TypedLister(informer.lister, self._view.value_of)
        set_pending_writes(self, self._core.dispatcher.pending_writes)

    def __repr__(self) -> str:
        return f"<TypedInformer of {self._into.__name__} {self._informer!r}>"

    @property
    def informer(self) -> SharedInformer:
        """Whose objects they are."""
        return self._informer

    @property
    def resource(self) -> Resource:
        """What is cached."""
        return self._informer.resource

    @property
    def lister(self) -> TypedLister[T]:
        """Reads of the cache; it may be kept."""
        return self._lister

    @property
    def has_synced(self) -> bool:
        """Whether the first list is wholly in the cache. Never goes back to false."""
        return self._informer.has_synced

    @property
    def status(self) -> InformerStatus:
        """How the informer is."""
        return self._informer.status

    @property
    def misfits(self) -> Mapping[ObjectKey, DecodeError]:
        """The objects found so far that do not fit the class in their present state, and why."""
        return MappingProxyType(self._view.misfits)

    async def synced(self, timeout: float | None = None, *, fail_fast: bool = False) -> None:
        """Wait until the first list is wholly in the cache; see `SharedInformer.synced`.

        Raises:
            CacheSyncError: not in time, or refused.
            StoppedError: the informer ended before that.
        """
        await self._informer.synced(timeout, fail_fast=fail_fast)

    async def caught_up(
        self, what: KubeObject | Mapping[str, Any] | ObjectKey | str | int | None = None, timeout: float | None = 5.0
    ) -> None:
        """Wait until the cache shows what was written; as `SharedInformer.caught_up`."""
        await self._informer.caught_up(what, timeout)

    def add_event_handler(
        self,
        on_event: Callable[[TypedEvent[T]], Awaitable[object] | object] | None = None,
        *,
        on_add: Callable[[T], Awaitable[object] | object] | None = None,
        on_update: Callable[[T, T], Awaitable[object] | object] | None = None,
        on_delete: Callable[[T], Awaitable[object] | object] | None = None,
        resync: float | None = None,
        delivery: Delivery = "every",
        name: str = "",
    ) -> HandlerRegistration:
        """Tell a handler of every change; as `SharedInformer.add_event_handler`, with objects of the class.

        Raises:
            StoppedError: the informer has stopped.
            TypeError: no function was given, or both forms.
            ValueError: no such delivery, or a negative resync.
        """
        handler = handler_of(on_event, on_add, on_update, on_delete)
        return self._core.register(
            handler,
            TypedMailbox(make_mailbox(delivery), self._view),
            resync=resync,
            name=name or name_of(on_event, on_add, on_update, on_delete),
        )

    def events(self, *, delivery: Delivery = "every") -> EventStream[TypedEvent[T]]:
        """Iterate over the changes; as `SharedInformer.events`, with objects of the class.

        Raises:
            StoppedError: the informer has stopped.
            ValueError: no such delivery.
        """
        return self._core.attach(TypedMailbox(make_mailbox(delivery), self._view))

    async def wait_for(
        self,
        key: ObjectKey | str,
        predicate: Callable[[T | None], object] | None = None,
        timeout: float | None = None,
        *,
        namespace: str | None = None,
    ) -> T | None:
        """Wait until an object is as wanted; returns it. One that does not fit the class counts as absent.

        Raises:
            WaitTimeoutError: not in time.
            StoppedError: the informer ended before that.
            NotStartedError: the informer has not been started.
            ValueError: no namespace was named.
            Exception: what the predicate raises.
        """

        def as_wanted(found: KubeObject | None) -> object:
            value = None if found is None else self._view.value_of(found)
            return value is not None if predicate is None else predicate(value)

        found = await self._informer.wait_for(key, as_wanted, timeout, namespace=namespace)
        return None if found is None else self._view.value_of(found)
