"""The rules for a status that a client writes (pkg/apis/*/validation, the functions for updates of the status)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import forbidden, invalid_value, one_of, required
from kinformer.testing._apiserver.rules.fields.cluster import quota_resource
from kinformer.testing._apiserver.rules.fields.terms import NOT_NEGATIVE, ip, subdomain
from kinformer.testing._apiserver.rules.fields.workloads import count_indexes
from kinformer.testing._apiserver.rules.names import qualified_faults
from kinformer.testing._apiserver.schemas.scalars import quantity_number
from kinformer.testing._apiserver.store.status import Cause, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["validate_status"]

_APPS: Final = (
    *("observedGeneration", "replicas", "fullyLabeledReplicas", "updatedReplicas", "readyReplicas", "currentReplicas"),
    *("availableReplicas", "unavailableReplicas", "terminatingReplicas", "collisionCount"),
)
_COUNTS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    **{("apps", plural): _APPS for plural in ("deployments", "replicasets", "statefulsets")},
    ("", "replicationcontrollers"): _APPS,
    ("apps", "daemonsets"): (
        *("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"),
        *("observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount"),
    ),
    ("batch", "jobs"): ("active", "succeeded", "failed", "ready", "terminating"),
    ("autoscaling", "horizontalpodautoscalers"): ("currentReplicas", "desiredReplicas"),
    ("policy", "poddisruptionbudgets"): (*("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"),),
}
"""The counts of a status, which are never negative."""

_STATES: Final = "allocatedResourceStatuses"
_RESIZES: Final = (
    *("ControllerResizeInProgress", "ControllerResizeInfeasible"),
    *("NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"),
)
"""The states of a claim that grows."""

_FEATURE: Final = r"[A-Z][A-Za-z0-9]*(/[A-Za-z0-9]+)*"
_FEATURE_RULE: Final = (
    'invalid feature name "{}": must start with an UpperCamelCase segment, with subsequent segments separated by '
    "'/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
)
_CONDITIONS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("certificates.k8s.io", "certificatesigningrequests"): ("type", "status"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): ("type",),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): ("type",),
}
"""The fields that each condition of a status must have."""

_PARTS: Final = {
    "deployments": ("updatedReplicas", "readyReplicas", "availableReplicas"),
    "statefulsets": ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
    "replicasets": ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
    "replicationcontrollers": ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
}
"""The counts that are parts of all replicas, in the order in which they are judged."""

_AMOUNTS: Final[dict[tuple[str, str], tuple[tuple[str, str], ...]]] = {
    ("", "resourcequotas"): (("hard", "status.hard[{}]"), ("used", "status.used[{}]")),
    ("", "nodes"): (("capacity", "status.capacity.{}"), ("allocatable", "status.allocatable.{}")),
}
"""The amounts of a status, which are never negative, each with its path."""


def validate_status(kind: ResourceType, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse a status that breaks a rule.

    Args:
        kind: a built-in kind.
        before: the object with the status before.
        after: the object with the next status.

    Raises:
        Refusal: 422.
    """
    if not kind.custom and (causes := [*_causes(kind, before, after)]):
        raise invalid(kind.kind, after["metadata"].get("name", ""), causes, kind.group)


def _causes(kind: ResourceType, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Cause]:
    status, old = after.get("status") or {}, before.get("status") or {}
    for field in _COUNTS.get(kind.storage, ()):
        if (status.get(field) or 0) < 0:
            yield invalid_value(f"status.{field}", status[field], NOT_NEGATIVE)
    for field, path in _AMOUNTS.get(kind.storage, ()):
        for name, amount in sorted((status.get(field) or {}).items()):
            if quantity_number(amount) < 0:
                yield invalid_value(path.format(name), str(amount), NOT_NEGATIVE)
    match kind.storage:
        case ("", "pods"):
            yield from _pod(after.get("spec") or {}, status, old)
        case ("", "namespaces"):
            yield from _namespace(after, status.get("phase") or "")
        case ("apps", "deployments" | "replicasets" | "statefulsets") | ("", "replicationcontrollers"):
            yield from _replicas(status, kind.plural)
            if old.get("collisionCount") is not None and (status.get("collisionCount") or 0) < old["collisionCount"]:
                shown = status.get("collisionCount") or 0
                yield invalid_value("status.collisionCount", shown, "cannot be decremented")
        case ("batch", "jobs"):
            yield from _job(after.get("spec") or {}, status, old)
        case _:
            yield from _of_few_rules(kind, status)


def _of_few_rules(kind: ResourceType, status: dict[str, Any]) -> Iterator[Cause]:
    """Judge the status of the kinds that have a rule or two."""
    match kind.storage:
        case ("", "resourcequotas"):
            for field in ("hard", "used"):
                for name in sorted(status.get(field) or {}):
                    yield from quota_resource(name, f"status.{field}[{name}]")
        case ("", "persistentvolumeclaims"):
            yield from _claim(status)
        case ("", "nodes"):
            for index, name in enumerate(status.get("declaredFeatures") or ()):
                if not re.fullmatch(_FEATURE, name):
                    yield invalid_value(f"status.declaredFeatures[{index}]", name, _FEATURE_RULE.format(name))
        case place if place in _CONDITIONS:
            for index, one in enumerate(status.get("conditions") or ()):
                for field in _CONDITIONS[place]:
                    if not one.get(field):
                        yield required(f"status.conditions[{index}].{field}")


