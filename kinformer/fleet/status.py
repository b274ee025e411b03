"""The status of a fleet, and of each of its clusters."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinformer.fleet.keys import ClusterKey
from kinformer.status import error_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.controller.status import ControllerStatus, KeyFailure
    from kinformer.objects import ObjectKey
    from kinformer.status import InformerStatus

__all__ = ["ClusterState", "ClusterStatus", "FleetStatus"]


class ClusterState(enum.StrEnum):
    """The state of one cluster of a fleet."""

    INVALID = "invalid"
    """Its configuration cannot be used; `error` is the reason. A new configuration helps."""
    CONNECTING = "connecting"
    """The first request is under way."""
    UNREACHABLE = "unreachable"
    """The last attempt to connect failed; the next one follows at `retry_at`."""
    DUPLICATE = "duplicate"
    """It is the cluster that the fleet has by another name, `same_as`. It joins when that one leaves."""
    SYNCING = "syncing"
    """Its caches have not synced yet."""
    STANDING_BY = "standing by"
    """Its caches have synced; another replica leads."""
    READY = "ready"
    """Its caches have synced and its controllers work."""
    DEGRADED = "degraded"
    """It was ready, and a list or watch fails now. Caches keep their last state, and controllers work with it."""
    FAILED = "failed"
    """A function of the program (`Fleet.add`) or a controller failed; the next attempt follows at `retry_at`."""
    LEAVING = "leaving"
    """It has left the fleet, and its parts are ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """One cluster at one moment. Times are the event loop's (`loop.time()`, seconds).

    Attributes:
        name: the name of the cluster in the fleet.
        server: the address of its API server; "" if its configuration is invalid.
        state: the state.
        since: time at which it entered that state; for `DEGRADED`, time of the first failure in a row.
        error: the last error, also if it has been overcome; `None` if there was none.
        failures: number of failed attempts to join in a row.
        retry_at: time of the next attempt; `None` if none is planned.
        uid: the uid of its namespace kube-system, which identifies a cluster; "" if it cannot be read.
        same_as: the name of the same cluster that has joined before; "" if there is none.
        tried: whether its caches have synced, a first attempt has failed, or 30 seconds have passed.
        objects: number of objects in its caches.
        informers: the status of its informers, by name.
        controllers: the status of its controllers, by name.
    """

    name: str
    server: str
    state: ClusterState
    since: float
    error: BaseException | None
    failures: int
    retry_at: float | None
    uid: str
    same_as: str
    tried: bool
    objects: int
    informers: Mapping[str, InformerStatus]
    controllers: Mapping[str, ControllerStatus[ObjectKey]]

    @property
    def reason(self) -> str:
        """The class of the error and its HTTP status, as "ConnectError"; "" without an error.

        It has no address and no text of a server, so a page that shows it may be public.
        """
        return error_name(self.error) or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """A fleet at one moment.

    Attributes:
        name: the name of the fleet.
        taken_at: the event loop's time of this status.
        answered: whether the provider has named its clusters once.
        provider_error: the last error of the provider; `None` after it has named clusters again.
        clusters: the status of each cluster, by name.
        refused: names that cannot be used, and entries that are none, each with the reason.
    """

    name: str
    taken_at: float
    answered: bool
    provider_error: BaseException | None
    clusters: Mapping[str, ClusterStatus]
    refused: Mapping[str, str]

    @property
    def states(self) -> Mapping[ClusterState, int]:
        """Number of clusters in each state."""
        return {state: sum(one.state is state for one in self.clusters.values()) for state in ClusterState}

    @property
    def failing(self) -> Mapping[ClusterKey, KeyFailure]:
        """The keys whose last reconcile failed, in all clusters."""
        return {
            ClusterKey(name, key): failure
            for name, cluster in self.clusters.items()
            for controller in cluster.controllers.values()
            for key, failure in controller.failing.items()
        }

    @property
    def settled(self) -> bool:
        """True if the provider has answered, and each cluster has been tried."""
        return self.answered and all(one.tried for one in self.clusters.values())
