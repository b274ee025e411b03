"""The rules for the structs of pods (pkg/apis/core/validation). `pod_validation` has those that span several fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kinformer.testing._apiserver.rules.causes import duplicate, invalid_value, one_of, required
from kinformer.testing._apiserver.rules.fields.terms import (
    always,
    among,
    among_if_given,
    at_least,
    below,
    between,
    config_key,
    domain_path,
    either,
    ip,
    label,
    label_value,
    more_than,
    needed,
    number,
    on,
    qualified,
    subdomain,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.fields.terms import Check, Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES"]

_MOST: Final = 2**31 - 1
_ID: Final = between(0, _MOST)
_MODE: Final = between(0, 0o777, "must be a number between 0 and 0777 (octal), both inclusive")
_POSITIVE: Final = "must be greater than zero"
_UNJUDGED: Final = ".metric.selector"
"""The selector that is the metrics server's own."""

_FIELD_LABELS: Final = (
    *("metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"),
    *("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName", "spec.hostNetwork"),
    *("status.phase", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
)


def _service_account(value: dict[str, Any], path: str) -> Iterator[Cause]:
    # The older name of the field is the same field.
    name = value.get("serviceAccountName") or value.get("serviceAccount")
    yield from subdomain(name, below(path, "serviceAccountName"))


def _spread(value: dict[str, Any], path: str) -> Iterator[Cause]:
    seen: list[tuple[Any, Any]] = []
    found = value.get("topologySpreadConstraints") or ()
    for constraint in found:
        one = (constraint.get("topologyKey"), constraint.get("whenUnsatisfiable"))
        if one in seen:
            at = f"{path}.topologySpreadConstraints[{seen.index(one)}].{{topologyKey, whenUnsatisfiable}}"
            yield duplicate(at, f"{{{one[0]}, {one[1]}}}")
        seen.append(one)


def _secret_key(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from always(subdomain)(value.get("name"), f"{path}.name")
    yield from either(needed(), config_key)(value.get("key"), f"{path}.key")


def _field_reference(value: dict[str, Any], path: str) -> Iterator[Cause]:
    field, version = value.get("fieldPath") or "", value.get("apiVersion") or "v1"
    at = f"{path}.fieldPath"
    if not field:
        yield required(at)
    elif version != "v1":
        yield invalid_value(at, field, f"error converting fieldPath: unsupported pod version: {version}")
    elif field.partition("[")[0] not in _FIELD_LABELS:
        yield invalid_value(at, field, f"error converting fieldPath: field label not supported: {field}")


def _lifecycle(value: dict[str, Any], path: str) -> Iterator[Cause]:
    for field in ("postStart", "preStop"):
        handler = value.get(field)
        if handler is not None and not any(
            handler.get(one) is not None for one in ("exec", "httpGet", "sleep", "tcpSocket")
        ):
            yield required(f"{path}.{field}", "must specify a handler type")


def _probes(value: dict[str, Any], path: str) -> Iterator[Cause]:
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        grace = (value.get(field) or {}).get("terminationGracePeriodSeconds")
        at = f"{path}.{field}.terminationGracePeriodSeconds"
        yield from more_than(0)(grace, at)
        if grace is not None and field == "readinessProbe":
            yield invalid_value(at, grace, "must not be set for readinessProbes")


def _mount(value: dict[str, Any], path: str) -> Iterator[Cause]:
    # Kubernetes leaves the position of the mount out.
    whole = path.rpartition("[")[0]
    yield from among_if_given("Disabled", "Enabled", "IfPossible")(
        value.get("recursiveReadOnly"), f"{whole}.recursiveReadOnly"
    )


def _node_requirement(value: dict[str, Any], path: str) -> Iterator[Cause]:
    operator, values = value.get("operator") or "", value.get("values") or []
    if operator in {"In", "NotIn"} and not values:
        yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in {"Exists", "DoesNotExist"} and values:
        why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield ("FieldValueForbidden", f"Forbidden: {why}", f"{path}.values")
    elif operator in {"Gt", "Lt"} and len(values) != 1:
        yield required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    elif operator not in {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"}:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")


def _label_requirement(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if _UNJUDGED in path:
        return
    operator, values = value.get("operator") or "", value.get("values") or []
    if operator in {"In", "NotIn"} and not values:
        yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in {"Exists", "DoesNotExist"} and values:
        why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield ("FieldValueForbidden", f"Forbidden: {why}", f"{path}.values")
    elif operator not in {"In", "NotIn", "Exists", "DoesNotExist"}:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")
    yield from always(qualified)(value.get("key"), f"{path}.key")


def _match_labels(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if _UNJUDGED in path:
        return
    for key, text in sorted((value.get("matchLabels") or {}).items()):
        yield from qualified(key, f"{path}.matchLabels")
        yield from label_value(text, f"{path}.matchLabels")


def _container_restart(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from among_if_given("Always", "Never", "OnFailure")(value.get("restartPolicy"), f"{path}.restartPolicy")


def _indexed(value: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the fields that only a job with an index for each pod has."""
    per_index, most = value.get("backoffLimitPerIndex"), value.get("maxFailedIndexes")
    if most is not None and per_index is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if value.get("completionMode") != "Indexed":
        for field, given in (("backoffLimitPerIndex", per_index), ("maxFailedIndexes", most)):
            if given is not None:
                yield invalid_value(f"{path}.{field}", given, "requires indexed completion mode")


def _daemon_set_strategy(value: dict[str, Any], path: str) -> Iterator[Cause]:
    strategy = value.get("updateStrategy") or {}
    kind = strategy.get("type") or "RollingUpdate"
    if kind not in {"RollingUpdate", "OnDelete"}:
        shown = {"Type": kind, "RollingUpdate": strategy.get("rollingUpdate")}
        yield one_of(f"{path}.updateStrategy", shown, ("RollingUpdate", "OnDelete"))


def _claim_templates(value: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the names of claims, which are volumes of the pods."""
    for index, claim in enumerate(value.get("volumeClaimTemplates") or ()):
        at, name = f"{path}.template.spec.volumes[{index}]", (claim.get("metadata") or {}).get("name") or ""
        if not name:
            yield required(f"{at}.persistentVolumeClaim.claimName")
            yield required(f"{at}.name")
        else:
            yield from label(name, f"{at}.name")


def _time_zone(value: dict[str, Any], path: str) -> Iterator[Cause]:
    given = value.get("timeZone")
    if given is None:
        return
    at = f"{path}.timeZone"
    if not given:
        yield invalid_value(at, given, "timeZone must be nil or non-empty string")
    elif given == "Local":
        yield invalid_value(
            at, given, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        )
    else:
        try:
            ZoneInfo(given)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield invalid_value(at, given, f"unknown time zone {given}")


_TOPOLOGY_KEY: Final[Check] = needed("can not be empty")
_CONTAINER: Final[tuple[Rule, ...]] = (_probes, _container_restart)
_NODE_TERMS: Final = on("nodeSelectorTerms", needed("must have at least one node selector term"))

RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "core/v1.PodSpec": (
        _service_account,
        on("nodeName", subdomain),
        on("hostnameOverride", subdomain),
        _spread,
    ),
    "core/v1.Container": _CONTAINER,
    "core/v1.EphemeralContainerCommon": (_probes,),
    "core/v1.SecretKeySelector": (_secret_key,),
    "core/v1.ConfigMapKeySelector": (_secret_key,),
    "core/v1.ObjectFieldSelector": (_field_reference,),
    "core/v1.Lifecycle": (_lifecycle,),
    "core/v1.ExecAction": (on("command", needed()),),
    "core/v1.VolumeMount": (_mount,),
    "core/v1.SecurityContext": (on("runAsUser", _ID), on("runAsGroup", _ID)),
    "core/v1.PodSecurityContext": (
        on("fsGroup", _ID),
        on("runAsUser", _ID),
        on("runAsGroup", _ID),
        on("seLinuxChangePolicy", among_if_given("Recursive")),
    ),
    "core/v1.NodeSelector": (_NODE_TERMS,),
    "core/v1.NodeSelectorRequirement": (_node_requirement, on("key", always(qualified))),
    "core/v1.PodAffinityTerm": (on("topologyKey", _TOPOLOGY_KEY, always(qualified)),),
    "core/v1.PreferredSchedulingTerm": (on("weight", number(between(1, 100, "must be in the range 1-100"))),),
    "core/v1.WeightedPodAffinityTerm": (on("weight", number(between(1, 100, "must be in the range 1-100"))),),
    "core/v1.TopologySpreadConstraint": (
        on("maxSkew", number(more_than(0, _POSITIVE))),
        on("topologyKey", _TOPOLOGY_KEY),
        on("whenUnsatisfiable", among("DoNotSchedule", "ScheduleAnyway")),
        on("minDomains", more_than(0, _POSITIVE)),
    ),
    "core/v1.HostAlias": (on("ip", always(ip)),),
    "core/v1.PodDNSConfigOption": (
        lambda value, path: () if value.get("name") else (required(path, "must not be empty"),),
    ),
    "core/v1.ConfigMapVolumeSource": (on("name", needed()), on("defaultMode", _MODE)),
    "core/v1.SecretVolumeSource": (on("secretName", needed()), on("defaultMode", _MODE)),
    "core/v1.DownwardAPIVolumeSource": (on("defaultMode", _MODE),),
    "core/v1.ProjectedVolumeSource": (on("defaultMode", _MODE),),
    "core/v1.PersistentVolumeClaimVolumeSource": (on("claimName", needed()),),
    "core/v1.HostPathVolumeSource": (on("path", needed()),),
    "core/v1.KeyToPath": (on("key", needed()), on("path", needed()), on("mode", _MODE)),
    "core/v1.NFSVolumeSource": (on("server", needed()), on("path", needed())),
    "core/v1.PodReadinessGate": (on("conditionType", always(qualified)),),
    "core/v1.SleepAction": (on("seconds", number(at_least(0))),),
    "apis/meta/v1.LabelSelector": (_match_labels,),
    "apis/meta/v1.LabelSelectorRequirement": (_label_requirement,),
    "batch/v1.JobSpec": (
        on("backoffLimitPerIndex", at_least(0)),
        on("maxFailedIndexes", at_least(0)),
        _indexed,
        on("managedBy", domain_path),
    ),
    "apps/v1.StatefulSetSpec": (
        on("serviceName", lambda value, path: label(value or None, path)),
        _claim_templates,
        lambda value, path: (
            ()
            if value.get("podManagementPolicy") in {None, "", "OrderedReady", "Parallel"}
            else (
                invalid_value(
                    f"{path}.podManagementPolicy",
                    value["podManagementPolicy"],
                    "must be 'OrderedReady' or 'Parallel'",
                ),
            )
        ),
    ),
    "batch/v1.CronJobSpec": (_time_zone,),
    "apps/v1.DaemonSetSpec": (_daemon_set_strategy,),
    "apps/v1.ControllerRevision": (
        on("data", lambda value, path: () if value is not None else (required(path, "data is mandatory"),)),
        on("revision", at_least(0)),
    ),
    "core/v1.ReplicationControllerSpec": (
        on("minReadySeconds", at_least(0)),
        on("replicas", at_least(0)),
    ),
}
