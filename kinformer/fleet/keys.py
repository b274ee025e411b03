"""Keys and objects of a fleet: each has the name of its cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from kinformer.objects import ObjectKey

__all__ = ["ClusterKey", "InCluster"]

T = TypeVar("T")


class ClusterKey(NamedTuple):
    """The key of an object in one of many clusters.

    Attributes:
        cluster: the name of the cluster.
        key: namespace and name of the object.

    Examples:
        >>> str(ClusterKey("berlin", ObjectKey("default", "web-0")))
        'berlin/default/web-0'
    """

    cluster: str
    key: ObjectKey

    @property
    def namespace(self) -> str:
        """The namespace of the object."""
        return self.key.namespace

    @property
    def name(self) -> str:
        """The name of the object."""
        return self.key.name

    def __str__(self) -> str:
        return f"{self.cluster}/{self.key}"


class InCluster(NamedTuple, Generic[T]):
    """An object, and the name of the cluster that it is from.

    Attributes:
        cluster: the name of the cluster.
        obj: the object.
    """

    cluster: str
    obj: T