def _replicas(status: dict[str, Any], plural: str) -> Iterator[Cause]:
    ready = "status.readyReplicas" if plural == "statefulsets" else "readyReplicas"
    total = status.get("replicas") or 0
    for field in _PARTS[plural]:
        if (count := status.get(field) or 0) > total:
            yield invalid_value(f"status.{field}", count, "cannot be greater than status.replicas")
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        yield invalid_value("status.availableReplicas", available, f"cannot be greater than {ready}")


def _pod(spec: dict[str, Any], status: dict[str, Any], old: dict[str, Any]) -> Iterator[Cause]:
    if (status.get("observedGeneration") or 0) < 0:
        yield invalid_value("status.observedGeneration", status["observedGeneration"], "must be a non-negative integer")
    for index, condition in enumerate(status.get("conditions") or ()):
        for fault in qualified_faults(condition.get("type") or ""):
            yield invalid_value(f"status.conditions[{index}].Type", condition.get("type") or "", fault)
    if name := status.get("nominatedNodeName"):
        faults = [*subdomain(name, "status.nominatedNodeName")]
        yield from faults
        if not faults and name != old.get("nominatedNodeName") and spec.get("nodeName"):
            yield forbidden("status.nominatedNodeName", "may not be set on pods that are already bound to a node")
    claims = {one.get("name") for one in spec.get("resourceClaims") or ()}
    for index, claim in enumerate(status.get("resourceClaimStatuses") or ()):
        if (given := claim.get("name") or "") not in claims:
            why = "must match the name of an entry in `spec.resourceClaims`"
            yield invalid_value(f"status.resourceClaimStatuses[{index}].name", given, why)
    if (extended := status.get("extendedResourceClaimStatus")) is not None:
        at = "status.extendedResourceClaimStatus"
        if not extended.get("requestMappings"):
            yield required(f"{at}.requestMappings", "at least one request mapping is required")
        if not extended.get("resourceClaimName"):
            yield required(f"{at}.resourceClaimName")
    first = [{"ip": status["podIP"]}] if status.get("podIP") else []
    for index, address in enumerate(status.get("podIPs") or first):
        yield from ip(address.get("ip") or "", f"status.podIPs[{index}]")
    for index, address in enumerate(status.get("hostIPs") or ()):
        yield from ip(address.get("ip") or "", f"status.hostIPs[{index}]")
    if old.get("qosClass") and status.get("qosClass") not in {None, old["qosClass"]}:
        yield invalid_value("status.qosClass", status["qosClass"], "field is immutable")


def _claim(status: dict[str, Any]) -> Iterator[Cause]:
    for name, amount in sorted((status.get("capacity") or {}).items()):
        if quantity_number(amount) < 0:
            yield _bare(f"status.capacity[{name}]", f"{amount}: must be a valid resource quantity")
    states = status.get("allocatedResourceStatuses") or {}
    for field, names in (("allocatedResources", status.get("allocatedResources") or {}), (_STATES, states)):
        path = f"status.{field}"
        for name in sorted(names):
            faults = qualified_faults(name)
            yield from (invalid_value(path, name, fault) for fault in faults)
            if not faults and "/" not in name and name != "storage":
                yield one_of(path, name, ("storage",))
            elif field != _STATES and quantity_number(names[name]) < 0:
                yield _bare(f"{path}[{name}]", f"{names[name]}: must be a valid resource quantity")
            if field == _STATES and names[name] not in _RESIZES:
                yield one_of(path, name, _RESIZES)


def _namespace(after: dict[str, Any], phase: str) -> Iterator[Cause]:
    # Kubernetes writes this path with a capital.
    if after["metadata"].get("deletionTimestamp"):
        if phase != "Terminating":
            why = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            yield invalid_value("status.Phase", phase, why)
    elif phase not in {"", "Active"}:
        yield invalid_value("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")


def _true(status: dict[str, Any]) -> set[str]:
    """The conditions of a job that hold."""
    return {one.get("type", "") for one in status.get("conditions") or () if one.get("status") == "True"}


def _bare(path: str, why: str) -> Cause:
    return "FieldValueInvalid", f"Invalid value: {why}", path


