"""The resources that have several versions of different shapes: Events, and HorizontalPodAutoscalers.

Each is stored in one version, and converted when it is read or written in another.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["as_stored", "in_stored_version", "in_version"]

_EVENT_FIELDS: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
"""The fields of core Events by the names that they have in `events.k8s.io/v1` (pkg/apis/events/v1, conversion.go)."""

_METRICS: Final = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR: Final = "autoscaling.alpha.kubernetes.io/behavior"


def in_version(kind: ResourceType, manifest: dict[str, Any]) -> dict[str, Any]:
    """A stored object in the version of a resource type.

    Raises:
        UnconvertedError: a webhook must be asked.
    """
    if manifest["apiVersion"] == kind.api_version:
        return manifest
    if kind.conversion is not None:
        return kind.conversion.result(manifest, kind.api_version)
    change = _CHANGES.get((manifest["apiVersion"], kind.api_version, kind.kind))
    converted = manifest if change is None else change(manifest)
    return converted | {"apiVersion": kind.api_version}


def as_stored(manifest: dict[str, Any]) -> dict[str, Any]:
    """An object in the version that it is stored in."""
    hub = _STORED_IN.get((manifest["apiVersion"], manifest["kind"]))
    if hub is None:
        return manifest
    return _CHANGES[manifest["apiVersion"], hub, manifest["kind"]](manifest) | {"apiVersion": hub}


def in_stored_version(kind: ResourceType, manifest: dict[str, Any]) -> dict[str, Any]:
    """An object of a resource type in the version that it is stored in.

    Raises:
        UnconvertedError: a webhook must be asked.
    """
    if kind.conversion is not None:
        return kind.conversion.result(manifest, kind.conversion.stored)
    return as_stored(manifest)


def _new_event(core: dict[str, Any]) -> dict[str, Any]:
    converted = {_EVENT_FIELDS.get(name, name): value for name, value in core.items()}
    return {name: value for name, value in converted.items() if value != "" or not name.startswith("reporting")}


def _core_event(event: dict[str, Any]) -> dict[str, Any]:
    names = {new: old for old, new in _EVENT_FIELDS.items()}
    return {names.get(name, name): value for name, value in event.items()}


def _cpu_target(metric: dict[str, Any]) -> int | None:
    resource = metric.get("resource") or {}
    target = resource.get("target") or {}
    is_cpu = metric.get("type") == "Resource" and resource.get("name") == "cpu" and target.get("type") == "Utilization"
    return target.get("averageUtilization") if is_cpu else None


def _autoscaler_v1(v2: dict[str, Any]) -> dict[str, Any]:
    spec = dict(v2.get("spec") or {})
    metrics, behavior = spec.pop("metrics", None) or [], spec.pop("behavior", None)
    others = []
    for metric in metrics:
        target = _cpu_target(metric)
        if target is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = target
        else:
            others.append(metric)
    added = ({_METRICS: json.dumps(others)} if others else {}) | ({_BEHAVIOR: json.dumps(behavior)} if behavior else {})
    metadata = v2["metadata"]
    if added:
        metadata = metadata | {"annotations": (metadata.get("annotations") or {}) | added}
    state = {
        name: value for name, value in (v2.get("status") or {}).items() if name not in {"currentMetrics", "conditions"}
    }
    state = {"currentReplicas": 0, "desiredReplicas": 0} | state
    return v2 | {"metadata": metadata, "spec": spec, "status": state}


def _autoscaler_v2(v1: dict[str, Any]) -> dict[str, Any]:
    spec, metadata = dict(v1.get("spec") or {}), dict(v1["metadata"])
    annotations = dict(metadata.get("annotations") or {})
    metrics = _decoded(annotations.pop(_METRICS, ""), list) or []
    behavior = _decoded(annotations.pop(_BEHAVIOR, ""), dict)
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        utilization = {"type": "Utilization", "averageUtilization": target}
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": utilization}}, *metrics]
    spec |= ({"metrics": metrics} if metrics else {}) | ({"behavior": behavior} if behavior else {})
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    state = {n: v for n, v in (v1.get("status") or {}).items() if n != "currentReplicas" or v}
    state.pop("currentCPUUtilizationPercentage", None)
    return v1 | {"metadata": metadata, "spec": spec, "status": {"desiredReplicas": 0, "currentMetrics": None} | state}


def _decoded(text: str, wanted: type) -> Any:
    try:
        value = json.loads(text) if text else None
    except ValueError:
        return None
    return value if isinstance(value, wanted) else None


_CHANGES: Final[dict[tuple[str, str, str], Callable[[dict[str, Any]], dict[str, Any]]]] = {
    ("v1", "events.k8s.io/v1", "Event"): _new_event,
    ("events.k8s.io/v1", "v1", "Event"): _core_event,
    ("autoscaling/v2", "autoscaling/v1", "HorizontalPodAutoscaler"): _autoscaler_v1,
    ("autoscaling/v1", "autoscaling/v2", "HorizontalPodAutoscaler"): _autoscaler_v2,
}
_STORED_IN: Final = {
    ("events.k8s.io/v1", "Event"): "v1",
    ("autoscaling/v1", "HorizontalPodAutoscaler"): "autoscaling/v2",
}
