"""ReplicaSets and ReplicationControllers: as many pods as they want (pkg/controller/replicaset)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import Again, Create, Delete, SetStatus
from kinformer.testing._apiserver.controllers.cluster import PODS, labels_of
from kinformer.testing._apiserver.controllers.conditions import condition_of, made, nonzero, without_condition
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import (
    available_after,
    claim,
    concerned_owners,
    from_template,
    is_active,
    is_deleting,
    is_finished,
    is_ready,
    phase_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kinformer.testing._apiserver.controllers.actions import Action, Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key, Storage

__all__ = ["REPLICASETS", "replicaset_controllers"]

REPLICASETS: Final = ("apps", "replicasets")
_REPLICATION_CONTROLLERS: Final = ("", "replicationcontrollers")

_BURST: Final = 500
"""The pods that are created or deleted at once (pkg/controller/replicaset, BurstReplicas)."""

_COST: Final = "controller.kubernetes.io/pod-deletion-cost"


def replicaset_controllers() -> list[Controller]:
    """Return the controllers of ReplicaSets and of ReplicationControllers."""
    return [
        _controller("replicaset", "replicaset-controller", "ReplicaSet", REPLICASETS),
        _controller(
            "replicationcontroller", "replication-controller", "ReplicationController", _REPLICATION_CONTROLLERS
        ),
    ]


def _controller(name: str, component: str, kind: str, storage: Storage) -> Controller:
    def of_pod(change: Change, cluster: Cluster) -> Iterable[Key]:
        return concerned_owners(change, cluster, kind, storage)

    return Controller(
        name,
        partial(_reconcile, name, storage),
        concerns={storage: lambda change, _: [change.key], PODS: of_pod},
        component=component,
    )


def _reconcile(name: str, storage: Storage, key: Key, cluster: Cluster) -> Iterator[Action]:
    replicas = cluster.get(storage, key)
    if replicas is None:
        return
    selector = replicas["spec"].get("selector") or {}
    if storage == _REPLICATION_CONTROLLERS:
        selector = {"matchLabels": selector}
    pods, claims = claim(cluster, PODS, replicas, selector)
    yield from claims
    failure = cluster.failures.get((name, key), "")
    yield from _replicate(replicas, pods, cluster, failure)


def _replicate(replicas: Manifest, pods: list[Manifest], cluster: Cluster, failure: str) -> Iterator[Action]:
    """Create or delete pods, and report the status."""
    active = [pod for pod in pods if is_active(pod)]
    spec = replicas["spec"]
    lack = spec["replicas"] - len(active)
    if not is_deleting(replicas):
        if lack > 0:
            for _ in range(min(lack, _BURST)):
                yield Create(from_template(replicas, spec["template"]), about=replicas, reported=True)
        elif lack < 0:
            for pod in sorted(active, key=partial(_rank, active=active))[: min(-lack, _BURST)]:
                yield Delete(PODS, pod, about=replicas)
    status = _status(replicas, pods, active, cluster, failure)
    if status != replicas.get("status"):
        yield SetStatus(replicas | {"status": status})
    waits = [available_after(pod, spec.get("minReadySeconds") or 0, cluster.now) for pod in active]
    if soonest := min((seconds for seconds in waits if seconds), default=0):
        yield Again(soonest)
    if lack > _BURST or -lack > _BURST:
        yield Again(0)


def _status(
    replicas: Manifest, pods: list[Manifest], active: list[Manifest], cluster: Cluster, failure: str
) -> Manifest:
    spec, before = replicas["spec"], replicas.get("status") or {}
    template = (spec["template"].get("metadata") or {}).get("labels") or {}
    seconds = spec.get("minReadySeconds") or 0
    conditions = before.get("conditions") or []
    if not failure:
        conditions = without_condition(conditions, "ReplicaFailure")
    elif condition_of(before, "ReplicaFailure") is None:
        reason = "FailedCreate" if len(active) < spec["replicas"] else "FailedDelete"
        conditions = [*conditions, made("ReplicaFailure", "True", cluster.stamp, reason, failure)]
    status: dict[str, Any] = {"replicas": len(active)} | nonzero(
        fullyLabeledReplicas=sum(template.items() <= labels_of(pod).items() for pod in active),
        readyReplicas=sum(is_ready(pod) for pod in active),
        availableReplicas=sum(available_after(pod, seconds, cluster.now) == 0 for pod in active),
    )
    if replicas["kind"] == "ReplicaSet":
        status["terminatingReplicas"] = sum(is_deleting(pod) and not is_finished(pod) for pod in pods)
    status |= nonzero(observedGeneration=replicas["metadata"].get("generation", 0), conditions=conditions)
    return status


def _rank(pod: Manifest, active: list[Manifest]) -> tuple[Any, ...]:
    """Order pods: those that are deleted first come first (pkg/controller/controller_utils.go, ActivePodsWithRanks)."""
    status, node = pod.get("status") or {}, pod["spec"].get("nodeName")
    try:
        cost = int((pod["metadata"].get("annotations") or {}).get(_COST, "0"))
    except ValueError:
        cost = 0
    neighbours = sum(other["spec"].get("nodeName") == node for other in active) if len(active) <= _BURST else 0
    ready = condition_of(status, "Ready") or {}
    restarts = max((container.get("restartCount", 0) for container in status.get("containerStatuses") or ()), default=0)
    return (
        bool(node),
        {"Pending": 0, "Unknown": 1, "Running": 2}.get(phase_of(pod), 2),
        is_ready(pod),
        cost,
        -neighbours,
        _backwards(ready.get("lastTransitionTime") or ""),
        -restarts,
        _backwards(pod["metadata"]["creationTimestamp"]),
    )


def _backwards(stamp: str) -> tuple[int, ...]:
    """Order times: the newest first."""
    return tuple(-ord(letter) for letter in stamp)
