"""What is posted to a pod: its binding to a node, as a scheduler does, and its eviction, as who drains a node does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer.testing._apiserver.rules.registry import PODS, DeleteOptions
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from kinformer.testing._apiserver.http.requests import Target
    from kinformer.testing._apiserver.rules.registry import Registry
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["bind_pod", "post_to_pod"]


def post_to_pod(registry: Registry, target: Target, body: Any) -> dict[str, Any]:
    """Bind or evict a pod; returns what the request is answered with, as 201.

    Disruption budgets are not looked at: every eviction is granted.

    Raises:
        Refusal: 400, 404, 405, 409 or 500.
    """
    what = {"binding": "Binding", "eviction": "Eviction"}.get(target.subresource)
    if target.kind.storage != PODS or what is None:
        raise status.method_not_allowed()
    body = body if isinstance(body, dict) else {}
    if (body.get("metadata") or {}).get("name") != target.name:
        msg = f"name in URL does not match name in {what} object"
        raise status.bad_request(msg)
    if what == "Binding":
        bind_pod(registry, target.kind, target.namespace, target.name, (body.get("target") or {}).get("name") or "")
    else:
        _evict(registry, target, (body.get("deleteOptions") or {}).get("gracePeriodSeconds"))
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


def _evict(registry: Registry, target: Target, grace: int | None) -> None:
    pod = registry.get(target.kind, target.namespace, target.name).manifest
    why = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
    registry.put(target.kind, target.namespace, _with_condition(registry, pod, "DisruptionTarget", **why))
    registry.delete(target.kind, target.namespace, target.name, DeleteOptions(grace_period_seconds=grace))


def _with_condition(registry: Registry, pod: dict[str, Any], kind: str, **more: str) -> dict[str, Any]:
    told = {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": registry.now()} | more
    state = dict(pod.get("status") or {})
    kept = [condition for condition in state.get("conditions") or () if condition.get("type") != kind]
    # As the fields stand in PodStatus.
    return pod | {"status": {"phase": state.pop("phase", "Pending"), **state, "conditions": [*kept, told]}}
