"""Fleets: one program for many clusters, which come and go while it runs.

`Fleet` follows a provider of clusters, and keeps a client, caches and controllers for each of them. Nothing is shared
between clusters, so that one that is away or hangs is alone with that.
"""

from __future__ import annotations

from kinformer.fleet._fleet import Fleet
from kinformer.fleet._lister import FleetInformer, FleetLister
from kinformer.fleet.cluster import Cluster
from kinformer.fleet.inventory import ClusterProfiles, KubeconfigSecrets
from kinformer.fleet.keys import ClusterKey, InCluster
from kinformer.fleet.providers import Clusters, KubeconfigContexts, KubeconfigDirectory, Provider
from kinformer.fleet.status import ClusterState, ClusterStatus, FleetStatus

__all__ = [
    "Cluster",
    "ClusterKey",
    "ClusterProfiles",
    "ClusterState",
    "ClusterStatus",
    "Clusters",
    "Fleet",
    "FleetInformer",
    "FleetLister",
    "FleetStatus",
    "InCluster",
    "KubeconfigContexts",
    "KubeconfigDirectory",
    "KubeconfigSecrets",
    "Provider",
]
