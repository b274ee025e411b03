"""The sizes of ReplicaSets during a rollout: pure arithmetic (pkg/controller/deployment/rolling.go, sync.go)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinformer.testing._apiserver.controllers.actions import Manifest

__all__ = ["next_sizes", "proportional_sizes", "scaled_value", "surge_and_unavailable"]


def scaled_value(value: Any, total: int, *, up: bool) -> int:
    """Return a number, or a percentage of a total, as a number that is rounded up or down."""
    if isinstance(value, str) and value.endswith("%"):
        share = float(value[:-1]) * total / 100
        return math.ceil(share) if up else math.floor(share)
    return int(value or 0)


def surge_and_unavailable(spec: Manifest) -> tuple[int, int]:
    """Return the pods above the number that is wanted, and those below it, that a rollout may have."""
    strategy = spec["strategy"]
    wanted: int = spec["replicas"]
    if strategy["type"] != "RollingUpdate" or not wanted:
        return 0, 0
    rolling = strategy.get("rollingUpdate") or {}
    surge = scaled_value(rolling.get("maxSurge"), wanted, up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable"), wanted, up=False)
    if not surge and not unavailable:
        # Both may be rounded to nothing; then nothing could ever move.
        unavailable = 1
    return surge, min(unavailable, wanted)


def next_sizes(
    new: Manifest, old: list[Manifest], wanted: int, surge: int, unavailable: int, strategy: str
) -> dict[str, int]:
    """Return the new sizes, by name, of the next step of a rollout; empty if there is none.

    The new ReplicaSet grows first. If it cannot, the old ones shrink: first by their pods that are not available.
    """
    size = new["spec"]["replicas"]
    if size != wanted:
        if size > wanted or strategy == "Recreate":
            return {new["metadata"]["name"]: wanted}
        total = size + sum(one["spec"]["replicas"] for one in old)
        grown = min(wanted, size + max(0, wanted + surge - total))
        if grown != size:
            return {new["metadata"]["name"]: grown}
    return _shrunk(new, old, wanted - unavailable)


def _shrunk(new: Manifest, old: list[Manifest], least: int) -> dict[str, int]:
    sizes = {one["metadata"]["name"]: one["spec"]["replicas"] for one in old if one["spec"]["replicas"]}
    if not sizes:
        return {}
    available = {one["metadata"]["name"]: (one.get("status") or {}).get("availableReplicas", 0) for one in [*old, new]}
    size = new["spec"]["replicas"]
    spare = size + sum(sizes.values()) - least - (size - available[new["metadata"]["name"]])
    if spare <= 0:
        return {}
    before = dict(sizes)
    for name, count in before.items():
        unhealthy = min(spare, count - available[name])
        if unhealthy > 0:
            sizes[name] -= unhealthy
            spare -= unhealthy
    spare = sum(available.values()) - least
    for name, count in sizes.items():
        if spare <= 0:
            break
        gone = min(count, spare)
        sizes[name] -= gone
        spare -= gone
    return {name: count for name, count in sizes.items() if count != before[name]}


def proportional_sizes(
    new: Manifest | None,
    old: list[Manifest],
    wanted: int,
    surge: int,
    *,
    rolling: bool,
    total_before: int,
    most: str,
    desired: str,
) -> dict[str, int]:
    """Return the sizes, by name, after the number of replicas was changed, perhaps during a rollout.

    Args:
        new: the ReplicaSet of the newest revision.
        old: the others.
        wanted: the number of replicas.
        surge: the pods above this number that a rollout may have.
        rolling: the strategy is a rolling update.
        total_before: the pods that the Deployment had.
        most: the annotation of the size that a ReplicaSet was a part of.
        desired: the annotation of the number of replicas that was wanted.
    """
    everyone = [*old, *([new] if new else [])]
    active = [one for one in everyone if one["spec"]["replicas"]]
    if len(active) <= 1:
        only = active[0] if active else new or (old[-1] if old else None)
        return {} if only is None else {only["metadata"]["name"]: wanted}
    if new is not None and _is_saturated(new, wanted, desired):
        return {one["metadata"]["name"]: 0 for one in active if one is not new}
    if not rolling:
        return {}
    sizes = {one["metadata"]["name"]: one["spec"]["replicas"] for one in active}
    lack = (wanted + surge if wanted else 0) - sum(sizes.values())
    if not lack:
        return sizes
    # The largest first; of equal ones the newest when they grow, the oldest when they shrink.
    by_age = sorted(active, key=lambda one: one["metadata"]["creationTimestamp"], reverse=lack > 0)
    by_size = sorted(by_age, key=lambda one: -one["spec"]["replicas"])
    added = 0
    for one in by_size:
        share = _share(one, wanted, surge, total_before, most)
        rest = lack - added
        share = min(share, rest) if lack > 0 else max(share, rest)
        sizes[one["metadata"]["name"]] += share
        added += share
    largest = by_size[0]["metadata"]["name"]
    sizes[largest] = max(0, sizes[largest] + lack - added)
    return sizes


def _share(replicas: Manifest, wanted: int, surge: int, total_before: int, most: str) -> int:
    size: int = replicas["spec"]["replicas"]
    if not wanted:
        return -size
    text = (replicas["metadata"].get("annotations") or {}).get(most, "")
    base = int(text) if text.isdecimal() and int(text) else total_before
    if not base:
        return 0
    return math.floor(size * (wanted + surge) / base + 0.5) - size


def _is_saturated(replicas: Manifest, wanted: int, desired: str) -> bool:
    text = (replicas["metadata"].get("annotations") or {}).get(desired, "")
    available: int = (replicas.get("status") or {}).get("availableReplicas", 0)
    size: int = replicas["spec"]["replicas"]
    return size == wanted == available and text == str(wanted)
