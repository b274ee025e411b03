"""The head of a compressed object as bytes: no text of it is a Python object until a reader asks for it.

A head has two parts, because two kinds of values are in it. The values of one state stand before its frame, in one
`bytes` object with it. The values that many objects have in common (labels, owners, finalizers) are another `bytes`
object, which these objects share. Name and namespace are in the key. Both parts are MessagePack, which msgspec reads
from the beginning: a reader of the resource version alone decodes little more than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from kinformer._recent import MadeOnce
from kinformer.objects import Metadata, OwnerReference

if TYPE_CHECKING:
    from kinformer.objects import ObjectKey

__all__ = [
    "Common",
    "PackedState",
    "UnpackableError",
    "Version",
    "common_of",
    "head_of",
    "pack_common",
    "pack_state",
    "state_of",
    "version_of",
]

_REMEMBERED: Final = 1024
"""Number of common parts that stay decoded at least. A reader of the whole cache finds those of one set in a row."""


class UnpackableError(ValueError):
    """A head has a value that MessagePack cannot hold, such as an integer of more than 64 bits."""


class Version(msgspec.Struct, array_like=True, gc=False):
    """The beginning of a packed state."""

    resource_version: str
    uid: str


class PackedState(Version, array_like=True, gc=False):
    """The packed values of one state of an object.

    Attributes:
        resource_version: `metadata.resourceVersion`.
        uid: `metadata.uid`.
        json_bytes: the size of the JSON.
        generation: `metadata.generation`.
        deletion_timestamp: `metadata.deletionTimestamp`.
        has_annotations: whether there are annotations. They are in the frame.
        frame: the compressed JSON.
    """

    json_bytes: int
    generation: Any
    deletion_timestamp: Any
    has_annotations: bool
    frame: bytes


class Common(msgspec.Struct, array_like=True, gc=False):
    """The values that many objects have in common, as in `Metadata`."""

    labels: dict[str, str] | None
    owner_references: tuple[OwnerReference, ...]
    finalizers: tuple[str, ...]


class _PackedCommon(msgspec.Struct, array_like=True, gc=False):
    labels: dict[str, str] | None
    # An owner's texts are as its server sent them: no type was enforced.
    owners: list[tuple[Any, Any, Any, Any, bool, bool]]
    finalizers: tuple[str, ...]


_encode: Final = msgspec.msgpack.Encoder().encode


def _packed(value: object) -> bytes:
    """Return a value as bytes that take no more memory than their length."""
    try:
        # msgspec returns the buffer that it wrote to, which has 512 bytes at least. This is a copy.
        return bytes(memoryview(_encode(value)))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UnpackableError(str(error)) from error


version_of: Final = msgspec.msgpack.Decoder(Version).decode
"""Return uid and resource version of a packed state."""

state_of: Final = msgspec.msgpack.Decoder(PackedState).decode
"""Return all of a packed state; its frame is a copy."""

_decode_common: Final = msgspec.msgpack.Decoder(_PackedCommon).decode


def _unpack_common(packed: bytes) -> Common:
    found = _decode_common(packed)
    return Common(found.labels, tuple(OwnerReference(*owner) for owner in found.owners), found.finalizers)


common_of: Final[MadeOnce[bytes, Common]] = MadeOnce(_REMEMBERED, _unpack_common)
"""The decoded form of common parts, `common_of[packed]`."""


def pack_state(head: Metadata, json_bytes: int, frame: bytes) -> bytes:
    """Return one state of an object as bytes.

    Raises:
        UnpackableError: a field of the head has a value that cannot be packed.
    """
    annotated = head.annotations is not None
    state = (head.resource_version, head.uid, json_bytes, head.generation, head.deletion_timestamp, annotated, frame)
    return _packed(state)


def pack_common(head: Metadata, known: bytes | None = None) -> bytes:
    """Return the part of a head that other objects may have in common with it.

    Args:
        head: the head.
        known: the part of an earlier state; it is returned if it is equal.

    Raises:
        UnpackableError: a label, owner or finalizer has a value that cannot be packed.
    """
    owners, finalizers = head.owner_references, head.finalizers
    if known is not None:
        before = common_of[known]
        if before.labels == head.labels and before.owner_references == owners and before.finalizers == finalizers:
            return known
    entries = [
        (owner.api_version, owner.kind, owner.name, owner.uid, owner.controller, owner.block_owner_deletion)
        for owner in owners
    ]
    return _packed((head.labels, entries, finalizers))


def head_of(packed: bytes, common: bytes, key: ObjectKey) -> Metadata:
    """Return the head of a packed object."""
    state, shared = state_of(packed), common_of[common]
    return Metadata(
        key.name,
        key.namespace,
        state.uid,
        state.resource_version,
        shared.labels,
        state.generation,
        state.deletion_timestamp,
        UNSET if state.has_annotations else None,
        shared.owner_references,
        shared.finalizers,
    )
