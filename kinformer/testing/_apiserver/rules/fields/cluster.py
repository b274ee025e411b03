"""The rules for nodes, Events, limits, volumes and the kinds of storage (pkg/apis/core and storage, validation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, one_of, required
from kinformer.testing._apiserver.rules.fields.scheduling import resource_name
from kinformer.testing._apiserver.rules.fields.terms import (
    always,
    among_if_given,
    at_least,
    below,
    cidr,
    either,
    label,
    label_value,
    more_than,
    needed,
    on,
    qualified,
    subdomain,
    unique,
)
from kinformer.testing._apiserver.rules.names import qualified_faults
from kinformer.testing._apiserver.schemas.scalars import quantity, quantity_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.fields.terms import Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES", "quota_resource"]

_VOLUME_FIELDS: Final = {
    *("capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions"),
    *("volumeMode", "nodeAffinity", "volumeAttributesClassName"),
}
_COMPUTED: Final = {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
_QUOTAS: Final = _COMPUTED | {
    *("ephemeral-storage", "requests.storage", "requests.ephemeral-storage", "limits.ephemeral-storage", "pods"),
    *("resourcequotas", "services", "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps"),
    *("services.nodeports", "services.loadbalancers"),
}
"""The resources of quotas that need no domain (pkg/apis/core/helper, standardQuotaResources)."""

_QUOTAS_OF_SCOPES: Final = {
    "BestEffort": {"pods"},
    "VolumeAttributesClass": {"persistentvolumeclaims", "requests.storage"},
    **dict.fromkeys(
        ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity"),
        _COMPUTED | {"pods"},
    ),
}
"""The resources that a scope of a quota applies to (IsResourceQuotaScopeValidForResource)."""

_LIMITED: Final = ("Pod", "Container", "PersistentVolumeClaim")
_STANDARD_FINALIZERS: Final = {"kubernetes", "orphan", "foregroundDeletion"}
_WHOLE_SCOPES: Final = {"BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"}
_SYSTEM_CLASSES: Final = ("system-cluster-critical", "system-node-critical")
_HIGHEST_PRIORITY: Final = 1_000_000_000
"""The highest value of a class that is not the system's (pkg/apis/scheduling, HighestUserDefinablePriority)."""