def _job(spec: dict[str, Any], status: dict[str, Any], old: dict[str, Any]) -> Iterator[Cause]:
    """Judge the status of a job: what changed must agree with the rest (KEP-4368)."""
    now, was = _true(status), _true(old)

    def changed(*fields: str) -> bool:
        return any(status.get(field) != old.get(field) for field in fields)

    def turned(*conditions: str) -> bool:
        return any((one in now) != (one in was) for one in conditions)

    yield from _job_conditions(now, turned, spec, has_failed_indexes_changed=changed("failedIndexes"))
    yield from _job_times(status, old, now, changed, turned)
    is_finished = bool(now & {"Complete", "Failed"})
    ends = is_finished != bool(was & {"Complete", "Failed"})
    if is_finished and (ends or changed("active")) and (status.get("active") or 0) > 0:
        yield invalid_value("status.active", status["active"], "active>0 is invalid for finished job")
    if is_finished and (ends or changed("terminating")) and (status.get("terminating") or 0) > 0:
        yield invalid_value("status.terminating", status["terminating"], "terminating>0 is invalid for finished job")
    uncounted = status.get("uncountedTerminatedPods") or {}
    if is_finished and (ends or changed("uncountedTerminatedPods")) and any(uncounted.values()):
        shown = {"Succeeded": uncounted.get("succeeded"), "Failed": uncounted.get("failed")}
        yield invalid_value("status.uncountedTerminatedPods", shown, "must be empty for finished job")
    ready = status.get("ready")
    if changed("ready", "active") and ready is not None and ready > (status.get("active") or 0):
        yield invalid_value("status.ready", ready, "cannot set more ready pods than active")
    yield from _job_indexes(spec, status, changed)
    is_indexed = spec.get("completionMode") == "Indexed"
    may_shrink = is_indexed and spec.get("completions") == spec.get("parallelism")
    for field in ("succeeded", "failed"):
        if (status.get(field) or 0) < (old.get(field) or 0) and not (field == "succeeded" and may_shrink):
            yield invalid_value(f"status.{field}", status.get(field) or 0, f"cannot decrease the {field} counter")
    for condition in ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"):
        if condition in was and condition not in now:
            yield _bare("status.conditions", f"cannot disable the terminal {condition}=True condition")


def _job_conditions(
    now: set[str], turned: Any, spec: dict[str, Any], *, has_failed_indexes_changed: bool
) -> Iterator[Cause]:
    path = "status.conditions"
    if turned("Complete", "Failed") and {"Complete", "Failed"} <= now:
        yield _bare(path, "cannot set Complete=True and Failed=true conditions")
    if turned("Complete", "FailureTarget") and {"Complete", "FailureTarget"} <= now:
        yield _bare(path, "cannot set Complete=True and FailureTarget=true conditions")
    if (turned("Failed") or has_failed_indexes_changed) and "Failed" in now and "FailureTarget" not in now:
        yield _bare(path, "cannot set Failed=True condition without the FailureTarget=true condition")
    if turned("Complete", "SuccessCriteriaMet") and "Complete" in now and "SuccessCriteriaMet" not in now:
        yield _bare(path, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
    for other in ("Failed", "FailureTarget"):
        if {"SuccessCriteriaMet", other} <= now:
            yield _bare(path, f"cannot set SuccessCriteriaMet=True and {other}=true conditions")
    if spec.get("successPolicy") is not None and "Complete" in now and "SuccessCriteriaMet" not in now:
        yield _bare(path, "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")


def _job_times(
    status: dict[str, Any], old: dict[str, Any], now: set[str], changed: Any, turned: Any
) -> Iterator[Cause]:
    start, end = status.get("startTime"), status.get("completionTime")
    if turned("Complete") or changed("completionTime"):
        if end is not None and "Complete" not in now:
            why = "cannot set completionTime when there is no Complete=True condition"
            yield invalid_value("status.completionTime", end, why)
        if end is None and "Complete" in now:
            yield required("status.completionTime", "completionTime is required for Complete jobs")
    if changed("startTime", "completionTime") and start and end and end < start:
        yield invalid_value("status.completionTime", end, "must be equal to or after `startTime`")
    if (turned("Complete", "Failed") or changed("startTime")) and start is None and now & {"Complete", "Failed"}:
        yield required("status.startTime", "startTime is required for finished job")
    if old.get("completionTime") and end != old["completionTime"]:
        yield invalid_value("status.completionTime", end, "completionTime cannot be mutated")


def _job_indexes(spec: dict[str, Any], status: dict[str, Any], changed: Any) -> Iterator[Cause]:
    completions, failed = spec.get("completions"), status.get("failedIndexes")
    complete = status.get("completedIndexes") or ""
    if changed("completedIndexes"):
        if completions is not None and (why := count_indexes(complete, completions)[1]):
            yield invalid_value("status.completedIndexes", complete, f"error parsing completedIndexes: {why}")
        if complete and spec.get("completionMode") != "Indexed":
            why = "cannot set non-empty completedIndexes when non-indexed completion mode"
            yield invalid_value("status.completedIndexes", complete, why)
    if changed("failedIndexes") and failed is not None:
        if spec.get("backoffLimitPerIndex") is None:
            why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
            yield invalid_value("status.failedIndexes", failed, why)
        elif completions is not None and (why := count_indexes(failed, completions)[1]):
            yield invalid_value("status.failedIndexes", failed, f"error parsing failedIndexes: {why}")
