"""A cache's objects as objects of a class of yours: `factory.informer(PODS, type=Pod)`.

    one SharedInformer ──▶ handlers and lister of KubeObject
                      └──▶ TypedInformer[Pod] ──▶ handlers and lister of Pod

It is a view: the watch, the cache and its bytes are the shared informer's, however many classes they are seen through
(docs/design/0009). Each state of an object is decoded once, by whoever needs it first (a handler in its own task and
slice, or a reader), and not at all when nobody does.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, cast

import msgspec
import msgspec.inspect

from kinformer.cache._compact.packed_object import PackedObject
from kinformer.errors import DecodeError
from kinformer.events import Added, Deleted, T, Updated
from kinformer.informer._mailbox import make_mailbox
from kinformer.informer._typed_mailbox import (
    MISFIT,
    UNREAD,
    Cell,
    Forgetful,
    Seen,
    SeenPacked,
    TypedEvent,
    TypedMailbox,
)
from kinformer.informer.registration import handler_of, name_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from kinformer._own_writes.pending import PendingWrites
    from kinformer.cache.lister import Lister
    from kinformer.events import Delivery, Event
    from kinformer.informer._shared_informer import SharedInformer
    from kinformer.informer.event_stream import EventStream
    from kinformer.informer.registration import HandlerRegistration
    from kinformer.labels import SelectorInput
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.resources import Resource
    from kinformer.status import InformerStatus

__all__ = ["TypedEvent", "TypedInformer", "TypedLister"]


def _decoder_of(into: type[T]) -> Callable[[bytes], T]:
    """How JSON becomes a T; what it raises for an object that does not fit is a ValueError, all of them.

    Raises:
        TypeError: neither msgspec nor pydantic can make one.
    """
    validate = getattr(into, "model_validate_json", None)  # pydantic's own; it need not be imported to be known
    if validate is not None:
        return cast("Callable[[bytes], T]", validate)
    try:
        # msgspec takes a class it does not know, too, and then fails at each object.
        if isinstance(msgspec.inspect.type_info(into), msgspec.inspect.CustomType):
            raise TypeError("an unknown kind of class")  # noqa: TRY301 - the same answer as msgspec's own refusals
        return msgspec.json.Decoder(into).decode
    except TypeError as error:
        msg = (
            f"type={into!r} cannot be decoded into: it must be a msgspec.Struct, dataclass, TypedDict or pydantic model"
        )
        raise TypeError(msg) from error


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
        self._decode = _decoder_of(into)
        self._cells: dict[ObjectKey, Cell[T]] = {}
        self._misfits: dict[ObjectKey, DecodeError] = {}
        self._lister: TypedLister[T] = TypedLister(informer.lister, self._value_of)
        # Held, because the informer itself does not hold those who only listen.
        self._memory = informer.attach(Forgetful(self._forget))

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
    def pending_writes(self) -> PendingWrites:
        """The writes through its client that the cache does not show yet."""
        return self._informer.pending_writes

    @property
    def status(self) -> InformerStatus:
        """How the informer is."""
        return self._informer.status

    @property
    def misfits(self) -> Mapping[ObjectKey, DecodeError]:
        """The objects found so far that do not fit the class in their present state, and why."""
        return MappingProxyType(self._misfits)

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
        return self._informer.register(
            handler,
            TypedMailbox(make_mailbox(delivery), self),
            resync=resync,
            name=name or name_of(on_event, on_add, on_update, on_delete),
        )

    def events(self, *, delivery: Delivery = "every") -> EventStream[TypedEvent[T]]:
        """Iterate over the changes; as `SharedInformer.events`, with objects of the class.

        Raises:
            StoppedError: the informer has stopped.
            ValueError: no such delivery.
        """
        return self._informer.attach(TypedMailbox(make_mailbox(delivery), self))

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
            value = None if found is None else self._value_of(found)
            return value is not None if predicate is None else predicate(value)

        found = await self._informer.wait_for(key, as_wanted, timeout, namespace=namespace)
        return None if found is None else self._value_of(found)

    # What the mailboxes need

    def see(self, event: Event) -> Event:
        """The same event of an object that shares what is decoded of it with whoever else is told."""
        match event:
            case Updated(old, new):
                return Updated(old, self._seen(new))
            case Added(obj, initial):
                return Added(self._seen(obj), initial)
            case Deleted(obj, final_state_known):
                return Deleted(self._seen(obj), final_state_known)

    def see_initial(self, stored: KubeObject) -> Event:
        """The `Added` of an object of the cache, which may have changed since the listener came."""
        return Added(self._seen(stored, remember=self._is_current(stored)), initial=True)

    def value_in(self, seen: KubeObject) -> T | None:
        """What an object that `see` made is as a T; `None` when it does not fit."""
        assert isinstance(seen, Seen | SeenPacked)
        return self._read(seen.cell, seen)

    def _seen(self, obj: KubeObject, *, remember: bool = True) -> Seen | SeenPacked:
        seen: Seen | SeenPacked
        if isinstance(obj, PackedObject) and (dictionary := obj.dictionary) is not None:
            seen = SeenPacked(obj.frame, obj.metadata, obj.resource, obj.key, None, None, dictionary)
        else:
            seen = Seen(obj.raw, obj.metadata, obj.resource, obj.key, obj.places)
        seen.cell = self._cell_of(obj, remember=remember)
        return seen

    def _cell_of(self, obj: KubeObject, *, remember: bool) -> Cell[T]:
        cell = self._cells.get(obj.key)
        if cell is None or not cell.is_of(obj):
            metadata = obj.metadata
            cell = Cell(metadata.uid, metadata.resource_version)
            if remember:
                self._cells[obj.key] = cell
                self._misfits.pop(obj.key, None)
        return cell

    def _value_of(self, obj: KubeObject) -> T | None:
        # Not remembered unless the cache has it: a view that somebody kept may be of an object that has gone.
        return self._read(self._cell_of(obj, remember=self._is_current(obj)), obj)

    def _is_current(self, obj: KubeObject) -> bool:
        """Whether the cache has the object in this very state."""
        metadata = obj.metadata
        return self._informer.indexer.version_of(obj.key) == (metadata.uid, metadata.resource_version)

    def _read(self, cell: Cell[T], obj: KubeObject) -> T | None:
        value = cell.value
        if value is UNREAD:
            try:
                value = self._decode(obj.to_decodable())
            except ValueError as cause:  # msgspec's and pydantic's errors both are
                value = MISFIT
                self._report(obj, cause)
            cell.value = value
        return None if value is MISFIT else value

    def _report(self, obj: KubeObject, cause: ValueError) -> None:
        # pydantic's message quotes the input, which may be a Secret's; its list of errors can do without.
        details = getattr(cause, "errors", None)
        if details is not None:
            first = details(include_input=False, include_url=False)[0]
            reason = f"{first['msg']} - at `$.{'.'.join(map(str, first['loc']))}`"
        else:
            reason = str(cause)
        name = self._into.__name__
        error = DecodeError(f"does not fit {name}: {reason}", key=str(obj.key), resource=obj.resource.full_name)
        if details is None:
            error.__cause__ = cause
        cell = self._cells.get(obj.key)
        if cell is not None and cell.is_of(obj):
            self._misfits[obj.key] = error
        self._informer.report(error)

    def _forget(self, gone: list[ObjectKey]) -> None:
        for key in gone:
            # What was made anew under the same name meanwhile stays known.
            if self._informer.indexer.version_of(key) is None:
                self._cells.pop(key, None)
                self._misfits.pop(key, None)
