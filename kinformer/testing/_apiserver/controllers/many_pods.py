"""The pods of large clusters, stored at once: each is a copy of one that was made by the rules."""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.cluster import PODS, Cluster
from kinformer.testing._apiserver.controllers.hashes import LETTERS
from kinformer.testing._apiserver.controllers.kubelets import NODES, pod_address
from kinformer.testing._apiserver.controllers.pod_runs import PodRun
from kinformer.testing._apiserver.controllers.pods import from_template, is_active
from kinformer.testing._apiserver.controllers.replicasets import REPLICASETS
from kinformer.testing._apiserver.controllers.scheduler import fits_node
from kinformer.testing._apiserver.rules.pod_scripts import PodScript
from kinformer.testing._apiserver.rules.writing import Write

if TYPE_CHECKING:
    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.rules.registry import Registry

__all__ = ["fill_replicasets"]

_SPREAD: Final = 5_882_353  # a prime that the number of letters does not divide
_FIRST_ADDRESS: Final = 1 << 15  # apart from those of pods that kubelets start


def fill_replicasets(registry: Registry, cluster: Cluster, share: float = 1.0) -> int:
    """Store the pods that all ReplicaSets lack, bound to nodes, running and ready; returns how many.

    Args:
        registry: the objects and the rules.
        cluster: the state as controllers read it.
        share: the share of the wanted pods that are there afterwards.
    """
    numbers = itertools.count(1)
    stored = 0
    for replicas in cluster.all(REPLICASETS):
        there = sum(is_active(pod) for pod in cluster.controlled(PODS, replicas["metadata"]["uid"]))
        lack = round(replicas["spec"]["replicas"] * share) - there
        nodes = [node for node in cluster.all(NODES) if not fits_node(replicas["spec"]["template"], node)]
        if lack > 0 and nodes:
            _store(registry, cluster, replicas, lack, nodes, numbers)
            stored += lack
    return stored


def _store(
    registry: Registry,
    cluster: Cluster,
    replicas: Manifest,
    count: int,
    nodes: list[Manifest],
    numbers: itertools.count[int],
) -> None:
    kind = registry.catalog.of_kind("v1", "Pod")
    assert kind is not None
    namespace, prefix = replicas["metadata"]["namespace"], f"{replicas['metadata']['name']}-"
    by_rules = from_template(replicas, replicas["spec"]["template"])
    first = registry.create(kind, namespace, by_rules, Write("kube-controller-manager", dry_run=True)).manifest
    now = cluster.now
    run = PodRun(first, pod_address(0), "0.0.0.0", now, PodScript())  # noqa: S104 - replaced below
    run.advance(now, PodScript(), [])
    status = run.status(first, cluster.stamp)
    for number in itertools.islice(numbers, count):
        node = nodes[number % len(nodes)]
        address, host = pod_address(_FIRST_ADDRESS + number), _host(node)
        name = prefix + _word(number)
        metadata: dict[str, Any] = first["metadata"] | {"name": name, "uid": str(uuid.uuid4()), "resourceVersion": ""}
        own = {"hostIP": host, "hostIPs": [{"ip": host}], "podIP": address, "podIPs": [{"ip": address}]}
        manifest = first | {
            "metadata": metadata,
            "spec": first["spec"] | {"nodeName": node["metadata"]["name"]},
            "status": status | own,
        }
        registry.life_cycle.put(kind, (namespace, name), manifest)


def _host(node: Manifest) -> str:
    addresses = (node.get("status") or {}).get("addresses") or ()
    return next((one["address"] for one in addresses if one["type"] == "InternalIP"), "")


def _word(number: int) -> str:
    """Return the end of a name: five letters, another one for each number."""
    number = number * _SPREAD % len(LETTERS) ** 5
    word = ""
    for _ in range(5):
        number, letter = divmod(number, len(LETTERS))
        word += LETTERS[letter]
    return word
