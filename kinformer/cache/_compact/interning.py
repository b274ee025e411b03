"""Sharing of values that the heads of many objects have in common.

Equal sets of labels are one already when they are decoded (`objects`). Here are the namespaces, and what a new state of
an object has in common with the one before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from kinformer._recent import RecentCache
from kinformer.objects import Metadata

if TYPE_CHECKING:
    from kinformer.objects import KubeObject

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
        """A head equal to the object's.

        Args:
            obj: the object.
            before: an earlier state of it; its key is to be the object's.
        """
        head = obj.metadata
        labels = head.labels
        if before is None:
            namespace = self._namespaces.get(head.namespace)
            if namespace is None:
                namespace = head.namespace
                self._namespaces.put(namespace, namespace)
            return _head(head, head.name, namespace, head.uid, labels)
        key, known = before.key, before.metadata
        uid = known.uid if known.uid == head.uid else head.uid
        if known.labels == labels:
            labels = known.labels
        return _head(head, key.name, key.namespace, uid, labels)


def _head(like: Metadata, name: str, namespace: str, uid: str, labels: dict[str, str] | None) -> Metadata:
    """The head with some of its fields replaced. The place of the annotations would keep the whole JSON alive."""
    return Metadata(
        name,
        namespace,
        uid,
        like.resource_version,
        labels,
        like.generation,
        like.deletion_timestamp,
        like.owner_references,
        like.finalizers,
        None if like.annotations is None else UNSET,
    )
