"""A view of an object that is held compressed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.errors import DecodeError
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from kinformer._heads import Places
    from kinformer.cache._compact.dictionary import Dictionary
    from kinformer.objects import Metadata, ObjectKey
    from kinformer.resources import Resource

__all__ = ["PackedObject"]


class PackedObject(KubeObject, eq=False, gc=False):
    """A `KubeObject` that is decompressed when more than its head is read, once per view.

    Like every view it is the state of its object at one moment; later changes of the cache do not affect it. Reads
    never use the stored object itself, so it stays small.
    """

    # The field `raw` of a KubeObject holds the frame here. `_source` holds the dictionary, and from the first read on
    # the JSON. One assignment changes it, so two threads that read one view at worst decompress it twice.
    _source: Dictionary | bytes | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            raw: bytes,
            metadata: Metadata,
            resource: Resource,
            key: ObjectKey,
            places: Places | None,
            _sections: dict[str, Any] | None,
            _source: Dictionary,
        ) -> None: ...

    else:

        @property
        def raw(self) -> bytes:
            """The JSON as the server sent it."""
            source = self._source
            if type(source) is not bytes:
                self._source = source = self.unpacked()
            return source

    @property
    def frame(self) -> bytes:
        """The compressed form."""
        frame: bytes = _frame_of(self)
        return frame

    @property
    def dictionary(self) -> Dictionary | None:
        """The dictionary to decompress it with; `None` once this view is decompressed."""
        source = self._source
        return None if isinstance(source, bytes) else source

    def unpacked(self) -> bytes:
        """Return the JSON, decompressed for the caller alone: the view stays compressed.

        Raises:
            DecodeError: the compressed form is damaged.
        """
        source = self._source
        if source is None or isinstance(source, bytes):
            return source or b""
        try:
            return source.decompress(_frame_of(self))
        except ValueError as error:
            msg = f"its compressed form in the cache is damaged: {error}; relist the informer"
            raise DecodeError(msg, key=str(self.key), resource=self.resource.full_name) from error

    def view(self) -> KubeObject:  # type: ignore[override]  # a plain object, if this view is decompressed
        """Return another view of the same object, without decompressing it."""
        source = self._source
        if type(source) is bytes:
            return KubeObject(source, self.metadata, self.resource, self.key, self.places)
        return PackedObject(_frame_of(self), self.metadata, self.resource, self.key, None, None, source)  # type: ignore[arg-type]


_frame_of: Final = KubeObject.raw.__get__  # type: ignore[attr-defined]  # the field itself, which the property hides
