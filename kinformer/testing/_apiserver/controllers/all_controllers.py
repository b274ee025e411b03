"""All controllers by their names, and those that a test asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.testing._apiserver.controllers.autoscaling import autoscaler_controller
from kinformer.testing._apiserver.controllers.cluster import Cluster
from kinformer.testing._apiserver.controllers.cronjobs import cronjob_controller
from kinformer.testing._apiserver.controllers.daemonsets import daemonset_controller
from kinformer.testing._apiserver.controllers.deployments import deployment_controller
from kinformer.testing._apiserver.controllers.disruption import disruption_controller
from kinformer.testing._apiserver.controllers.endpoints import endpoints_controllers
from kinformer.testing._apiserver.controllers.garbage import garbage_collector
from kinformer.testing._apiserver.controllers.jobs import job_controller
from kinformer.testing._apiserver.controllers.kubelets import kubelet_controller, node_manifest
from kinformer.testing._apiserver.controllers.loop import Controller, ControllerLoop
from kinformer.testing._apiserver.controllers.namespaces import (
    namespace_controller,
    root_ca_controller,
    service_account_controller,
)
from kinformer.testing._apiserver.controllers.replicasets import replicaset_controllers
from kinformer.testing._apiserver.controllers.scheduler import scheduler_controller
from kinformer.testing._apiserver.controllers.statefulsets import statefulset_controller
from kinformer.testing._apiserver.controllers.volumes import volume_controller

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from kinformer.testing._apiserver.rules.pod_scripts import PodScripts
    from kinformer.testing._apiserver.rules.registry import Registry

__all__ = ["CONTROLLERS", "chosen", "make_loop", "node_manifest"]


def _make(scripts: PodScripts) -> list[Controller]:
    return [
        namespace_controller(),
        service_account_controller(),
        root_ca_controller(),
        garbage_collector(),
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
        scheduler_controller(),
        kubelet_controller(scripts),
    ]


CONTROLLERS: Final = (
    "namespace",
    "serviceaccount",
    "root-ca",
    "garbage-collector",
    "replicaset",
    "replicationcontroller",
    "deployment",
    "statefulset",
    "daemonset",
    "job",
    "cronjob",
    "persistentvolume",
    "endpointslice",
    "endpoints",
    "disruption",
    "horizontalpodautoscaler",
    "scheduler",
    "kubelet",
)
"""The names of all controllers."""


def chosen(controllers: str | Collection[str]) -> frozenset[str]:
    """Return the names of the controllers that are asked for: "all", one name, or several.

    Raises:
        ValueError: there is no controller of a name.
    """
    if controllers == "all":
        return frozenset(CONTROLLERS)
    names = frozenset([controllers] if isinstance(controllers, str) else controllers)
    if unknown := sorted(names - {*CONTROLLERS}):
        msg = f'no controller is called {unknown[0]!r}; there are {", ".join(CONTROLLERS)}, and "all" for all of them'
        raise ValueError(msg)
    return names


def make_loop(
    names: frozenset[str], registry: Registry, scripts: PodScripts, clock: Callable[[], datetime]
) -> ControllerLoop | None:
    """Return the loop of the controllers with these names, or `None` without any.

    The rules of the server leave the consequences of a deletion to the controllers that see to them.
    """
    if not names:
        return None
    registry.life_cycle.collects = "garbage-collector" not in names
    registry.life_cycle.empties = "namespace" not in names
    controllers = [controller for controller in _make(scripts) if controller.name in names]
    cluster = Cluster(registry, clock)
    loop = ControllerLoop(registry, cluster, controllers, clock)

    def changed(namespace: str, pattern: str) -> None:
        for key in cluster.pods_like(namespace, pattern):
            loop.reconcile_now("kubelet", key)

    scripts.on_change = changed
    scripts.runs_pods = "kubelet" in names
    return loop
