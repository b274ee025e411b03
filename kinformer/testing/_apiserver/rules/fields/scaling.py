"""The rules for autoscalers, and for devices and the claims to them (pkg/apis/autoscaling and resource, validation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, one_of, required
from kinformer.testing._apiserver.rules.fields.scheduling import resource_name
from kinformer.testing._apiserver.rules.fields.terms import (
    always,
    among,
    among_if_given,
    at_least,
    cel_syntax,
    either,
    label,
    more_than,
    needed,
    number,
    on,
    path_segment,
    subdomain,
)
from kinformer.testing._apiserver.rules.names import qualified_faults
from kinformer.testing._apiserver.schemas.scalars import quantity_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.fields.terms import Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES"]

_SOURCES: Final = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_POSITIVE: Final = "must be greater than zero"
_LONGEST_WINDOW: Final = 3600
_LONGEST_PERIOD: Final = 1800
_NODES: Final = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


def _autoscaler(value: dict[str, Any], path: str) -> Iterator[Cause]:
    least, most = value.get("minReplicas", 1), value.get("maxReplicas") or 0
    if least < 1:
        yield invalid_value(f"{path}.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        if most == 0:
            yield required(f"{path}.maxReplicas", "must be set and greater than 0")
        else:
            yield invalid_value(f"{path}.maxReplicas", most, "must be greater than or equal to 1")
    if most < least:
        yield invalid_value(f"{path}.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    target = value.get("scaleTargetRef") or {}
    for field in ("kind", "name"):
        given, at = target.get(field), f"{path}.scaleTargetRef.{field}"
        if not given:
            yield required(at)
        else:
            yield from (invalid_value(at, given, f"may not contain '{one}'") for one in ("/", "%") if one in given)
    yield from _version(target.get("apiVersion") or "", f"{path}.scaleTargetRef.apiVersion", with_core=False)
    percent = value.get("targetCPUUtilizationPercentage")
    at = f"{path}.metrics[0].resource.target.averageUtilization"
    yield from more_than(0)(percent, at)
    for index, metric in enumerate(value.get("metrics") or ()):
        yield from _metric(metric, f"{path}.metrics[{index}]")


def _version(version: str, path: str, *, with_core: bool) -> Iterator[Cause]:
    """Judge the API version of an object that is named.

    Args:
        version: the version.
        path: its path.
        with_core: whether it may be of the core group.
    """
    if version.count("/") > 1:
        yield invalid_value(path, version, f"unexpected GroupVersion string: {version}")
    elif not with_core and not version.rpartition("/")[0] and version != "v1":
        yield invalid_value(path, version, "apiVersion must specify API group")


def _metric(metric: dict[str, Any], path: str) -> Iterator[Cause]:
    kind = metric.get("type") or ""
    if not kind:
        yield required(f"{path}.type", "must specify a metric source type")
    if kind not in _SOURCES:
        yield one_of(f"{path}.type", kind, tuple(_SOURCES))
    source = metric.get(_SOURCES.get(kind, ""))
    if kind in _SOURCES and source is None:
        yield required(f"{path}.{_SOURCES[kind]}", "must populate information for the given metric source")
    for one, field in _SOURCES.items():
        if metric.get(field) is not None and kind in _SOURCES and one != kind:
            why = "must populate the given metric source only"
            yield ("FieldValueForbidden", f"Forbidden: {why}", f"{path}.{field}")
    for one, field in _SOURCES.items():
        if metric.get(field) is not None:
            yield from _source(one, metric[field], f"{path}.{field}")


def _source(kind: str, source: dict[str, Any], path: str) -> Iterator[Cause]:
    target, at = source.get("target") or {}, f"{path}.target"
    if kind in {"Resource", "ContainerResource"} and not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    if kind in {"Pods", "Object", "External"}:
        name = (source.get("metric") or {}).get("name")
        yield from either(needed("must specify a metric name"), path_segment)(name, f"{path}.metric.name")
    yield from _named_source(kind, source, path)
    yield from _target(target, at)
    average, percent, value = (target.get(field) for field in ("averageValue", "averageUtilization", "value"))
    match kind:
        case "Resource" | "ContainerResource":
            if average is None and percent is None:
                why = "must set either a target raw value or a target utilization"
                yield required(f"{at}.averageUtilization", why)
            if average is not None and percent is not None:
                yield forbidden(f"{at}.averageValue", "may not set both a target raw value and a target utilization")
        case "Pods":
            if average is None or quantity_number(average) <= 0:
                yield required(f"{at}.averageValue", "must specify a positive target averageValue")
        case "Object" | "External":
            if value is None and average is None:
                why = "must set either a target value for metric or a per-pod target"
                yield required(f"{at}.averageValue", why)
            if kind == "External" and value is not None and average is not None:
                yield forbidden(f"{at}.value", "may not set both a target value for metric and a per-pod target")


def _named_source(kind: str, source: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the object, or the container, that a metric is of."""
    if kind == "Object":
        named = source.get("describedObject") or {}
        for field in ("kind", "name"):
            yield from either(needed(), path_segment)(named.get(field), f"{path}.describedObject.{field}")
        yield from _version(named.get("apiVersion") or "", f"{path}.describedObject.apiVersion", with_core=True)
    if kind == "ContainerResource":
        if source.get("name"):
            yield from resource_name(source["name"], f"{path}.name")
        yield from either(needed("must specify a container"), label)(source.get("container"), f"{path}.container")


