"""A cache as objects of a class: each state of an object is decoded once, for all readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from kinformer._object_classes import decoder_of, is_pydantic, reason_of
from kinformer._survivable import is_survivable
from kinformer.cache._compact.packed_object import PackedObject
from kinformer.errors import DecodeError
from kinformer.events import Added, Deleted, T, Updated
from kinformer.informer._typed_mailbox import UNDECODABLE, UNREAD, Cell, ForgetOnRemoval, ObjectWithCell, PackedWithCell

if TYPE_CHECKING:
    from kinformer.events import Event
    from kinformer.informer._core import InformerCore
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["TypedView"]


class TypedView(Generic[T]):
    """The objects of one cache as objects of a class; a `TypedInformer` stands on it.

    Args:
        core: parts of the informer.
        into: the class.

    Attributes:
        misfits: the objects found so far that do not fit the class in their present state, with the reason.

    Raises:
        TypeError: neither msgspec nor pydantic can decode into the class.
        StoppedError: the informer has stopped.
    """

    def __init__(self, core: InformerCore, into: type[T]) -> None:
        self.misfits: dict[ObjectKey, DecodeError] = {}
        self._core = core
        self._into = into
        self._decode = decoder_of(into)
        self._cells: dict[ObjectKey, Cell[T]] = {}
        # Held here, because the informer holds its iterators weakly.
        self._memory = core.attach(ForgetOnRemoval(self._forget))

    def see(self, event: Event) -> Event:
        """Return the same event of an object that shares its decoded value with all other readers."""
        match event:
            case Updated(old, new):
                return Updated(old, self._seen(new))
            case Added(obj, initial):
                return Added(self._seen(obj), initial)
            case Deleted(obj, final_state_known, out_of_scope):
                return Deleted(self._seen(obj), final_state_known, out_of_scope)

    def see_initial(self, stored: KubeObject) -> Event:
        """Return the `Added` of an object of the cache. The object may have changed since the listener was added."""
        return Added(self._seen(stored, remember=self._is_current(stored)), initial=True)

    def value_in(self, seen: KubeObject) -> T | None:
        """Return the decoded value of an object that `see` made; `None` if it does not fit the class."""
        assert isinstance(seen, ObjectWithCell | PackedWithCell)
        return self._read(seen.cell, seen)

    def _seen(self, obj: KubeObject, *, remember: bool = True) -> ObjectWithCell | PackedWithCell:
        seen: ObjectWithCell | PackedWithCell
        if isinstance(obj, PackedObject) and (dictionary := obj.dictionary) is not None:
            seen = PackedWithCell(*obj.packed, obj.resource, obj.key, None, None, dictionary)
        else:
            seen = ObjectWithCell(obj.raw, obj.metadata, obj.resource, obj.key, obj.places)
        seen.cell = self._cell_of(obj, remember=remember)
        return seen

    def _cell_of(self, obj: KubeObject, *, remember: bool) -> Cell[T]:
        cell = self._cells.get(obj.key)
        if cell is None or not cell.is_of(obj):
            metadata = obj.metadata
            cell = Cell(metadata.uid, metadata.resource_version)
            if remember:
                self._cells[obj.key] = cell
                self.misfits.pop(obj.key, None)
        return cell

    def value_of(self, obj: KubeObject) -> T | None:
        # Kept only if the cache has this state: a caller may hold a view of an object that has been deleted.
        return self._read(self._cell_of(obj, remember=self._is_current(obj)), obj)

    def _is_current(self, obj: KubeObject) -> bool:
        """Return whether the cache has the object in this state."""
        metadata = obj.metadata
        return self._core.indexer.version_of(obj.key) == (metadata.uid, metadata.resource_version)

    def _read(self, cell: Cell[T], obj: KubeObject) -> T | None:
        value = cell.value
        if value is UNREAD:
            try:
                value = self._decode(obj.to_decodable())
            except BaseException as cause:
                # Code of the class may run here (`__post_init__`, validators), and raise anything.
                if not is_survivable(cause):
                    raise
                value = UNDECODABLE
                self._report(obj, cause)
            cell.value = value
        return None if value is UNDECODABLE else value

    def _report(self, obj: KubeObject, cause: BaseException) -> None:
        # The base of the errors of msgspec and pydantic is ValueError; another one says nothing of the object's form.
        reason = reason_of(cause) if isinstance(cause, ValueError) else f"it raised {type(cause).__name__}"
        name = self._into.__name__
        error = DecodeError(f"does not fit {name}: {reason}", key=str(obj.key), resource=obj.resource.full_name)
        if not is_pydantic(self._into):
            # The message of pydantic quotes the input, possibly of a Secret.
            error.__cause__ = cause
        cell = self._cells.get(obj.key)
        if cell is not None and cell.is_of(obj):
            self.misfits[obj.key] = error
        self._core.report(error)

    def _forget(self, gone: list[ObjectKey]) -> None:
        for key in gone:
            # A new object of the same name keeps its value.
            if self._core.indexer.version_of(key) is None:
                self._cells.pop(key, None)
                self.misfits.pop(key, None)
