"""The connection of one controller to the informers of all clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.controller import Controller
    from kinformer.controller._event_mapping import Filter, Keys
    from kinformer.fleet.cluster import Cluster
    from kinformer.fleet.keys import ClusterKey
    from kinformer.objects import KubeObject
    from kinformer.workqueue import FairQueue

__all__ = ["Feed"]


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """One resource of all clusters as a source of keys.

    Attributes:
        controller: gets the keys.
        queue: its queue.
        find: returns the informer of a cluster.
        map: from a cluster and an object to keys; the object's own key if it is `None`.
        filter: which events count.
        priority: of the keys.
    """

    controller: Controller[ClusterKey]
    queue: FairQueue[ClusterKey]
    find: Callable[[Cluster], Any]
    map: Callable[[Cluster, KubeObject], Keys[ClusterKey]] | None
    filter: Filter | None
    priority: int | None

    def attach(self, cluster: Cluster) -> None:
        """Let the objects of a cluster bring keys. A controller that has stopped gets none.

        Raises:
            StoppedError: the informer has stopped.
        """
        if self.queue.shutting_down:
            return
        mapping = self.map
        self.queue.open_group(cluster.name)
        self.controller.watches(
            self.find(cluster),
            map=cluster.key_of if mapping is None else lambda obj: mapping(cluster, obj),
            filter=self.filter,
            priority=self.priority,
        )

    def close(self, name: str) -> None:
        """Drop the keys of a cluster, and take no more of them."""
        self.queue.close_group(name)

    async def detach(self, cluster: Cluster) -> None:
        """End what `attach` began, after `close`."""
        found = self.find(cluster)
        # A typed informer is a view of the one that is watched.
        informer = getattr(found, "informer", found)
        if informer in self.controller.sources:
            await self.controller.unwatch(informer)
        self.queue.forget_group(cluster.name)
