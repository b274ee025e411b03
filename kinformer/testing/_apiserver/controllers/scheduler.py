"""The scheduler: a node for each pod, by taints, selectors, affinity and resources."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import Bind, Record, SetStatus, key_of
from kinformer.testing._apiserver.controllers.cluster import PODS, labels_of, requests_of
from kinformer.testing._apiserver.controllers.conditions import condition_of, made
from kinformer.testing._apiserver.controllers.kubelets import NODES
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import is_deleting, is_finished
from kinformer.testing._apiserver.schemas.scalars import quantity_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kinformer.testing._apiserver.controllers.actions import Action, Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key

__all__ = ["fits_node", "scheduler_controller", "tolerates"]

_UNSCHEDULABLE: Final = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_NAME: Final = "default-scheduler"


def scheduler_controller() -> Controller:
    """Return the scheduler."""
    return Controller(
        "scheduler", _schedule, {PODS: _of_pod, NODES: _of_node}, manager="kube-scheduler", component=_NAME
    )


def _of_pod(change: Change, cluster: Cluster) -> list[Key]:
    if change.kind == "DELETED" or is_finished(change.new.manifest):
        # There is room for others.
        return [key_of(pod) for pod in cluster.pods_on("")]
    return [] if change.new.manifest["spec"].get("nodeName") else [change.key]


def _of_node(change: Change, cluster: Cluster) -> list[Key]:
    return [] if change.kind == "DELETED" else [key_of(pod) for pod in cluster.pods_on("")]


def _schedule(key: Key, cluster: Cluster) -> Iterator[Action]:
    pod = cluster.get(PODS, key)
    if pod is None or is_deleting(pod) or is_finished(pod):
        return
    spec = pod["spec"]
    if spec.get("nodeName") or spec.get("schedulingGates") or spec.get("schedulerName", _NAME) != _NAME:
        return
    nodes = cluster.all(NODES)
    obstacles: Counter[str] = Counter()
    fitting = []
    for node in nodes:
        obstacle = fits_node(pod, node) or _room(pod, node, cluster)
        if obstacle:
            obstacles[obstacle] += 1
        else:
            fitting.append(node)
    if fitting:
        chosen = min(fitting, key=lambda node: (cluster.number_on(_name(node)), _name(node)))
        yield Bind(pod, _name(chosen))
        yield Record(pod, "Scheduled", f"Successfully assigned {'/'.join(key)} to {_name(chosen)}")
        return
    message = _message(len(nodes), obstacles)
    before = condition_of(pod.get("status") or {}, "PodScheduled")
    if before is None or before.get("message") != message:
        failed = {"lastProbeTime": None} | made("PodScheduled", "False", cluster.stamp, "Unschedulable", message)
        others = [one for one in (pod.get("status") or {}).get("conditions") or () if one["type"] != "PodScheduled"]
        yield SetStatus(pod | {"status": (pod.get("status") or {}) | {"conditions": [*others, failed]}})
        yield Record(pod, "FailedScheduling", message, warning=True)


def _name(node: Manifest) -> str:
    name: str = node["metadata"]["name"]
    return name


def _message(count: int, obstacles: Counter[str]) -> str:
    if not count:
        return "no nodes available to schedule pods"
    reasons = ", ".join(sorted(f"{number} {obstacle}" for obstacle, number in obstacles.items()))
    preemption = f"preemption: 0/{count} nodes are available: {count} Preemption is not helpful for scheduling."
    return f"0/{count} nodes are available: {reasons}. {preemption}"


def tolerates(tolerations: list[Manifest], taint: Manifest) -> bool:
    """Report whether a taint is tolerated."""
    for one in tolerations:
        effect, key = one.get("effect") or "", one.get("key") or ""
        if effect not in {"", taint.get("effect")} or key not in {"", taint.get("key")}:
            continue
        if one.get("operator") == "Exists" or (key and (one.get("value") or "") == (taint.get("value") or "")):
            return True
    return False


def fits_node(pod: Manifest, node: Manifest, *, more: tuple[Manifest, ...] = ()) -> str:
    """Return what keeps a pod from a node, apart from its resources; "" for nothing.

    Args:
        pod: the pod.
        node: the node.
        more: tolerations beside those of the pod.
    """
    spec, given = pod["spec"], node.get("spec") or {}
    tolerations = [*(spec.get("tolerations") or ()), *more]
    if given.get("unschedulable") and not tolerates(tolerations, _UNSCHEDULABLE):
        return "node(s) were unschedulable"
    for taint in given.get("taints") or ():
        if taint.get("effect") in {"NoSchedule", "NoExecute"} and not tolerates(tolerations, taint):
            value = taint.get("value") or ""
            return f"node(s) had untolerated taint {{{taint['key']}: {value}}}"
    selector: Mapping[str, str] = spec.get("nodeSelector") or {}
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    chosen = affinity is None or any(_term(term, node) for term in affinity.get("nodeSelectorTerms") or ())
    if not selector.items() <= labels_of(node).items() or not chosen:
        return "node(s) didn't match Pod's node affinity/selector"
    return ""


def _term(term: Manifest, node: Manifest) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    known = {"metadata.name": node["metadata"]["name"]}
    return all(_holds(one, labels_of(node)) for one in expressions) and all(_holds(one, known) for one in fields)


def _holds(expression: Manifest, values: Mapping[str, str]) -> bool:
    found, wanted = values.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return found in wanted
        case "NotIn":
            return found not in wanted
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case "Gt" | "Lt":
            if found is None or not wanted or not found.lstrip("-").isdecimal():
                return False
            return int(found) > int(wanted[0]) if expression["operator"] == "Gt" else int(found) < int(wanted[0])
    return False


def _room(pod: Manifest, node: Manifest, cluster: Cluster) -> str:
    """Return what a node has too little of for a pod; "" for nothing."""
    allocatable: Mapping[str, Any] = (node.get("status") or {}).get("allocatable") or {}
    if "pods" in allocatable and cluster.number_on(_name(node)) >= quantity_number(allocatable["pods"]):
        return "Too many pods"
    used = cluster.requested_on(_name(node))
    for resource, amount in requests_of(pod).items():
        if resource in allocatable:
            if used.get(resource, 0) + amount > quantity_number(allocatable[resource]):
                return f"Insufficient {resource}"
        elif allocatable and resource != "ephemeral-storage":
            return f"Insufficient {resource}"
    return ""
