"""The rules for pods and pod templates that people meet first (pkg/apis/core/validation, ValidatePodSpec).

The rules see a pod as it was sent: fields with defaults may be absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import (
    duplicate,
    forbidden,
    invalid_value,
    missing,
    one_of,
    required,
)
from kinformer.testing._apiserver.rules.fields.scheduling import resource_name
from kinformer.testing._apiserver.rules.names import (
    label_faults,
    label_value_faults,
    port_name_faults,
    qualified_faults,
)
from kinformer.testing._apiserver.schemas.scalars import quantity_number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from decimal import Decimal

    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_pod_spec"]

_RESTARTS: Final = ("Always", "OnFailure", "Never")
_DNS: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PULLS: Final = ("Always", "IfNotPresent", "Never")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc")
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_LISTS: Final = ("initContainers", "containers")
_VARIABLE_RULE: Final = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)
_NOT_NEGATIVE: Final = "must be greater than or equal to 0"
_PORT: Final = "must be between 1 and 65535, inclusive"


def check_pod_spec(spec: dict[str, Any], path: str, *, named: bool = True, claims: Collection[str] = ()) -> list[Cause]:
    """Return the causes why the spec of a pod, or of a template, is refused.

    Args:
        spec: the spec.
        path: its path.
        named: whether its pods have the hostname of the spec; those of a StatefulSet get others.
        claims: the volumes that its pods have beside those of the spec: the claims of a StatefulSet.
    """
    volumes = [*claims, *(volume.get("name") for volume in spec.get("volumes") or ())]
    causes = [*_volumes(spec, path), *_tokens(spec, path)]
    if not spec.get("containers"):
        causes.append(required(f"{path}.containers"))
    seen: set[str] = set()
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            causes += _container(container, f"{path}.{field}[{index}]", volumes, seen)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        if (name := container.get("name")) in seen:
            causes.append(duplicate(f"{path}.ephemeralContainers[{index}].name", name))
        seen.add(name)
    causes += _scalars(spec, path, named=named)
    causes += _node_selector(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        causes += _toleration(toleration, f"{path}.tolerations[{index}]")
    return causes


def _scalars(spec: dict[str, Any], path: str, *, named: bool) -> Iterator[Cause]:
    restart, dns = spec.get("restartPolicy"), spec.get("dnsPolicy")
    if restart and restart not in _RESTARTS:
        yield one_of(f"{path}.restartPolicy", restart, _RESTARTS)
    if dns and dns not in _DNS:
        yield one_of(f"{path}.dnsPolicy", dns, _DNS)
    for field in ("hostname", "subdomain") if named else ():
        for fault in label_faults(spec[field]) if spec.get(field) else ():
            yield invalid_value(f"{path}.{field}", spec[field], fault)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        # A negative one counts as 1 (SetDefaults_PodSpec); only its size is judged.
        return
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        why = "must be between 1 and 2147483647, inclusive"
        yield invalid_value(f"{path}.activeDeadlineSeconds", deadline, why)


def _tokens(spec: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the tokens in volumes of a pod that names no account."""
    if path != "spec" or spec.get("serviceAccountName") or spec.get("serviceAccount"):
        return
    for index, volume in enumerate(spec.get("volumes") or ()):
        for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                at = f"{path}.volumes[{index}].projected.sources[{number}].serviceAccountToken"
                yield forbidden(at, "must not be specified when serviceAccountName is not set")


