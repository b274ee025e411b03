"""A cache's objects as objects of a class of yours: `factory.informer(PODS, type=Pod)`.

    one SharedInformer ──▶ handlers and lister of KubeObject
                      └──▶ TypedInformer[Pod] ──▶ handlers and lister of Pod

A `TypedInformer` is a view: the watch, the cache and its bytes belong to the shared informer, and any number of classes
share them (docs/design/0009). Each state of an object is decoded once, when a handler (in its own task and time slice)
or a reader first needs it. A state that no handler and no reader needs is not decoded.
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
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping

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

    Each state of an object is decoded once, and all readers get the same object until it changes. So treat it as
    read-only (a frozen class enforces that). Objects that do not fit the class are left out; see
    `TypedInformer.misfits`.
    """

    def __init__(self, lister: Lister, value_of: Callable[[KubeObject], T | None]) -> None:
        self._lister = lister
        self._value_of = value_of

    def __len__(self) -> int:
        return len(self.list())

    def __iter__(self) -> Iterator[T]:
        for obj in self._lister:
            value = self._value_of(obj)
            if value is not None:
                yield value

    def __aiter__(self) -> AsyncIterator[T]:
        return self.each()

    async def each(self, namespace: str | None = None, selector: SelectorInput = None) -> AsyncGenerator[T, None]:
        """Yield the objects that `list` returns, and let other tasks have their turn; see `Lister.each`.

        Raises:
            SelectorError: the selector does not parse.
        """
        async for obj in self._lister.each(namespace, selector):
            value = self._value_of(obj)
            if value is not None:
                yield value

    def get(self, name: str | ObjectKey, namespace: str | None = None) -> T | None:
        """Return one object; `None` if there is none of that name, or it does not fit the class.

        Raises:
            ValueError: the resource is namespaced, and the namespace is missing.
        """
        found = self._lister.get(name, namespace)
        return None if found is None else self._value_of(found)

    def by_index(self, index: str, value: str) -> list[T]:
        """Return the objects that an index has under a value.

        Raises:
            UnknownIndexError: there is no index of that name.
        """
        return self._values(self._lister.by_index(index, value))

    def _values(self, objects: list[KubeObject]) -> list[T]:
        return [value for value in map(self._value_of, objects) if value is not None]

    # Last, because below it the annotation list[...] would mean this method.
    def list(
        self,
        namespace: str | None = None,
        selector: SelectorInput = None,
        *,
        label_selector: SelectorInput = None,
    ) -> list[T]:
        """Return the objects of a namespace (or of all) that a label selector selects, as `Lister.list`.

        Raises:
            SelectorError: the selector does not parse.
            TypeError: both selectors are given.
        """
        return self._values(self._lister.list(namespace, selector, label_selector=label_selector))


class TypedInformer(Generic[T]):
    """A `SharedInformer` whose objects are of a class of yours.

        class Pod(msgspec.Struct, frozen=True):
            metadata: Meta
            status: Status

        pods = factory.informer(PODS, type=Pod)
        pods.add_event_handler(on_update=lambda old, new: print(old.status.phase, "->", new.status.phase))

    Fields that the class does not have are skipped, not decoded. An object that does not fit the class is left out of
    this view alone, as if it did not exist. If it fitted before, handlers get a `Deleted` of it
    (`final_state_known=False`); when it fits again, they get an `Added`. Until then it is in `misfits`. It is logged,
    counted and given to `on_error` once per state.

    Args:
        informer: source of the objects. Everything about the watch is there: `typed.informer.status` and so on.
        into: a `msgspec.Struct`, dataclass, TypedDict or pydantic model. All readers share its objects: treat them as
            read-only.

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
        """Informer that the objects come from."""
        return self._informer

    @property
    def resource(self) -> Resource:
        """Resource of the cached objects."""
        return self._informer.resource

    @property
    def lister(self) -> TypedLister[T]:
        """Reads of the cache. May be kept."""
        return self._lister

    @property
    def has_synced(self) -> bool:
        """True once the first list is completely in the cache. Never goes back to false."""
        return self._informer.has_synced

    @property
    def status(self) -> InformerStatus:
        """Present status of the informer. May be read from any thread."""
        return self._informer.status

    @property
    def misfits(self) -> Mapping[ObjectKey, DecodeError]:
        """The objects found so far that do not fit the class in their present state, each with its error."""
        return MappingProxyType(self._view.misfits)

    async def synced(self, timeout: float | None = None, *, fail_fast: bool = False) -> None:
        """Wait until the first list is completely in the cache; see `SharedInformer.synced`.

        Raises:
            CacheSyncError: not in time, or refused.
            StoppedError: the informer ended before that.
        """
        await self._informer.synced(timeout, fail_fast=fail_fast)

    async def caught_up(
        self, what: KubeObject | Mapping[str, Any] | ObjectKey | str | int | None = None, timeout: float | None = 5.0
    ) -> None:
        """Wait until the cache shows a write; as `SharedInformer.caught_up`."""
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
        """Add a handler, at any time; as `SharedInformer.add_event_handler`, with objects of the class.

        Raises:
            StoppedError: the informer has stopped.
            TypeError: no function was given, or both forms.
            ValueError: unknown delivery, or a negative resync.
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
            ValueError: unknown delivery.
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
        """Wait until a predicate holds for an object; return it. An object that does not fit counts as absent.

        Raises:
            WaitTimeoutError: not in time.
            StoppedError: the informer ended before that.
            NotStartedError: the informer has not been started.
            ValueError: the namespace is missing.
            Exception: the exception of the predicate.
        """

        def as_wanted(found: KubeObject | None) -> object:
            value = None if found is None else self._view.value_of(found)
            return value is not None if predicate is None else predicate(value)

        found = await self._informer.wait_for(key, as_wanted, timeout, namespace=namespace)
        return None if found is None else self._view.value_of(found)
