"""The subresources that are posted to a pod: its binding to a node by a scheduler, and its eviction by a drain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer.testing._apiserver.rules.bodies import of_kind
from kinformer.testing._apiserver.rules.life_cycle import PODS, DeleteOptions, check_preconditions
from kinformer.testing._apiserver.rules.selectors import selects_labels
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.structure import builtin_type

if TYPE_CHECKING:
    from kinformer.testing._apiserver.http.requests import Target
    from kinformer.testing._apiserver.rules.registry import Registry
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["bind_pod", "post_to_pod"]

_BODIES = {
    "binding": ("Binding", "v1", "core/v1.Binding"),
    "eviction": ("Eviction", "policy/v1", "policy/v1.Eviction"),
}


def post_to_pod(registry: Registry, target: Target, body: Any) -> dict[str, Any]:
    """Bind or evict a pod; returns the answer to the request, which is 201.

    Raises:
        Refusal: 400, 404, 405, 409 or 500.
    """
    if target.kind.storage != PODS or target.subresource not in _BODIES:
        raise status.method_not_allowed()
    kind, api_version, name = _BODIES[target.subresource]
    given = of_kind(body, kind, api_version, builtin_type(name))
    if (given.get("metadata") or {}).get("name") != target.name:
        msg = f"name in URL does not match name in {kind} object"
        raise status.bad_request(msg)
    if kind == "Binding":
        node = (given.get("target") or {}).get("name") or ""
        bind_pod(registry, target.kind, target.namespace, target.name, node)
    else:
        _evict(registry, target, DeleteOptions.read(given.get("deleteOptions")))
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def bind_pod(registry: Registry, pods: ResourceType, namespace: str, name: str, node: str) -> None:
    """Give a pod its node.

    Raises:
        Refusal: 404, 409 when it has one, or 500 without a node.
    """
    if not node:
        raise status.failed("target.name: Required value")
    pod = registry.get(pods, namespace, name).manifest
    if taken := pod["spec"].get("nodeName"):
        message = (
            f'Operation cannot be fulfilled on pods/binding "{name}": pod {name} is already assigned to node "{taken}"'
        )
        raise status.Refusal(409, message, "Conflict", {"name": name, "kind": "pods/binding"})
    bound = pod | {"spec": pod["spec"] | {"nodeName": node}}
    registry.put(pods, namespace, _with_condition(registry, bound, "PodScheduled"))


def _evict(registry: Registry, target: Target, options: DeleteOptions) -> None:
    pod = registry.get(target.kind, target.namespace, target.name).manifest
    check_preconditions(target.kind, target.name, pod["metadata"], options)
    _take_from_budget(registry, target, pod, dry_run=options.dry_run)
    if not options.dry_run:
        why = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
        registry.put(target.kind, target.namespace, _with_condition(registry, pod, "DisruptionTarget", **why))
    registry.delete(target.kind, target.namespace, target.name, options)


def _take_from_budget(registry: Registry, target: Target, pod: dict[str, Any], *, dry_run: bool) -> None:
    """Let the disruption budget of a pod allow its eviction (pkg/registry/core/pod/storage/eviction.go).

    Raises:
        Refusal: 429 if it does not; 500 if the pod has several budgets.
    """
    phase = (pod.get("status") or {}).get("phase")
    if phase in {"Succeeded", "Failed", "Pending"} or pod["metadata"].get("deletionTimestamp"):
        return
    labels = pod["metadata"].get("labels") or {}
    budgets = [
        (key, stored.manifest)
        for key, stored in registry.store.listed(("policy", "poddisruptionbudgets"), target.namespace)
        if _selects(stored.manifest, labels)
    ]
    if not budgets:
        return
    if len(budgets) > 1:
        raise status.failed(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    key, budget = budgets[0]
    state = budget.get("status") or {}
    if state.get("observedGeneration", 0) < budget["metadata"].get("generation", 1):
        raise _budget_refuses(f"The disruption budget {key[1]} is still being processed by the server.")
    if state.get("disruptionsAllowed", 0) <= 0:
        healthy, wanted = state.get("currentHealthy", 0), state.get("desiredHealthy", 0)
        raise _budget_refuses(
            f"The disruption budget {key[1]} needs {wanted} healthy pods and has {healthy} currently", retry=0
        )
    if not dry_run:
        disrupted = (state.get("disruptedPods") or {}) | {target.name: registry.now()}
        taken = state | {"disruptionsAllowed": state["disruptionsAllowed"] - 1, "disruptedPods": disrupted}
        kind = registry.catalog.versions_of(("policy", "poddisruptionbudgets"))[0]
        registry.put(kind, key[0], budget | {"status": taken})


def _selects(budget: dict[str, Any], labels: dict[str, str]) -> bool:
    selector = (budget.get("spec") or {}).get("selector")
    return selector is not None and selects_labels(selector, labels)


def _budget_refuses(why: str, *, retry: int = 10) -> status.Refusal:
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    details: dict[str, Any] = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    return status.Refusal(429, message, "TooManyRequests", details | ({"retryAfterSeconds": retry} if retry else {}))


def _with_condition(registry: Registry, pod: dict[str, Any], kind: str, **more: str) -> dict[str, Any]:
    added = {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": registry.now()} | more
    state = dict(pod.get("status") or {})
    kept = [condition for condition in state.get("conditions") or () if condition.get("type") != kind]
    # In the order of the fields of PodStatus.
    return pod | {"status": {"phase": state.pop("phase", "Pending"), **state, "conditions": [*kept, added]}}
