"""All controllers, on one loop. Only servers that run controllers import this."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kinformer.testing._apiserver.controllers.autoscaling import autoscaler_controller
from kinformer.testing._apiserver.controllers.certificates import signing_controller
from kinformer.testing._apiserver.controllers.cluster import Cluster
from kinformer.testing._apiserver.controllers.cluster_roles import cluster_role_controller
from kinformer.testing._apiserver.controllers.cronjobs import cronjob_controller
from kinformer.testing._apiserver.controllers.daemonsets import daemonset_controller
from kinformer.testing._apiserver.controllers.deployments import deployment_controller
from kinformer.testing._apiserver.controllers.disruption import disruption_controller
from kinformer.testing._apiserver.controllers.endpoints import endpoints_controllers
from kinformer.testing._apiserver.controllers.garbage import garbage_collector
from kinformer.testing._apiserver.controllers.jobs import job_controller
from kinformer.testing._apiserver.controllers.kubelets import kubelet_controller, node_manifest
from kinformer.testing._apiserver.controllers.loop import Controller, ControllerLoop
from kinformer.testing._apiserver.controllers.many_pods import fill_replicasets
from kinformer.testing._apiserver.controllers.namespaces import (
    namespace_controller,
    root_ca_controller,
    service_account_controller,
)
from kinformer.testing._apiserver.controllers.nodes import node_lifecycle_controller
from kinformer.testing._apiserver.controllers.replicasets import replicaset_controllers
from kinformer.testing._apiserver.controllers.scheduler import scheduler_controller
from kinformer.testing._apiserver.controllers.statefulsets import statefulset_controller
from kinformer.testing._apiserver.controllers.volumes import volume_controller

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.rules.pod_scripts import PodScripts
    from kinformer.testing._apiserver.rules.registry import Registry

__all__ = ["make_loop", "node_manifests"]


def _make(scripts: PodScripts, on_authority: Callable[[str], None]) -> list[Controller]:
    return [
        namespace_controller(),
        service_account_controller(),
        root_ca_controller(),
        garbage_collector(),
        cluster_role_controller(),
        signing_controller(on_authority),
        *replicaset_controllers(),
        deployment_controller(),
        statefulset_controller(),
        daemonset_controller(),
        job_controller(),
        cronjob_controller(),
        volume_controller(),
        *endpoints_controllers(),
        disruption_controller(),
        autoscaler_controller(scripts),
        node_lifecycle_controller(),
        scheduler_controller(),
        kubelet_controller(scripts),
    ]


def node_manifests(count: int, now: str) -> list[Manifest]:
    """Return so many nodes that are ready."""
    return [node_manifest(f"node-{number}", f"172.18.0.{1 + number}", now) for number in range(1, count + 1)]


def make_loop(
    names: frozenset[str],
    registry: Registry,
    scripts: PodScripts,
    clock: Callable[[], datetime],
    on_authority: Callable[[str], None],
) -> ControllerLoop | None:
    """Return the loop of the controllers with these names, or `None` without any.

    The rules of the server leave the consequences of a deletion to the controllers that see to them.
    """
    if not names:
        return None
    registry.life_cycle.collects = "garbage-collector" not in names
    registry.life_cycle.empties = "namespace" not in names
    controllers = [controller for controller in _make(scripts, on_authority) if controller.name in names]
    cluster = Cluster(registry, clock)
    loop = ControllerLoop(registry, cluster, controllers, clock, fill=partial(fill_replicasets, registry, cluster))

    def changed(namespace: str, pattern: str) -> None:
        for key in cluster.pods_like(namespace, pattern):
            loop.reconcile_now("kubelet", key)

    scripts.on_change = changed
    scripts.runs_pods = "kubelet" in names
    return loop