def _volumes(spec: dict[str, Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        name, at = volume.get("name") or "", f"{path}.volumes[{index}]"
        sources = [field for field in volume if field != "name"]
        for source in sources[1:]:
            yield forbidden(f"{at}.{source}", "may not specify more than 1 volume type")
        if not name:
            yield required(f"{at}.name")
        elif name in seen:
            yield duplicate(f"{at}.name", name)
        else:
            for fault in label_faults(name):
                yield invalid_value(f"{at}.name", name, fault)
        seen.add(name)


def _container(container: dict[str, Any], path: str, volumes: list[str | None], seen: set[str]) -> Iterator[Cause]:
    name, pull = container.get("name") or "", container.get("imagePullPolicy")
    if not name:
        yield required(f"{path}.name")
    else:
        for fault in label_faults(name):
            yield invalid_value(f"{path}.name", name, fault)
    if name and name in seen:
        yield duplicate(f"{path}.name", name)
    seen.add(name)
    image = container.get("image") or ""
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip() and path.startswith("spec.") and "template" not in path:
        # Templates are older than the rule (validateContainersOnlyForPod).
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from _ports(container, path)
    yield from _environment(container, path)
    yield from _mounts(container, path, volumes)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            yield from _probe(container[probe], f"{path}.{probe}", liveness=probe != "readinessProbe")
    if pull and pull not in _PULLS:
        yield one_of(f"{path}.imagePullPolicy", pull, _PULLS)
    yield from _resources(container.get("resources") or {}, f"{path}.resources")


def _ports(container: dict[str, Any], path: str) -> Iterator[Cause]:
    names: set[str] = set()
    for index, port in enumerate(container.get("ports") or ()):
        at, name, number = f"{path}.ports[{index}]", port.get("name"), port.get("containerPort") or 0
        if name:
            for fault in port_name_faults(name):
                yield invalid_value(f"{at}.name", name, fault)
            if name in names:
                yield duplicate(f"{at}.name", name)
            names.add(name)
        if number == 0:
            yield required(f"{at}.containerPort")
        elif not 1 <= number <= 65535:
            yield invalid_value(f"{at}.containerPort", number, _PORT)
        host = port.get("hostPort") or 0
        if host and not 1 <= host <= 65535:
            yield invalid_value(f"{at}.hostPort", host, _PORT)
        if port.get("protocol") and port["protocol"] not in _PROTOCOLS:
            yield one_of(f"{at}.protocol", port["protocol"], _PROTOCOLS)


def _environment(container: dict[str, Any], path: str) -> Iterator[Cause]:
    for index, variable in enumerate(container.get("env") or ()):
        at, name = f"{path}.env[{index}]", variable.get("name") or ""
        if not name:
            yield required(f"{at}.name")
        elif "=" in name or not (name.isascii() and name.isprintable()):
            yield invalid_value(f"{at}.name", name, _VARIABLE_RULE)
        source = variable.get("valueFrom")
        if source is not None:
            if not source:
                known = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
                yield invalid_value(f"{at}.valueFrom", "", f"must specify one of: {known}")
            elif len(source) > 1:
                yield invalid_value(f"{at}.valueFrom", "", "may not have more than one field specified at a time")
            elif variable.get("value"):
                yield invalid_value(f"{at}.valueFrom", "", "may not be specified when `value` is not empty")


def _mounts(container: dict[str, Any], path: str, volumes: list[str | None]) -> Iterator[Cause]:
    places: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        at, name, place = f"{path}.volumeMounts[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{at}.name")
        elif name not in volumes:
            yield missing(f"{at}.name", name)
        if not place:
            yield required(f"{at}.mountPath")
        elif place in places:
            yield invalid_value(f"{at}.mountPath", place, "must be unique")
        places.add(place)


def _probe(probe: dict[str, Any], path: str, *, liveness: bool) -> Iterator[Cause]:
    handlers = [handler for handler in _HANDLERS if probe.get(handler) is not None]
    for handler in handlers[1:]:
        yield forbidden(f"{path}.{handler}", "may not specify more than 1 handler type")
    if not handlers:
        yield required(path, "must specify a handler type")
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if (probe.get(field) or 0) < 0:
            yield invalid_value(f"{path}.{field}", probe[field], _NOT_NEGATIVE)
    if liveness and (probe.get("successThreshold") or 1) != 1 and (probe.get("successThreshold") or 1) > 0:
        yield invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _resources(resources: dict[str, Any], path: str) -> Iterator[Cause]:
    limits = resources.get("limits") or {}
    # A limit is a request, too, where there is no other (SetDefaults_Pod).
    requests = limits | (resources.get("requests") or {})
    for field, given in (("limits", limits), ("requests", requests)):
        for name, text in given.items():
            number = quantity_number(text)
            yield from resource_name(name, f"{path}.{field}[{name}]")
            if number < 0:
                yield invalid_value(f"{path}.{field}[{name}]", text, _NOT_NEGATIVE)
            elif "/" in name and number != number.to_integral_value():
                yield invalid_value(f"{path}.{field}[{name}]", text, "must be an integer")
    for name in sorted(requests.keys() & limits.keys()):
        limit: Decimal = quantity_number(limits[name])
        if quantity_number(requests[name]) > limit:
            why = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid_value(f"{path}.requests", requests[name], why)


def _node_selector(selector: dict[str, str], path: str) -> Iterator[Cause]:
    for key, value in selector.items():
        for fault in qualified_faults(key):
            yield invalid_value(path, key, fault)
        for fault in label_value_faults(value):
            yield invalid_value(path, value, fault)


def _toleration(toleration: dict[str, Any], path: str) -> Iterator[Cause]:
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    value, effect = toleration.get("value") or "", toleration.get("effect") or ""
    for fault in qualified_faults(key) if key else ():
        yield invalid_value(f"{path}.key", key, fault)
    if not key and operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid_value(f"{path}.operator", operator, why)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield invalid_value(f"{path}.effect", effect, why)
    if operator == "Exists" and value:
        yield invalid_value(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
    elif operator not in {"", "Equal", "Exists"}:
        yield one_of(f"{path}.operator", operator, ("Equal", "Exists"))
    if effect and effect not in _EFFECTS:
        yield one_of(f"{path}.effect", effect, _EFFECTS)
