"""Sharing of values that the heads of many objects have in common.

This module shares the namespaces, the packed labels and owners of compressed objects, and the values that a new state
of an object has in common with the state before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from kinformer._recent import MadeOnce, RecentCache
from kinformer.cache._compact.packed_head import pack_common
from kinformer.objects import Metadata

if TYPE_CHECKING:
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["HeadSharing"]

_NAMESPACES: Final = 2048
_COMMONS: Final = 512


class HeadSharing:
    """Makes heads that share equal values with others."""

    __slots__ = ("_commons", "_namespaces")

    def __init__(self) -> None:
        self._namespaces: RecentCache[str, str] = RecentCache(_NAMESPACES)
        self._commons: MadeOnce[bytes, bytes] = MadeOnce(_COMMONS, bytes)

    def __len__(self) -> int:
        return len(self._namespaces) + len(self._commons)

    def key(self, obj: KubeObject) -> ObjectKey:
        """Return the key of a new object, with the one text of its namespace."""
        key = obj.key
        namespace = self._namespaces.get(key.namespace)
        if namespace is None:
            namespace = key.namespace
            self._namespaces.put(namespace, namespace)
        return key if namespace is key.namespace else type(key)(namespace, key.name)

    def common(self, head: Metadata, known: bytes | None) -> bytes:
        """Return the packed labels, owners and finalizers of a head; equal ones of recent heads are one object.

        Args:
            head: the head.
            known: the packed ones of its earlier state.

        Raises:
            UnpackableError: they cannot be packed.
        """
        packed = pack_common(head, known)
        return packed if packed is known else self._commons[packed]

    def shared(self, head: Metadata, key: ObjectKey, before: KubeObject | None) -> Metadata:
        """Return a head equal to another one, with shared values, and no JSON, which would keep the whole object.

        Args:
            head: the head.
            key: the key to take name and namespace from.
            before: the earlier state of the object, if there is one.
        """
        uid, labels, owners = head.uid, head.labels, head.owner_references
        if before is not None:
            known = before.metadata
            uid = known.uid if known.uid == uid else uid
            if known.labels == labels:
                labels = known.labels
            if known.owner_references == owners:
                owners = known.owner_references
        return Metadata(
            key.name,
            key.namespace,
            uid,
            head.resource_version,
            labels,
            head.generation,
            head.deletion_timestamp,
            None if head.annotations is None else UNSET,
            owners,
            head.finalizers,
        )
