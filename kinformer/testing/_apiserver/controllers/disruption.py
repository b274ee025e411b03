"""Disruption budgets: how many pods may be evicted (pkg/controller/disruption)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import Action, Again, SetStatus, key_of
from kinformer.testing._apiserver.controllers.cluster import PODS, controller_of, labels_of
from kinformer.testing._apiserver.controllers.conditions import condition_of, nonzero
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import is_deleting, is_finished, is_ready, moment
from kinformer.testing._apiserver.controllers.rollouts import scaled_value
from kinformer.testing._apiserver.rules.selectors import selects_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key

__all__ = ["disruption_controller"]

BUDGETS: Final = ("policy", "poddisruptionbudgets")
_FORGOTTEN_AFTER: Final = timedelta(minutes=2)
"""The time after which an eviction that did not happen no longer counts (DeletionTimeout)."""


def disruption_controller() -> Controller:
    """Return the controller of PodDisruptionBudgets."""
    return Controller(
        "disruption",
        _reconcile,
        {BUDGETS: lambda change, _: [change.key], PODS: _of_pod},
        component="controllermanager",
    )


def _of_pod(change: Change, cluster: Cluster) -> Iterable[Key]:
    states = [change.new.manifest] + ([change.old.manifest] if change.old is not None else [])
    return [
        key_of(budget)
        for budget in cluster.within(BUDGETS, change.key[0])
        if (selector := budget["spec"].get("selector")) is not None
        and any(selects_labels(selector, labels_of(state)) for state in states)
    ]


def _reconcile(key: Key, cluster: Cluster) -> Iterator[Action]:
    budget = cluster.get(BUDGETS, key)
    if budget is None:
        return
    selector = budget["spec"].get("selector")
    pods = [] if selector is None else cluster.pods(key[0], selector)
    before = budget.get("status") or {}
    disrupted, wait = _disrupted(before.get("disruptedPods") or {}, pods, cluster)
    counted = [pod for pod in pods if not is_finished(pod)]
    expected, wanted = _expected(budget["spec"], counted, cluster)
    healthy = sum(
        is_ready(pod) and not is_deleting(pod) and pod["metadata"]["name"] not in disrupted for pod in counted
    )
    allowed = max(0, healthy - wanted) if expected > 0 else 0
    status: dict[str, Any] = nonzero(
        observedGeneration=budget["metadata"].get("generation", 0), disruptedPods=disrupted
    ) | {
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": wanted,
        "expectedPods": expected,
        "conditions": [_condition(before, allowed, budget, cluster.stamp)],
    }
    if status != before:
        yield SetStatus(budget | {"status": status})
    if wait:
        yield Again(wait)


def _disrupted(known: dict[str, str], pods: list[Manifest], cluster: Cluster) -> tuple[dict[str, str], float]:
    """Return the pods whose eviction is under way, and the seconds until the first of them is forgotten."""
    names = {pod["metadata"]["name"] for pod in pods if not is_deleting(pod)}
    kept, waits = {}, []
    for name, stamp in known.items():
        left = (moment(stamp) + _FORGOTTEN_AFTER - cluster.now).total_seconds()
        if name in names and left > 0:
            kept[name] = stamp
            waits.append(left)
    return kept, min(waits, default=0.0)


def _expected(spec: Manifest, pods: list[Manifest], cluster: Cluster) -> tuple[int, int]:
    """Return the number of pods that there should be, and how many of them must be healthy."""
    if "maxUnavailable" in spec:
        expected = _scale(pods, cluster)
        return expected, max(0, expected - scaled_value(spec["maxUnavailable"], expected, up=True))
    least = spec.get("minAvailable", 1)
    if isinstance(least, str):
        expected = _scale(pods, cluster)
        return expected, scaled_value(least, expected, up=True)
    return len(pods), least


def _scale(pods: list[Manifest], cluster: Cluster) -> int:
    """Return the sum of the replicas that the controllers of the pods want."""
    wanted: dict[str, int] = {}
    for pod in pods:
        reference = controller_of(pod)
        owner = None
        while reference is not None:
            found = cluster.storage_of(reference["apiVersion"], reference["kind"])
            above = None if found is None else cluster.get(found[0], (key_of(pod)[0], reference["name"]))
            if above is None or above["metadata"]["uid"] != reference["uid"]:
                break
            owner, reference = above, controller_of(above)
        if owner is not None:
            spec = owner.get("spec") or {}
            wanted[owner["metadata"]["uid"]] = spec.get("replicas", 0)
    return sum(wanted.values())


def _condition(before: Manifest, allowed: int, budget: Manifest, now: str) -> Manifest:
    new = {
        "type": "DisruptionAllowed",
        "status": "True" if allowed else "False",
        "observedGeneration": budget["metadata"].get("generation", 0),
        "lastTransitionTime": now,
        "reason": "SufficientPods" if allowed else "InsufficientPods",
        "message": "",
    }
    old = condition_of(before, "DisruptionAllowed")
    if old is not None and old["status"] == new["status"]:
        new["lastTransitionTime"] = old["lastTransitionTime"]
    return new
