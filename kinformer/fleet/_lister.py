"""Reads of one resource in all clusters of a fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kinformer.errors import UnknownClusterError
from kinformer.fleet.keys import ClusterKey, InCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kinformer.fleet.cluster import Cluster
    from kinformer.labels import SelectorInput
    from kinformer.objects import ObjectKey

__all__ = ["FleetInformer", "FleetLister"]

T = TypeVar("T")


class FleetInformer(Generic[T]):
    """The informers of one resource in one scope, one in each cluster. `Fleet.informer` returns it.

    Args:
        members: returns the clusters whose caches run, by name; with a cache that has not synced, too.
        names: returns the names of all clusters of the fleet.
        find: returns the informer of a cluster.

    Attributes:
        find: as given.
    """

    def __init__(
        self,
        members: Callable[[], Mapping[str, Cluster]],
        names: Callable[[], list[str]],
        find: Callable[[Cluster], Any],
    ) -> None:
        self._members = members
        self._names = names
        self.find = find

    def of(self, cluster: str) -> Any:
        """Return the informer of one cluster: a `SharedInformer`, or a `TypedInformer` if a class was given.

        Raises:
            UnknownClusterError: no cluster of that name is connected.
        """
        found = self._members().get(cluster)
        if found is None:
            raise UnknownClusterError(cluster, self._names())
        return self.find(found)

    @property
    def lister(self) -> FleetLister[T]:
        """Return the reads of all caches."""
        return FleetLister(self)

    def synced(self) -> dict[str, Any]:
        """Return the informers whose cache has synced, by cluster."""
        found = {name: self.find(cluster) for name, cluster in self._members().items()}
        return {name: informer for name, informer in found.items() if informer.has_synced}

    def missing(self) -> list[str]:
        """Return the names of the clusters whose cache has not synced."""
        synced = self.synced()
        return [name for name in self._names() if name not in synced]


class FleetLister(Generic[T]):
    """Reads of the caches of all clusters: plain calls, no await, no request.

    It has the objects of all clusters whose cache has synced. A cluster that was lost afterwards keeps its last state
    here until it leaves the fleet. `missing` names the clusters that are not in it.

    Args:
        informer: the informers.

    Examples:
        >>> pods = fleet.lister(PODS)
        >>> [(name, pod.name) for name, pod in pods.list(selector="app=web-0")]
        [('berlin', 'web-0')]
    """

    def __init__(self, informer: FleetInformer[T]) -> None:
        self._informer = informer

    @property
    def missing(self) -> list[str]:
        """The names of the clusters whose objects are not here: they have not synced."""
        return self._informer.missing()

    def __len__(self) -> int:
        return sum(len(informer.lister) for informer in self._informer.synced().values())

    def __iter__(self) -> Iterator[InCluster[T]]:
        for name, informer in self._informer.synced().items():
            for obj in informer.lister:
                yield InCluster(name, obj)

    def get(self, cluster: str | ClusterKey, name: str | ObjectKey = "", namespace: str | None = None) -> T | None:
        """Return one object; `None` if the cluster does not have it.

        Args:
            cluster: the name of the cluster, or a whole `ClusterKey`.
            name: the name of the object, or its `ObjectKey`.
            namespace: its namespace; not needed for a cluster-scoped resource.

        Raises:
            UnknownClusterError: the fleet has no such cluster, or its cache has not synced. It is not known whether
                the object exists.
            ValueError: the resource is namespaced, and no namespace was given.
        """
        if isinstance(cluster, ClusterKey):
            cluster, name = cluster
        informer = self._informer.of(cluster)
        if not informer.has_synced:
            raise UnknownClusterError(cluster, [*self._informer.synced()])
        found: T | None = informer.lister.get(name, namespace)
        return found

    # The last method, because below it the annotation list[...] would mean this method.
    def list(
        self, cluster: str | None = None, namespace: str | None = None, selector: SelectorInput = None
    ) -> list[InCluster[T]]:
        """Return objects, each with the name of its cluster, in no particular order.

        Args:
            cluster: the name of the one cluster; `None` for all.
            namespace: the namespace; `None` or "" for all.
            selector: a label selector; everything by default.

        Raises:
            UnknownClusterError: the fleet has no such cluster, or its cache has not synced.
            SelectorError: the selector does not parse.
        """
        synced = self._informer.synced()
        if cluster is not None:
            if cluster not in synced:
                raise UnknownClusterError(cluster, [*synced])
            synced = {cluster: synced[cluster]}
        return [
            InCluster(name, obj)
            for name, informer in synced.items()
            for obj in informer.lister.list(namespace, selector)
        ]