def _target(target: dict[str, Any], path: str) -> Iterator[Cause]:
    kind = target.get("type") or ""
    if not kind:
        yield required(f"{path}.type", "must specify a metric target type")
    if kind not in {"Utilization", "Value", "AverageValue"}:
        yield invalid_value(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if target.get(field) is not None and quantity_number(target[field]) <= 0:
            yield invalid_value(f"{path}.{field}", target[field], "must be positive")
    yield from more_than(0)(target.get("averageUtilization"), f"{path}.averageUtilization")


def _scaling_rules(value: dict[str, Any], path: str) -> Iterator[Cause]:
    seconds, at = value.get("stabilizationWindowSeconds"), f"{path}.stabilizationWindowSeconds"
    yield from at_least(0, "must be greater than or equal to zero")(seconds, at)
    if seconds is not None and seconds > _LONGEST_WINDOW:
        yield invalid_value(at, seconds, f"must be less than or equal to {_LONGEST_WINDOW}")
    yield from among_if_given("Disabled", "Max", "Min")(value.get("selectPolicy"), f"{path}.selectPolicy")
    # An empty list is none, which gets the default.
    policies = value.get("policies")
    if policies is not None and not policies:
        yield required(f"{path}.policies", "must specify at least one Policy")
    tolerance = value.get("tolerance")
    if tolerance is not None and quantity_number(tolerance) < 0:
        yield invalid_value(f"{path}.tolerance", str(tolerance), "must be greater than or equal to 0")


def _scaling_policy(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from among("Percent", "Pods")(value.get("type"), f"{path}.type")
    yield from number(more_than(0, _POSITIVE))(value.get("value"), f"{path}.value")
    yield from number(more_than(0, _POSITIVE))(value.get("periodSeconds"), f"{path}.periodSeconds")
    if (value.get("periodSeconds") or 0) > _LONGEST_PERIOD:
        why = f"must be less than or equal to {_LONGEST_PERIOD}"
        yield invalid_value(f"{path}.periodSeconds", value["periodSeconds"], why)


def _requests(value: dict[str, Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, request in enumerate(value.get("requests") or ()):
        at, name = f"{path}.requests[{index}]", request.get("name") or ""
        yield from label(name, f"{at}.name")
        if request.get("exactly") is None and not request.get("firstAvailable"):
            yield required(at, "exactly one of `exactly` or `firstAvailable` is required")
        if name and name in seen:
            yield duplicate(at, name)
        seen.add(name)


def _slice(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from either(needed(), subdomain)(value.get("driver"), f"{path}.driver")
    pool = value.get("pool") or {}
    yield from either(needed(), subdomain)(pool.get("name"), f"{path}.pool.name")
    count, at = pool.get("resourceSliceCount"), f"{path}.pool.resourceSliceCount"
    yield from number(more_than(0, _POSITIVE))(count, at)
    why = "must be greater than or equal to zero"
    yield from at_least(0, why)(pool.get("generation"), f"{path}.pool.generation")
    name = value.get("nodeName")
    if name == "":
        yield invalid_value(f"{path}.nodeName", "", "must be either unset or set to a non-empty string")
    elif name is not None:
        yield from subdomain(name, f"{path}.nodeName")
    if not any(value.get(field) for field in _NODES):
        names = ", ".join(f"`{field}`" for field in _NODES)
        yield required(path, f"exactly one of {names} is required")
    seen: set[str] = set()
    for index, device in enumerate(value.get("devices") or ()):
        at, named = f"{path}.devices[{index}]", device.get("name") or ""
        yield from label(named, f"{at}.name")
        if named and named in seen:
            yield duplicate(at, named)
        seen.add(named)


def _extended_resource(value: Any, path: str) -> Iterator[Cause]:
    if value is not None and ("/" not in value or qualified_faults(value)):
        yield invalid_value(path, value, "must be a valid extended resource name")


_DEVICE_CLASS: Final = either(needed(), subdomain)
_COUNT: Final = more_than(0, _POSITIVE)

RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "autoscaling/v1.HorizontalPodAutoscalerSpec": (_autoscaler,),
    "autoscaling/v2.HorizontalPodAutoscalerSpec": (_autoscaler,),
    "autoscaling/v2.HPAScalingRules": (_scaling_rules,),
    "autoscaling/v2.HPAScalingPolicy": (_scaling_policy,),
    "resource/v1.DeviceClaim": (_requests,),
    "resource/v1.ExactDeviceRequest": (on("deviceClassName", _DEVICE_CLASS), on("count", _COUNT)),
    "resource/v1.DeviceSubRequest": (
        on("name", always(label)),
        on("deviceClassName", _DEVICE_CLASS),
        on("count", _COUNT),
    ),
    "resource/v1.CELDeviceSelector": (on("expression", always(cel_syntax)),),
    "resource/v1.DeviceClassSpec": (on("extendedResourceName", _extended_resource),),
    "resource/v1.DeviceSelector": (on("cel", lambda value, path: () if value is not None else (required(path),)),),
    "resource/v1.ResourceSliceSpec": (_slice,),
}
