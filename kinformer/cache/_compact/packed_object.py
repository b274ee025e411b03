"""A view of an object that is held compressed."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from kinformer.cache._compact.packed_head import common_of, head_of, state_of, version_of
from kinformer.errors import DecodeError
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer._heads import Places
    from kinformer.cache._compact.dictionary import Dictionary
    from kinformer.cache._compact.packed_head import Common, PackedState, Version
    from kinformer.objects import Metadata, ObjectKey
    from kinformer.resources import Resource

__all__ = ["PackedObject", "packed_common_of", "packed_state_of"]


class PackedObject(KubeObject, eq=False, gc=False):
    """A `KubeObject` that is decompressed when more than its head is read, once per view.

    Like every view it is the state of its object at one moment; later changes of the cache do not affect it. The head
    is bytes, too, until it is first read (see `packed_head`). Reads never use the stored object itself, so it stays
    small; the cache asks it for `version`, `state` and `common`, which decode nothing that stays.
    """

    # The field `raw` of a KubeObject holds the packed state here, and the field `metadata` the packed common part until
    # the head is first read. `_source` holds the dictionary, and from the first read on the JSON. One assignment
    # changes either, so two threads that read one view at worst decode or decompress it twice.
    _source: Dictionary | bytes | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            raw: bytes,
            metadata: bytes | Metadata,
            resource: Resource,
            key: ObjectKey,
            places: Places | None,
            _sections: dict[str, Any] | None,
            _source: Dictionary | bytes | None,
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
        def metadata(self) -> Metadata:
            """The decoded head; do not change it."""
            head = packed_common_of(self)
            if type(head) is bytes:
                head = head_of(packed_state_of(self), head, self.key)
                _keep_head(self, head)
            return head

        @property
        def name(self) -> str:
            """`metadata.name`."""
            return self.key.name

        @property
        def namespace(self) -> str:
            """`metadata.namespace`; "" for a cluster-scoped object."""
            return self.key.namespace

        @property
        def labels(self) -> Mapping[str, str]:
            """`metadata.labels`, read-only; empty when there are none."""
            return MappingProxyType(self.common.labels or {})

        @property
        def uid(self) -> str:
            """`metadata.uid`: another object of the same name has another one."""
            return self.version.uid

        @property
        def resource_version(self) -> str:
            """`metadata.resourceVersion`."""
            return self.version.resource_version

    @property
    def packed(self) -> tuple[bytes, bytes | Metadata]:
        """The first two arguments of another view of the same state."""
        return packed_state_of(self), packed_common_of(self)

    @property
    def version(self) -> Version | Metadata:
        """Uid and resource version. The object itself stays as it is."""
        head = packed_common_of(self)
        return version_of(packed_state_of(self)) if type(head) is bytes else head

    @property
    def state(self) -> PackedState:
        """The values of this state. The object itself stays as it is."""
        return state_of(packed_state_of(self))

    @property
    def common(self) -> Common | Metadata:
        """Labels, owners and finalizers. The object itself stays as it is."""
        head = packed_common_of(self)
        return common_of[head] if type(head) is bytes else head

    @property
    def frame(self) -> bytes:
        """The compressed JSON."""
        return self.state.frame

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
            return source.decompress(self.state.frame)
        except ValueError as error:
            msg = f"its compressed form in the cache is damaged: {error}; relist the informer"
            raise DecodeError(msg, key=str(self.key), resource=self.resource.full_name) from error

    def view(self) -> KubeObject:  # type: ignore[override]  # a plain object, if this view is decompressed
        """Return another view of the same object, without decompressing it."""
        source = self._source
        if type(source) is bytes:
            return KubeObject(source, self.metadata, self.resource, self.key, self.places)
        return PackedObject(packed_state_of(self), packed_common_of(self), self.resource, self.key, None, None, source)


# The fields themselves, which the properties hide.
packed_state_of: Final = KubeObject.raw.__get__  # type: ignore[attr-defined]
"""Return the packed state of a compressed object."""
packed_common_of: Final = KubeObject.metadata.__get__  # type: ignore[attr-defined]
"""Return the packed common part of a compressed object; of a view whose head was read, the head."""
_keep_head: Final = KubeObject.metadata.__set__  # type: ignore[attr-defined]
