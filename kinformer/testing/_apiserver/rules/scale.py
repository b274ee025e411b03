"""The scale subresource: `autoscaling/v1` Scale, which is `spec.replicas` of a workload by another name."""

from __future__ import annotations

from typing import Any

from kinformer.testing._apiserver.store import status

__all__ = ["read_scale", "written_scale"]


def read_scale(manifest: dict[str, Any]) -> dict[str, Any]:
    """The Scale of a workload."""
    metadata = manifest["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = (manifest.get("spec", {}).get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": manifest.get("spec", {}).get("replicas", 0)},
        "status": {
            "replicas": (manifest.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def written_scale(manifest: dict[str, Any], scale: Any) -> dict[str, Any]:
    """The workload after its Scale was written.

    Raises:
        Refusal: 422, the number of replicas makes no sense.
    """
    spec = (scale.get("spec") if isinstance(scale, dict) else None) or {}
    replicas = spec.get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        cause = ("FieldValueInvalid", f"Invalid value: {replicas}: must be greater than or equal to 0", "spec.replicas")
        raise status.invalid("Scale", manifest["metadata"]["name"], [cause], group="autoscaling")
    version = (scale.get("metadata") or {}).get("resourceVersion")
    metadata = manifest["metadata"] | ({"resourceVersion": version} if version else {})
    return manifest | {"metadata": metadata, "spec": manifest["spec"] | {"replicas": replicas}}