_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def _claim(value: dict[str, Any], path: str) -> Iterator[Cause]:
    modes = value.get("accessModes") or []
    if not modes:
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    for mode in modes:
        if mode not in _MODES:
            yield one_of(f"{path}.accessModes", mode, _MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield forbidden(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")
    requests = (value.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        yield required(f"{path}.resources[storage]")
    for field in ("storageClassName", "volumeAttributesClassName"):
        if value.get(field):
            yield from subdomain(value[field], f"{path}.{field}")


def _volume(value: dict[str, Any], path: str) -> Iterator[Cause]:
    capacity = value.get("capacity")
    if not value.get("accessModes"):
        yield required(f"{path}.accessModes")
    for mode in value.get("accessModes") or ():
        if mode not in _MODES:
            yield one_of(f"{path}.accessModes", mode, _MODES)
    if not capacity:
        yield required(f"{path}.capacity")
    if not capacity or "storage" not in capacity or len(capacity) > 1:
        yield one_of(f"{path}.capacity", capacity, ("storage",))
    sources = [field for field in value if field not in _VOLUME_FIELDS]
    if not sources:
        yield required(path, "must specify a volume type")
    for source in sources[1:]:
        yield forbidden(f"{path}.{source}", "may not specify more than 1 volume type")
    if value.get("storageClassName"):
        yield from subdomain(value["storageClassName"], f"{path}.storageClassName")
    given = value.get("volumeAttributesClassName")
    if given is not None:
        if not given:
            yield required(f"{path}.volumeAttributesClassName", "an empty string is disallowed")
        else:
            yield from subdomain(given, f"{path}.volumeAttributesClassName")
        if "csi" not in value:
            why = "has to be specified when using volumeAttributesClassName"
            yield required(f"{path}.csi", why)


def _taints(value: dict[str, Any], path: str) -> Iterator[Cause]:
    del path
    seen: set[tuple[Any, Any]] = set()
    for index, taint in enumerate(value.get("taints") or ()):
        at = f"metadata.taints[{index}]"
        yield from always(qualified)(taint.get("key"), f"{at}.key")
        yield from label_value(taint.get("value"), f"{at}.value")
        if not taint.get("effect"):
            yield required(f"{at}.effect")
        one = (taint.get("key"), taint.get("effect"))
        if one in seen:
            shown = {"Key": one[0], "Value": taint.get("value", ""), "Effect": one[1], "TimeAdded": None}
            reason, message, _ = duplicate(at, shown)
            yield reason, f"{message}: taints must be unique by key and effect pair", at
        seen.add(one)


def _pod_networks(value: dict[str, Any], path: str) -> Iterator[Cause]:
    networks, first = value.get("podCIDRs") or [], value.get("podCIDR")
    if first and networks and networks[0] != first:
        # The one field is the first item of the other (Convert_v1_NodeSpec_To_core_NodeSpec).
        networks = [first]
    for index, network in enumerate(networks or ([first] if first else ())):
        yield from cidr(network, f"{path}.podCIDRs[{index}]")
    if len(networks) > 2 or (len(networks) == 2 and (":" in networks[0]) == (":" in networks[1])):
        yield invalid_value(f"{path}.podCIDRs", networks, "may specify no more than one CIDR for each IP family")


def _event_namespace(value: dict[str, Any], path: str, *, regarding: str) -> Iterator[Cause]:
    del path
    namespace = (value.get("metadata") or {}).get("namespace") or ""
    given = (value.get(regarding) or {}).get("namespace") or ""
    # Events of objects without a namespace are in this one.
    if namespace and given != namespace and not (namespace == "default" and not given):
        yield invalid_value("involvedObject.namespace", given, "does not match event.namespace")


def _core_event(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from _event_namespace(value, path, regarding="involvedObject")


def _new_event(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from _event_namespace(value, path, regarding="regarding")
    if not value.get("eventTime"):
        yield required("eventTime")
    controller = value.get("reportingController") or ""
    # With no time at all, it is an Event of the older form.
    if not value.get("eventTime") and not controller:
        if value.get("type") not in {"Normal", "Warning"}:
            yield invalid_value("type", "", f"has invalid value: {value.get('type') or ''}")
        return
    if not controller:
        yield required("reportingController")
    for fault in qualified_faults(controller):
        yield invalid_value("reportingController", controller, fault)
    for field in ("reportingInstance", "action", "reason"):
        if not value.get(field):
            yield required(field)
    if value.get("type") not in {"Normal", "Warning"}:
        yield invalid_value("type", "", f"has invalid value: {value.get('type') or ''}")
    for field, shown in (
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("deprecatedSource", "source"),
    ):
        if value.get(field):
            yield invalid_value(shown, "", "needs to be unset")


def _limits(value: dict[str, Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, limit in enumerate(value.get("limits") or ()):
        kind = limit.get("type") or ""
        at = f"{path}.limits[{index}]"
        found = [*always(qualified)(kind, f"{at}.type")]
        yield from found
        if not found and "/" not in kind and kind not in _LIMITED:
            yield invalid_value(f"{at}.type", kind, "must be a standard limit type or fully qualified")
        if kind in seen:
            yield duplicate(f"{at}.type", kind)
        seen.add(kind)
        if kind == "Pod":
            for field in ("default", "defaultRequest"):
                if limit.get(field):
                    yield forbidden(f"{at}.{field}", "may not be specified when `type` is 'Pod'")
        if kind == "PersistentVolumeClaim" and not any("storage" in (limit.get(one) or {}) for one in ("min", "max")):
            why = "either minimum or maximum storage value is required, but neither was provided"
            yield required(f"{at}.limits", why)
        yield from _bounds(limit, at, kind)


def _bounds(limit: dict[str, Any], path: str, kind: str) -> Iterator[Cause]:
    """Judge the bounds of a limit against each other, resource by resource."""
    fields = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"]
    given: dict[str, dict[str, Any]] = {field: limit.get(field) or {} for field in fields}
    if kind == "Pod":
        given |= {"default": {}, "defaultRequest": {}}
    elif kind == "Container":
        # Missing bounds follow from the other bounds (SetDefaults_LimitRangeItem).
        given["default"] = given["max"] | given["default"]
        given["defaultRequest"] = given["default"] | given["min"] | (limit.get("defaultRequest") or {})
    why = "must be a standard resource for containers" if kind in {"Pod", "Container"} else ""
    for field in fields:
        for name in sorted(given[field]):
            yield from resource_name(name, f"{path}.{field}[{name}]", why)
    for name in sorted({name for bounds in given.values() for name in bounds}):
        yield from _bounds_of(name, {field: given[field].get(name) for field in fields}, path)


def _bounds_of(name: str, given: dict[str, Any], path: str) -> Iterator[Cause]:
    texts = {field: None if bound is None else quantity(bound) for field, bound in given.items()}
    numbers = {field: None if bound is None else quantity_number(bound) for field, bound in given.items()}
    shown = {"min": "min", "max": "max", "default": "default", "defaultRequest": "default request"}

    def above(one: str, other: str, field: str, value: str, limit: str = "") -> Iterator[Cause]:
        first, second = numbers[one], numbers[other]
        if first is not None and second is not None and first > second:
            words = limit or shown[other]
            why = f"{shown[one]} value {texts[one]} is greater than {words} value {texts[other]}"
            yield invalid_value(f"{path}.{field}[{name}]", texts[value], why)

    yield from above("min", "max", "min", "min")
    yield from above("min", "defaultRequest", "defaultRequest", "defaultRequest")
    yield from above("defaultRequest", "max", "defaultRequest", "defaultRequest")
    yield from above("defaultRequest", "default", "defaultRequest", "defaultRequest", "default limit")
    yield from above("min", "default", "default", "min")
    yield from above("default", "max", "default", "max")
    ratio, least, most = numbers["maxLimitRequestRatio"], numbers["min"], numbers["max"]
    at = f"{path}.maxLimitRequestRatio[{name}]"
    if ratio is not None and ratio < 1:
        yield invalid_value(at, texts["maxLimitRequestRatio"], f"ratio {texts['maxLimitRequestRatio']} is less than 1")
    # The share is that of the sizes; Go writes its sign all the same.
    if ratio is not None and least and most is not None and ratio > abs(most / least):
        why = f"ratio {texts['maxLimitRequestRatio']} is greater than max/min = {most / least:f}"
        yield invalid_value(at, texts["maxLimitRequestRatio"], why)


def _topology(value: dict[str, Any], path: str) -> Iterator[Cause]:
    terms: list[Any] = []
    for index, term in enumerate(value.get("allowedTopologies") or ()):
        at = f"{path}allowedTopologies[{index}].matchLabelExpressions"
        expressions = term.get("matchLabelExpressions") or []
        keys: set[str] = set()
        for number, one in enumerate(expressions):
            key = one.get("key") or ""
            values = one.get("values") or []
            if not values:
                yield required(f"{at}[{number}].values")
            for position, text in enumerate(values):
                if text in values[:position]:
                    yield duplicate(f"{at}[{number}].values[{position}]", text)
            yield from always(qualified)(key, f"{at}[{number}].key")
            if key in keys:
                yield duplicate(f"{at}[{number}].key", key)
            keys.add(key)
        if not expressions or expressions in terms:
            yield duplicate(at, "")
        terms.append(expressions)


def _provisioner(name: str) -> Rule:
    def rule(value: dict[str, Any], path: str) -> Iterator[Cause]:
        given = value.get(name) or ""
        if not given:
            yield required(below(path, name))
            return
        for fault in qualified_faults(given.lower()):
            yield invalid_value(below(path, name), given.lower(), fault)

    return rule


def _audiences(value: dict[str, Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, token in enumerate(value.get("tokenRequests") or ()):
        at, audience = f"{path}.tokenRequests[{index}]", token.get("audience") or ""
        if audience in seen:
            yield duplicate(f"{at}.audience", audience)
        seen.add(audience)
        seconds = token.get("expirationSeconds")
        yield from at_least(600, "may not specify a duration less than 10 minutes")(seconds, f"{at}.expirationSeconds")


def _csi_driver_of_node(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from either(needed(), subdomain)(value.get("name"), f"{path}.name")
    yield from needed()(value.get("nodeID"), f"{path}.nodeID")
    seen: set[str] = set()
    for key in value.get("topologyKeys") or ():
        if not key:
            yield required(path)
        elif key in seen:
            yield duplicate(path, key)
        else:
            for fault in qualified_faults(key):
                yield invalid_value(path, key, fault)
        seen.add(key)


def _attachment(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from either(needed(), subdomain)(value.get("attacher"), f"{path}.attacher")
    source = value.get("source") or {}
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if (name is None) == (inline is None):
        yield required(f"{path}.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
    if name is not None:
        at = f"{path}.source.persistentVolumeName"
        if not name:
            yield required(at, "must specify non empty persistentVolumeName")
        yield from subdomain(name, at)
    yield from always(subdomain)(value.get("nodeName"), f"{path}.nodeName")


def _toleration_twice(value: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the tolerations of a runtime class, which pods with it get."""
    seen: list[Any] = []
    for index, one in enumerate(value.get("tolerations") or ()):
        at = f"{path}.tolerations[{index}]"
        yield from _toleration(one, at)
        if one in seen:
            fields = {"Key": "key", "Operator": "operator", "Value": "value", "Effect": "effect"}
            shown = {go: one.get(name, "") for go, name in fields.items()}
            yield duplicate(at, shown | {"TolerationSeconds": one.get("tolerationSeconds")})
        seen.append(one)


def _toleration(value: dict[str, Any], path: str) -> Iterator[Cause]:
    key, operator = value.get("key") or "", value.get("operator") or ""
    if key:
        yield from qualified(key, f"{path}.key")
    if not key and operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid_value(f"{path}.operator", operator, why)
    if value.get("tolerationSeconds") is not None and value.get("effect") != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield invalid_value(f"{path}.effect", value.get("effect") or "", why)
    if operator == "Exists" and value.get("value"):
        yield invalid_value(f"{path}.operator", value["value"], "value must be empty when `operator` is 'Exists'")


def quota_resource(name: str, path: str) -> Iterator[Cause]:
    """Judge the name of a resource that a quota counts."""
    yield from qualified(name, path)
    if "/" not in name and name not in _QUOTAS and "hugepages-" not in name:
        yield invalid_value(path, name, "must be a standard resource type or fully qualified")
        yield invalid_value(path, name, "must be a standard resource for quota")


def _quota(value: dict[str, Any], path: str) -> Iterator[Cause]:
    hard = value.get("hard") or {}
    for name in sorted(hard):
        at = f"{path}.hard[{name}]"
        yield from quota_resource(name, at)
        if quantity_number(hard[name]) < 0:
            yield invalid_value(at, str(hard[name]), "must be greater than or equal to 0")
    scopes = value.get("scopes") or []
    for scope in scopes:
        if scope not in _QUOTAS_OF_SCOPES:
            yield invalid_value(f"{path}.scopes", scopes, "unsupported scope")
            continue
        for _ in _QUOTAS.intersection(hard) - _QUOTAS_OF_SCOPES[scope]:
            yield invalid_value(f"{path}.scopes", scopes, "unsupported scope applied to resource")
    for one, other in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if one in scopes and other in scopes:
            yield invalid_value(f"{path}.scopes", scopes, "conflicting scopes")

    for requirement in (value.get("scopeSelector") or {}).get("matchExpressions") or ():
        yield from _scope(requirement, value, f"{path}.scopeSelector.matchExpressions")
    selected = {one.get("scopeName") for one in (value.get("scopeSelector") or {}).get("matchExpressions") or ()}
    for one, other in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if one in selected and other in selected:
            at = f"{path}.scopeSelector.matchExpressions"
            yield invalid_value(at, value.get("scopes"), "conflicting scopes")


def _scope(requirement: dict[str, Any], spec: dict[str, Any], path: str) -> Iterator[Cause]:
    name, operator = requirement.get("scopeName") or "", requirement.get("operator") or ""
    values = requirement.get("values") or []
    if name not in _QUOTAS_OF_SCOPES:
        yield invalid_value(f"{path}.scopeName", name, "unsupported scope")
    shown = [
        {"ScopeName": one.get("scopeName", ""), "Operator": one.get("operator", ""), "Values": one.get("values")}
        for one in spec["scopeSelector"]["matchExpressions"]
    ]
    for _ in _QUOTAS.intersection(spec.get("hard") or {}) - _QUOTAS_OF_SCOPES.get(name, _QUOTAS):
        yield invalid_value(path, {"MatchExpressions": shown}, "unsupported scope applied to resource")
    if name in _WHOLE_SCOPES and operator != "Exists":
        scopes = [
            f"ResourceQuotaScope{one}" for one in ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort")
        ]
        why = (
            f"must be 'Exists' when scope is any of {', '.join(scopes)} or ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        yield invalid_value(f"{path}.operator", operator, why)
    if operator in {"In", "NotIn"}:
        if not values:
            why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            yield required(f"{path}.values", why)
    elif operator in {"Exists", "DoesNotExist"}:
        if values:
            why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield invalid_value(f"{path}.values", values, why)
    else:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")


def _namespace(value: dict[str, Any], path: str) -> Iterator[Cause]:
    why = "name is neither a standard finalizer name nor is it fully qualified"
    for index, finalizer in enumerate(value.get("finalizers") or ()):
        at = f"{path}.finalizers[{index}]"
        yield from qualified(finalizer, at)
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            yield invalid_value(at, finalizer, why)


def _runtime_class(value: dict[str, Any], path: str) -> Iterator[Cause]:
    del path
    for name, amount in sorted(((value.get("overhead") or {}).get("podFixed") or {}).items()):
        at = f"overhead.limits[{name}]"
        yield from resource_name(name, at)
        if quantity_number(amount) < 0:
            yield invalid_value(at, str(amount), "must be greater than or equal to 0")
    for key, text in sorted(((value.get("scheduling") or {}).get("nodeSelector") or {}).items()):
        yield from qualified(key, "scheduling.nodeSelector")
        yield from label_value(text, "scheduling.nodeSelector")


def _parameters(value: Any, path: str) -> Iterator[Cause]:
    if "" in (value or {}):
        yield invalid_value(path, "", "field can not be empty.")


def _series(value: dict[str, Any], path: str) -> Iterator[Cause]:
    del path
    series = value.get("series")
    if value.get("eventTime") and series is not None:
        if (series.get("count") or 0) < 2:
            yield invalid_value("series.count", "", "should be at least 2")
        if not series.get("lastObservedTime"):
            yield required("series.lastObservedTime")
    if value.get("eventTime"):
        for field, most in (("reportingInstance", 128), ("action", 128), ("reason", 128), ("note", 1024)):
            if len((value.get(field) or "").encode()) > most:
                yield invalid_value(
                    field, "", f"can have at most {most} {'bytes' if field == 'note' else 'characters'}"
                )


def _priority_class(value: dict[str, Any], path: str) -> Iterator[Cause]:
    del path
    name, number = (value.get("metadata") or {}).get("name") or "", value.get("value") or 0
    if name in _SYSTEM_CLASSES:
        return
    if name.startswith("system-"):
        why = "priority class names with 'system-' prefix are reserved for system use only. error: "
        yield forbidden("metadata.name", f"{why}{name} is not a known system priority class")
    elif number > _HIGHEST_PRIORITY:
        yield forbidden("value", f"maximum allowed value of a user defined priority is {_HIGHEST_PRIORITY}")


RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "core/v1.PersistentVolumeClaimSpec": (_claim,),
    "core/v1.PersistentVolumeSpec": (_volume,),
    "core/v1.NodeSpec": (_taints, _pod_networks),
    "core/v1.NamespaceSpec": (_namespace,),
    "core/v1.Event": (_core_event,),
    "events/v1.Event": (_new_event, _series),
    "core/v1.LimitRangeSpec": (_limits,),
    "core/v1.ResourceQuotaSpec": (_quota,),
    "scheduling/v1.PriorityClass": (_priority_class,),
    "storage/v1.StorageClass": (_provisioner("provisioner"), on("parameters", _parameters), _topology),
    "storage/v1.CSIDriverSpec": (
        on("fsGroupPolicy", among_if_given("File", "None", "ReadWriteOnceWithFSType")),
        on("nodeAllocatableUpdatePeriodSeconds", at_least(10, "must be greater than or equal to 10 seconds")),
        _audiences,
    ),
    "storage/v1.CSINodeSpec": (on("drivers", unique("name")),),
    "storage/v1.CSINodeDriver": (_csi_driver_of_node,),
    "storage/v1.VolumeNodeResources": (on("count", at_least(0)),),
    "storage/v1.CSIStorageCapacity": (on("storageClassName", always(subdomain)),),
    "storage/v1.VolumeAttachmentSpec": (_attachment,),
    "storage/v1.VolumeAttributesClass": (
        _provisioner("driverName"),
        on("parameters", needed("must contain at least one key/value pair")),
    ),
    "node/v1.RuntimeClass": (on("handler", either(needed(), label)), _runtime_class),
    "node/v1.Scheduling": (_toleration_twice,),
    "coordination/v1.LeaseSpec": (
        on("leaseDurationSeconds", more_than(0)),
        on("leaseTransitions", at_least(0)),
    ),
}
