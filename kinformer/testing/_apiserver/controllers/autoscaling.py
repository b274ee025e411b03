"""Horizontal autoscalers, by the resources that a test says pods use (pkg/controller/podautoscaler)."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import Action, Again, Record, SetStatus, Update
from kinformer.testing._apiserver.controllers.cluster import requests_of
from kinformer.testing._apiserver.controllers.conditions import made, nonzero, with_condition
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import is_active, is_deleting, is_ready
from kinformer.testing._apiserver.schemas.scalars import quantity_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.rules.pod_scripts import PodScripts
    from kinformer.testing._apiserver.store.storage import Key

__all__ = ["autoscaler_controller"]

AUTOSCALERS: Final = ("autoscaling", "horizontalpodautoscalers")
_PERIOD: Final = 15.0
"""Seconds between two looks (kube-controller-manager --horizontal-pod-autoscaler-sync-period)."""
_TOLERANCE: Final = Decimal("0.1")
_STABILIZATION: Final = 300


def autoscaler_controller(scripts: PodScripts) -> Controller:
    """Return the controller of HorizontalPodAutoscalers."""
    return Controller(
        "horizontalpodautoscaler",
        _Autoscalers(scripts).reconcile,
        {AUTOSCALERS: lambda change, _: [change.key]},
        component="horizontal-pod-autoscaler",
    )


class _Autoscalers:
    """All autoscalers, with their former recommendations.

    Args:
        scripts: the resources that pods use.
    """

    def __init__(self, scripts: PodScripts) -> None:
        self._scripts = scripts
        self._recommended: dict[str, list[tuple[datetime, int]]] = {}
        self._looked: dict[str, tuple[datetime, int]] = {}

    def reconcile(self, key: Key, cluster: Cluster) -> Iterator[Action]:
        """Look at an autoscaler."""
        scaler = cluster.get(AUTOSCALERS, key)
        if scaler is None or is_deleting(scaler):
            return
        uid, generation = scaler["metadata"]["uid"], scaler["metadata"].get("generation", 0)
        looked = self._looked.get(uid)
        if looked is not None and looked[1] == generation:
            # Between two looks, only a new spec counts: not the status that was written.
            left = (looked[0] + timedelta(seconds=_PERIOD) - cluster.now).total_seconds()
            if left > 0:
                yield Again(left)
                return
        self._looked[uid] = (cluster.now, generation)
        yield from self._look(scaler, cluster)
        yield Again(_PERIOD)

    def _look(self, scaler: Manifest, cluster: Cluster) -> Iterator[Action]:
        spec, status = scaler["spec"], dict(scaler.get("status") or {})
        conditions: list[Manifest] = list(status.get("conditions") or ())
        now = cluster.stamp

        def note(kind: str, state: str, reason: str, message: str) -> None:
            conditions[:] = with_condition(conditions, made(kind, state, now, reason, message))

        target = _target(scaler, cluster)
        if target is None:
            reference = spec["scaleTargetRef"]
            why = f'the HPA controller was unable to get the target\'s current scale: "{reference["name"]}" not found'
            note("AbleToScale", "False", "FailedGetScale", why)
            yield from _report(scaler, status | {"conditions": conditions})
            return
        note(
            "AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale"
        )
        current: int = target["spec"].get("replicas", 1)
        least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
        shown: list[Manifest] = []
        if current == 0:
            wanted = 0
            note("ScalingActive", "False", "ScalingDisabled",
                 "scaling is disabled since the replica count of the target is zero")  # fmt: skip
        else:
            proposals = []
            for metric in spec.get("metrics") or ():
                found = self._proposal(metric, target, current, cluster)
                if found is not None:
                    proposals.append(found[0])
                    shown.append(found[1])
            if proposals:
                names = [one["resource"]["name"] for one in shown]
                why = f"the HPA was able to successfully calculate a replica count from {names[0]} resource"
                note("ScalingActive", "True", "ValidMetricFound", why)
                wanted = self._stable(scaler, max(proposals), current, cluster.now, note)
            else:
                wanted = current
                why = (
                    "the HPA was unable to compute the replica count: failed to get resource metric: no metrics "
                    "returned from resource metrics API"
                )
                note("ScalingActive", "False", "FailedGetResourceMetric", why)
                yield Record(scaler, "FailedGetResourceMetric", why, warning=True)
            wanted = _limited(wanted, least, most, note)
        if wanted != current:
            yield Update(target | {"spec": target["spec"] | {"replicas": wanted}})
            way = "above" if wanted > current else "below"
            reason = f"{shown[0]['resource']['name']} resource utilization (percentage of request) {way} target"
            if not shown[0]["resource"]["current"].get("averageUtilization"):
                reason = f"{shown[0]['resource']['name']} resource {way} target"
            reason = "All metrics below target" if wanted < current else reason
            note("AbleToScale", "True", "SucceededRescale",
                 f"the HPA controller was able to update the target scale to {wanted}")  # fmt: skip
            yield Record(scaler, "SuccessfulRescale", f"New size: {wanted}; reason: {reason}")
            status["lastScaleTime"] = now
        status |= {"desiredReplicas": wanted, "currentMetrics": shown or None, "conditions": conditions}
        status |= nonzero(currentReplicas=current, observedGeneration=scaler["metadata"].get("generation"))
        yield from _report(scaler, status)

    def _proposal(
        self, metric: Manifest, target: Manifest, current: int, cluster: Cluster
    ) -> tuple[int, Manifest] | None:
        """Return the replicas that a metric calls for, and the metric as the status shows it."""
        if metric.get("type") != "Resource":
            return None
        resource, goal = metric["resource"]["name"], metric["resource"]["target"]
        selector = target["spec"].get("selector") or {}
        pods = [pod for pod in cluster.pods(target["metadata"]["namespace"], selector) if is_active(pod)]
        used, requested, counted = Decimal(), Decimal(), 0
        for pod in pods:
            amount = self._scripts.use_of(pod["metadata"]["namespace"], pod["metadata"]["name"], resource)
            if amount is not None and is_ready(pod):
                used += quantity_number(amount)
                requested += requests_of(pod).get(resource, Decimal())
                counted += 1
        if not counted:
            return None
        average = used / counted
        shown: dict[str, Any] = {"averageValue": _quantity(average)}
        if goal.get("type") == "Utilization":
            if not requested:
                return None
            utilization = int(used * 100 / requested)
            shown = {"averageUtilization": utilization} | shown
            ratio = Decimal(utilization) / goal["averageUtilization"]
        else:
            ratio = average / quantity_number(goal.get("averageValue") or goal.get("value") or "1")
        proposal = current if abs(ratio - 1) <= _TOLERANCE else math.ceil(ratio * counted)
        return proposal, {"type": "Resource", "resource": {"name": resource, "current": shown}}

    def _stable(self, scaler: Manifest, proposal: int, current: int, now: datetime, note: Any) -> int:
        """Return the highest recommendation of the window before a target shrinks."""
        uid = scaler["metadata"]["uid"]
        behavior = (scaler["spec"].get("behavior") or {}).get("scaleDown") or {}
        window = behavior.get("stabilizationWindowSeconds")
        window = timedelta(seconds=_STABILIZATION if window is None else window)
        # The present size counts as the first recommendation.
        known = self._recommended.get(uid) or [(now, current)]
        former = [one for one in known if one[0] > now - window]
        self._recommended[uid] = [*former, (now, proposal)]
        stable = max(proposal, *(count for _, count in former)) if former else proposal
        if stable > proposal:
            why = "recent recommendations were higher than current one, applying the highest recent recommendation"
            note("AbleToScale", "True", "ScaleDownStabilized", why)
        else:
            note("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size")
        return stable


def _target(scaler: Manifest, cluster: Cluster) -> Manifest | None:
    reference = scaler["spec"]["scaleTargetRef"]
    found = cluster.storage_of(reference.get("apiVersion", ""), reference["kind"])
    return None if found is None else cluster.get(found[0], (scaler["metadata"]["namespace"], reference["name"]))


def _limited(wanted: int, least: int, most: int, note: Any) -> int:
    if wanted > most:
        why = "the desired replica count is more than the maximum replica count"
        note("ScalingLimited", "True", "TooManyReplicas", why)
    elif wanted < least:
        why = "the desired replica count is less than the minimum replica count"
        note("ScalingLimited", "True", "TooFewReplicas", why)
    else:
        why = "the desired count is within the acceptable range"
        note("ScalingLimited", "False", "DesiredWithinRange", why)
    return max(least, min(wanted, most))


def _report(scaler: Manifest, status: Manifest) -> Iterator[Action]:
    if status != scaler.get("status"):
        yield SetStatus(scaler | {"status": status})


def _quantity(number: Decimal) -> str:
    """Write a number as a quantity: whole, or in thousandths."""
    return str(int(number)) if number == int(number) else f"{math.ceil(number * 1000)}m"
