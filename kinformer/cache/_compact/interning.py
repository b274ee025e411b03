"""Sharing of values that the heads of many objects have in common.

Decoding already makes equal sets of labels one object (`objects`). This module shares the namespaces, and the values
that a new state of an object has in common with the state before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from kinformer._recent import RecentCache
from kinformer.objects import Metadata

if TYPE_CHECKING:
    from kinformer.objects import KubeObject, OwnerReference

__all__ = ["HeadSharing"]

_NAMESPACES: Final = 2048


class HeadSharing:
    """Makes heads that share equal values with others."""

    __slots__ = ("_namespaces",)

    def __init__(self) -> None:
        self._namespaces: RecentCache[str, str] = RecentCache(_NAMESPACES)

    def __len__(self) -> int:
        return len(self._namespaces)

    def shared(self, obj: KubeObject, before: KubeObject | None) -> Metadata:
        """Return a head equal to the object's, with shared values.

        Args:
            obj: the object.
            before: its earlier state, if there is one, whose key the object also gets.
        """
        head = obj.metadata
        labels = head.labels
        if before is None:
            namespace = self._namespaces.get(head.namespace)
            if namespace is None:
                namespace = head.namespace
                self._namespaces.put(namespace, namespace)
            return _head(head, head.name, namespace, head.uid, labels, head.owner_references)
        key, known = before.key, before.metadata
        uid = known.uid if known.uid == head.uid else head.uid
        if known.labels == labels:
            labels = known.labels
        owners = head.owner_references
        if known.owner_references == owners:
            owners = known.owner_references
        return _head(head, key.name, key.namespace, uid, labels, owners)


def _head(
    like: Metadata,
    name: str,
    namespace: str,
    uid: str,
    labels: dict[str, str] | None,
    owners: tuple[OwnerReference, ...],
) -> Metadata:
    """Return a head with some fields replaced, and no JSON in it, which would keep the whole object in memory."""
    return Metadata(
        name,
        namespace,
        uid,
        like.resource_version,
        labels,
        like.generation,
        like.deletion_timestamp,
        None if like.annotations is None else UNSET,
        owners,
        like.finalizers,
    )
