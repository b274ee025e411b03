"""The defaults that Kubernetes 1.37 began to fill in, of new kinds and of new fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["fill_in_newer", "has_newer_generation"]

_OLDER: Final = {"1.36"}
_COUNTED: Final = {("autoscaling", "horizontalpodautoscalers")}


def has_newer_generation(kind: ResourceType) -> bool:
    """Return whether the objects of a kind count their generations in its release, and did not before."""
    return kind.storage in _COUNTED and kind.types.release not in _OLDER


def fill_in_newer(kind: ResourceType, manifest: dict[str, Any], now: str) -> None:
    """Fill in the fields that an object leaves out, in place; nothing in a release before 1.37.

    Args:
        kind: the kind of the object.
        manifest: the object.
        now: the time as objects carry it.
    """
    spec = manifest.get("spec")
    if spec is None or kind.types.release in _OLDER:
        return
    match kind.storage:
        case ("apps", "statefulsets"):
            if rolling := (spec.get("updateStrategy") or {}).get("rollingUpdate"):
                rolling.setdefault("maxUnavailable", 1)
        case ("storage.k8s.io", "csidrivers"):
            spec.setdefault("preventPodSchedulingIfMissing", False)
        case ("resource.k8s.io", "devicetaintrules"):
            spec.setdefault("taint", {}).setdefault("timeAdded", now)
        case ("resource.k8s.io", "resourceslices"):
            for device in spec.get("devices") or ():
                for taint in device.get("taints") or ():
                    taint.setdefault("timeAdded", now)
        case ("certificates.k8s.io", "podcertificaterequests"):
            spec.setdefault("maxExpirationSeconds", 86400)
        case ("storagemigration.k8s.io", "storageversionmigrations"):
            spec.setdefault("resource", {}).setdefault("group", "")
        case _:
            pass
