"""Fleets as series: clusters by state, and some figures of each cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.fleet.status import ClusterState
from kinformer.integrations.prometheus._families import Labels, counters, gauges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from kinformer.fleet import ClusterStatus, Fleet, FleetStatus

__all__ = ["MAX_CLUSTERS", "FleetSeries"]

MAX_CLUSTERS: Final = 500
"""Clusters of a fleet that have series of their own, in the order of their names. The others are added up under the
label "other clusters"."""

_OTHER: Final = "other clusters"


class FleetSeries:
    """All fleets, by name. A fleet of the same name takes the place of an earlier one."""

    def __init__(self) -> None:
        self._fleets: dict[str, Fleet] = {}

    def add(self, name: str, fleet: Fleet) -> None:
        """Read a fleet from now on."""
        self._fleets[name] = fleet

    def families(self) -> Iterator[Metric]:
        """Return the present values."""
        found: dict[str, FleetStatus] = {}
        for name, fleet in self._fleets.copy().items():
            try:
                found[name] = fleet.status
            except RuntimeError:
                # This thread has no event loop.
                continue

        def of_each_cluster(value: Callable[[ClusterStatus], int]) -> dict[Labels, int]:
            values: dict[Labels, int] = {}
            for fleet, status in found.items():
                for number, (name, cluster) in enumerate(status.clusters.items()):
                    labels = (fleet, name if number < MAX_CLUSTERS else _OTHER)
                    values[labels] = values.get(labels, 0) + value(cluster)
            return values

        by_state: dict[Labels, int] = {
            (name, state): count for name, status in found.items() for state, count in status.states.items()
        }
        failing: dict[Labels, int] = {(name,): int(status.provider_error is not None) for name, status in found.items()}
        yield gauges(
            "kinformer_fleet_clusters",
            "Clusters of the fleet, by state.",
            ("fleet", "state"),
            by_state,
        )
        yield gauges(
            "kinformer_fleet_provider_failing",
            "Whether the last question for the clusters has failed.",
            ("fleet",),
            failing,
        )
        yield gauges(
            "kinformer_fleet_cluster_ready",
            "Whether the caches of the cluster are live and its controllers work.",
            ("fleet", "cluster"),
            of_each_cluster(lambda cluster: int(cluster.state is ClusterState.READY)),
        )
        yield gauges(
            "kinformer_fleet_cluster_objects",
            "Objects in the caches of the cluster.",
            ("fleet", "cluster"),
            of_each_cluster(lambda cluster: cluster.objects),
        )
        yield gauges(
            "kinformer_fleet_cluster_queued_keys",
            "Keys of the cluster that wait for a worker.",
            ("fleet", "cluster"),
            of_each_cluster(lambda cluster: sum(one.queued for one in cluster.controllers.values())),
        )
        yield gauges(
            "kinformer_fleet_cluster_failing_keys",
            "Keys of the cluster whose last reconcile failed.",
            ("fleet", "cluster"),
            of_each_cluster(lambda cluster: sum(len(one.failing) for one in cluster.controllers.values())),
        )
        yield counters(
            "kinformer_fleet_cluster_reconciles",
            "Reconciles in the cluster since it joined last.",
            ("fleet", "cluster"),
            of_each_cluster(lambda cluster: sum(sum(one.results.values()) for one in cluster.controllers.values())),
        )
