"""The part of an object that a write to each subresource may change."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from kinformer.testing._apiserver.rules.pod_defaults import fill_in_pod_spec

__all__ = ["changed_part"]


def changed_part(current: dict[str, Any], wanted: dict[str, Any], subresource: str) -> dict[str, Any]:
    """The object with the part that a subresource may change as it is wanted, all else as it is."""
    spec, new = current.get("spec") or {}, wanted.get("spec") or {}
    match subresource:
        case "ephemeralcontainers":
            added = {name: new[name] for name in ("ephemeralContainers",) if name in new}
            kept = {name: value for name, value in spec.items() if name != "ephemeralContainers"}
            return current | {"spec": _filled_in(kept | added)}
        case "resize":
            return current | {"spec": _filled_in(spec | _resized(spec, new))}
        case "finalize":
            return current | {"spec": new}
    changed = {name: value for name, value in current.items() if name != "status"}
    return changed | ({"status": wanted["status"]} if "status" in wanted else {})


def _filled_in(spec: dict[str, Any]) -> dict[str, Any]:
    """A copy of a pod's spec with its defaults."""
    copy = deepcopy(spec)
    fill_in_pod_spec(copy)
    return copy


def _resized(spec: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The containers with the resources that are wanted (pkg/registry/core/pod/strategy.go, dropNonResizeUpdates)."""
    result: dict[str, Any] = {}
    for field in ("containers", "initContainers"):
        wanted = {container.get("name"): container for container in new.get(field) or ()}
        if [*wanted] != [container.get("name") for container in spec.get(field) or ()]:
            # It is refused, and judged as it was sent.
            result[field] = new.get(field) or []
        elif field in spec:
            result[field] = [_with_resources(c, wanted.get(c.get("name"), c)) for c in spec[field]]
    return result


def _with_resources(container: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    fields = ("resources", "resizePolicy")
    kept = {name: value for name, value in container.items() if name not in fields}
    return kept | {name: wanted[name] for name in fields if name in wanted}
