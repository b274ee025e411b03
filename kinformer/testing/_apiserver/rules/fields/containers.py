"""The rules for the containers of pods and for security contexts (pkg/apis/core/validation)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import (
    duplicate,
    forbidden,
    invalid_value,
    missing,
    one_of,
    required,
    too_many,
)
from kinformer.testing._apiserver.rules.fields.terms import (
    between,
    each,
    either,
    label,
    needed,
    number,
    on,
    subdomain,
)
from kinformer.testing._apiserver.rules.fields.volumes import no_way_up, resource_field
from kinformer.testing._apiserver.rules.names import port_name_faults

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kinformer.testing._apiserver.rules.fields.terms import Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES"]

_ID: Final = between(0, 2**31 - 1)
_VARIABLE_RULE: Final = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)
_HEADER: Final = "[-A-Za-z0-9]+"
_HEADER_RULE: Final = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    f"validation is '{_HEADER}')"
)
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_NOT_OF_INIT: Final = "may not be set for init containers without restartPolicy=Always"
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_SYSCTL: Final = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL_RULE: Final = f"must have at most 253 characters and match regex ^{_SYSCTL}$"
_MOST_SYSCTL: Final = 253
_IPC_SYSCTLS: Final = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")
_RESTART_ACTIONS: Final = ("Restart", "RestartAllContainers")
_MOST_RESTART_RULES: Final = 20
_DEFAULT_GRACE: Final = 30
_NOT_EPHEMERAL: Final = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources")
_ALL_LISTS: Final = ("containers", "initContainers", "ephemeralContainers")
_NAMED_PORT: Final = "must be between 1 and 65535, inclusive"


def port_or_name(value: Any, path: str) -> Iterable[Cause]:
    """A number of a port, or the name of one."""
    if isinstance(value, str):
        return [invalid_value(path, value, fault) for fault in port_name_faults(value)]
    return number(between(1, 65535, _NAMED_PORT))(value, path)


def _environment_sources(value: dict[str, Any], path: str) -> Iterator[Cause]:
    for index, source in enumerate(value.get("envFrom") or ()):
        at, prefix = f"{path}.envFrom[{index}]", source.get("prefix") or ""
        if prefix and ("=" in prefix or not (prefix.isascii() and prefix.isprintable())):
            yield invalid_value(f"{at}.prefix", prefix, _VARIABLE_RULE)
        given = [field for field in ("configMapRef", "secretRef") if source.get(field) is not None]
        for field in given:
            yield from either(needed(), subdomain)(source[field].get("name"), f"{at}.{field}.name")
        if not given:
            yield invalid_value(f"{path}.envFrom", "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield invalid_value(f"{path}.envFrom", "", "may not have more than one field specified at a time")


def _environment(value: dict[str, Any], path: str) -> Iterator[Cause]:
    for index, variable in enumerate(value.get("env") or ()):
        source = variable.get("valueFrom") or {}
        at = f"{path}.env[{index}].valueFrom"
        if source.get("resourceFieldRef") is not None:
            yield from resource_field(source["resourceFieldRef"], f"{at}.resourceFieldRef")
        if (file := source.get("fileKeyRef")) is not None:
            yield from needed()(file.get("key"), f"{at}.fileKeyRef.key")
            yield from either(needed(), label)(file.get("volumeName"), f"{at}.fileKeyRef.volumeName")
            yield from either(needed(), no_way_up)(file.get("path"), f"{at}.fileKeyRef.path")


def _mounts(value: dict[str, Any], path: str) -> Iterator[Cause]:
    # Kubernetes leaves the position of the mount out of some paths.
    mounts = f"{path}.volumeMounts"
    is_privileged = bool((value.get("securityContext") or {}).get("privileged"))
    devices = {device.get("name"): device.get("devicePath") for device in value.get("volumeDevices") or ()}
    for index, mount in enumerate(value.get("volumeMounts") or ()):
        at, sub, expression = f"{mounts}[{index}]", mount.get("subPath") or "", mount.get("subPathExpr") or ""
        if mount.get("name") in devices:
            yield invalid_value(f"{at}.name", mount.get("name") or "", "must not already exist in volumeDevices")
        if mount.get("mountPath") in devices.values():
            why = "must not already exist as a path in volumeDevices"
            yield invalid_value(f"{at}.mountPath", mount.get("mountPath") or "", why)
        yield from _descending(sub, f"{mounts}.subPath")
        if sub and expression:
            yield invalid_value(f"{at}.subPathExpr", expression, "subPathExpr and subPath are mutually exclusive")
        yield from _descending(expression, f"{mounts}.subPathExpr")
        if mount.get("mountPropagation") == "Bidirectional" and not is_privileged:
            why = "Bidirectional mount propagation is available only to privileged containers"
            yield forbidden(f"{mounts}.mountPropagation", why)
        if mount.get("recursiveReadOnly") in {"Enabled", "IfPossible"}:
            if not mount.get("readOnly"):
                yield forbidden(f"{mounts}.recursiveReadOnly", "may only be specified when readOnly is true")
            if mount.get("mountPropagation") not in {None, "None"}:
                why = "may only be specified when mountPropagation is None or not specified"
                yield forbidden(f"{mounts}.recursiveReadOnly", why)


def _descending(value: str, path: str) -> Iterator[Cause]:
    if value.startswith("/"):
        yield invalid_value(path, value, "must be a relative path")
    yield from no_way_up(value, path)


def _devices(value: dict[str, Any], path: str) -> Iterator[Cause]:
    names: set[str] = set()
    places: set[str] = set()
    mounts = {mount.get("name"): mount.get("mountPath") for mount in value.get("volumeMounts") or ()}
    for index, device in enumerate(value.get("volumeDevices") or ()):
        at, name, place = f"{path}.volumeDevices[{index}]", device.get("name") or "", device.get("devicePath") or ""
        if not name:
            yield required(f"{at}.name")
        if name in names:
            yield invalid_value(f"{at}.name", name, "must be unique")
        if not place:
            yield required(f"{at}.devicePath")
        if place in places:
            yield invalid_value(f"{at}.devicePath", place, "must be unique")
        if ".." in place.split("/"):
            yield invalid_value(f"{at}.devicePath", place, "can not contain backsteps ('..')")
        else:
            places.add(place)
        if name in mounts:
            yield invalid_value(f"{at}.name", name, "must not already exist in volumeMounts")
        if place in mounts.values():
            yield invalid_value(f"{at}.devicePath", place, "must not already exist as a path in volumeMounts")
        if name:
            names.add(name)


def _resize(value: dict[str, Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    # Kubernetes names the list, not its item.
    at = f"{path}.resizePolicy"
    for index, policy in enumerate(value.get("resizePolicy") or ()):
        resource, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if resource in seen:
            yield duplicate(f"{at}[{index}]", resource)
        seen.add(resource)
        for given, allowed in ((resource, ("cpu", "memory")), (restart, ("NotRequired", "RestartContainer"))):
            if not given:
                yield required(at)
            elif given not in allowed:
                yield one_of(at, given, allowed)


def _restart_rules(value: dict[str, Any], path: str) -> Iterator[Cause]:
    rules = value.get("restartPolicyRules") or []
    if rules and value.get("restartPolicy") is None:
        yield required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
        if ".initContainers[" in path:
            return
    if len(rules) > _MOST_RESTART_RULES:
        yield too_many(f"{path}.restartPolicyRules", len(rules), _MOST_RESTART_RULES)
    for index, rule in enumerate(rules):
        at, codes = f"{path}.restartPolicyRules[{index}]", rule.get("exitCodes")
        if rule.get("action") not in _RESTART_ACTIONS:
            yield one_of(f"{at}.action", rule.get("action") or "", _RESTART_ACTIONS)
        if codes is None:
            yield required(f"{at}.exitCodes", "must be specified")
        elif codes.get("operator") not in {"In", "NotIn"}:
            yield one_of(f"{at}.exitCodes.operator", codes.get("operator") or "", ("In", "NotIn"))


def _claims(value: dict[str, Any], path: str) -> Iterator[Cause]:
    seen: set[tuple[str, str]] = set()
    for index, claim in enumerate(value.get("claims") or ()):
        at, name, request = f"{path}.claims[{index}]", claim.get("name") or "", claim.get("request") or ""
        if not name:
            yield required(at)
            continue
        one, all_of_it = (name, request), (name, "")
        if one in seen or all_of_it in seen:
            yield duplicate(at, f"{name}/{request}" if request else name)
        elif not request and any(found[0] == name for found in seen):
            yield duplicate(at, name)
        seen.add(one)
        if request:
            yield from label(request, f"{at}.request")


def _headers(value: Any, path: str) -> Iterator[Cause]:
    for header in value or ():
        name = header.get("name") or ""
        if not re.fullmatch(_HEADER, name):
            yield invalid_value(path, name, _HEADER_RULE)


def _handler(value: dict[str, Any], path: str, grace: int | None) -> Iterator[Cause]:
    given = [field for field in _HANDLERS if value.get(field) is not None]
    for field in given[1:]:
        yield forbidden(f"{path}.{field}", "may not specify more than 1 handler type")
    if given == ["sleep"] and grace is not None:
        seconds = value["sleep"].get("seconds") or 0
        if seconds > grace:
            why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            yield invalid_value(f"{path}.sleep", seconds, why)


def _seccomp(value: dict[str, Any], path: str) -> Iterator[Cause]:
    kind, profile = value.get("type") or "", value.get("localhostProfile")
    if not kind:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    if kind == "Localhost":
        if profile is None:
            yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            yield from _descending(profile, f"{path}.localhostProfile")
    elif profile is not None:
        shown = {"Type": kind, "LocalhostProfile": profile}
        yield invalid_value(f"{path}.localhostProfile", shown, "can only be set when seccomp type is Localhost")


def _app_armor(value: dict[str, Any], path: str) -> Iterator[Cause]:
    kind, profile = value.get("type") or "", value.get("localhostProfile")
    at = f"{path}.localhostProfile"
    if not kind:
        yield required(f"{path}.type", "type is required when appArmorProfile is set")
    elif kind == "Localhost":
        if not profile:
            yield required(at, "must be set when AppArmor type is Localhost")
        elif profile != profile.strip():
            yield invalid_value(at, profile, "must not be padded with whitespace")
    elif kind in {"RuntimeDefault", "Unconfined"} and profile is not None:
        yield invalid_value(at, profile, "can only be set when AppArmor type is Localhost")


def _escalation(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if value.get("allowPrivilegeEscalation") is not False:
        return
    if value.get("privileged"):
        why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        yield invalid_value(path, _shown_context(value), why)
    if "CAP_SYS_ADMIN" in ((value.get("capabilities") or {}).get("add") or ()):
        why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
        yield invalid_value(path, _shown_context(value), why)


def _shown_context(value: dict[str, Any]) -> dict[str, Any]:
    """A security context as Go shows it."""
    capabilities = value.get("capabilities")
    shown = None if capabilities is None else {"Add": capabilities.get("add"), "Drop": capabilities.get("drop")}
    names = {
        "Privileged": "privileged",
        "SELinuxOptions": "seLinuxOptions",
        "WindowsOptions": "windowsOptions",
        "RunAsUser": "runAsUser",
        "RunAsGroup": "runAsGroup",
        "RunAsNonRoot": "runAsNonRoot",
        "ReadOnlyRootFilesystem": "readOnlyRootFilesystem",
        "AllowPrivilegeEscalation": "allowPrivilegeEscalation",
        "ProcMount": "procMount",
        "SeccompProfile": "seccompProfile",
        "AppArmorProfile": "appArmorProfile",
    }
    return {"Capabilities": shown} | {go: value.get(field) for go, field in names.items()}


def _sysctls(value: Any, path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, one in enumerate(value or ()):
        at, name = f"{path}[{index}].name", one.get("name") or ""
        if not name:
            yield required(at)
        elif len(name) > _MOST_SYSCTL or not re.fullmatch(_SYSCTL, name):
            yield invalid_value(at, name, _SYSCTL_RULE)
        elif name in seen:
            yield duplicate(at, name)
        seen.add(name)


def _pod(value: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge what depends on several parts of a pod."""
    sources = {volume.get("name"): volume for volume in value.get("volumes") or ()}
    claims = {claim.get("name") for claim in value.get("resourceClaims") or ()}
    grace = value.get("terminationGracePeriodSeconds", _DEFAULT_GRACE)
    # A negative one counts as 1 (SetDefaults_PodSpec).
    grace = 1 if grace < 0 else grace
    host_users = value.get("hostUsers") is not False
    for field in _ALL_LISTS:
        for index, container in enumerate(value.get(field) or ()):
            at = f"{path}.{field}[{index}]"
            yield from _container_in_pod(container, at, sources, claims, grace, host_users=host_users)
    yield from _init_containers(value, path)
    yield from _ports_of_host(value, path)
    yield from _of_the_host(value, path)
    if value.get("ephemeralContainers"):
        # A pod gets them by its subresource, which lists them when it is updated.
        at = f"{path}.ephemeralContainers"
        for index, container in enumerate(value["ephemeralContainers"]):
            yield from needed()(container.get("name"), f"{at}[{index}].name")
            yield from needed()(container.get("image"), f"{at}[{index}].image")
            target = container.get("targetContainerName")
            if target and target not in {one.get("name") for one in value.get("containers") or ()}:
                yield missing(f"{at}[{index}].targetContainerName", target)
            for field in _NOT_EPHEMERAL:
                if container.get(field):
                    yield forbidden(f"{at}[{index}].{field}", "cannot be set for an Ephemeral Container")
        if path != "spec":
            yield forbidden(at, "ephemeral containers not allowed in pod template")


def _container_in_pod(
    container: dict[str, Any],
    at: str,
    sources: dict[Any, dict[str, Any]],
    claims: set[Any],
    grace: int,
    *,
    host_users: bool,
) -> Iterator[Cause]:
    for index, device in enumerate(container.get("volumeDevices") or ()):
        name = device.get("name") or ""
        source = sources.get(name)
        if source is None:
            yield missing(f"{at}.volumeDevices[{index}].name", name)
        elif "persistentVolumeClaim" not in source and "ephemeral" not in source:
            why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield invalid_value(f"{at}.volumeDevices[{index}].name", name, why)
    for index, claim in enumerate((container.get("resources") or {}).get("claims") or ()):
        if claim.get("name") and claim["name"] not in claims:
            why = "must be one of the names in pod.spec.resourceClaims"
            reason, message, path = missing(f"{at}.resources.claims[{index}]", claim["name"])
            yield reason, f"{message}: {why}{'' if claims else ' which is empty'}", path
    for index, variable in enumerate(container.get("env") or ()):
        file = (variable.get("valueFrom") or {}).get("fileKeyRef")
        if file is not None:
            place, name = f"{at}.env[{index}].valueFrom.fileKeyRef.volumeName", file.get("volumeName") or ""
            if name not in sources:
                yield missing(place, name)
            elif "emptyDir" not in sources[name]:
                yield invalid_value(place, name, "referenced volume must be of type emptyDir")
    lifecycle = container.get("lifecycle") or {}
    for field in ("postStart", "preStop"):
        if lifecycle.get(field) is not None:
            yield from _handler(lifecycle[field], f"{at}.lifecycle.{field}", grace)
    context = container.get("securityContext") or {}
    if host_users and context.get("procMount") == "Unmasked":
        yield invalid_value(
            f"{at}.securityContext.procMount", "Unmasked", "`hostUsers` must be false to use `Unmasked`"
        )
    if not host_users and container.get("volumeDevices"):
        yield forbidden(f"{at}.volumeDevices", "when `hostUsers` is false")


def _init_containers(value: dict[str, Any], path: str) -> Iterator[Cause]:
    for index, container in enumerate(value.get("initContainers") or ()):
        at = f"{path}.initContainers[{index}]"
        if container.get("restartPolicy") == "Always":
            continue
        for field in ("lifecycle", *_PROBES):
            if container.get(field) is not None:
                yield forbidden(f"{at}.{field}", _NOT_OF_INIT)
        for number_, policy in enumerate(container.get("resizePolicy") or ()):
            if policy.get("restartPolicy") == "RestartContainer":
                why = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                yield invalid_value(f"{at}.resizePolicy[{number_}].restartPolicy", "RestartContainer", why)


def _ports_of_host(value: dict[str, Any], path: str) -> Iterator[Cause]:
    on_host = bool(value.get("hostNetwork"))
    for field in ("containers", "initContainers"):
        seen: set[str] = set()
        for index, container in enumerate(value.get(field) or ()):
            if field == "initContainers":
                # They run one after the other.
                seen = set()
            for number_, port in enumerate(container.get("ports") or ()):
                at = f"{path}.{field}[{index}].ports[{number_}]"
                host, inside = port.get("hostPort") or 0, port.get("containerPort") or 0
                if on_host and host and host != inside:
                    yield invalid_value(f"{at}.hostPort", host, "must match `containerPort` when `hostNetwork` is true")
                shown = f"{port.get('protocol') or 'TCP'}/{port.get('hostIP') or ''}/{host}"
                if host and shown in seen:
                    yield duplicate(f"{at}.hostPort", shown)
                seen.add(shown)


def _of_the_host(value: dict[str, Any], path: str) -> Iterator[Cause]:
    context = value.get("securityContext") or {}
    if value.get("shareProcessNamespace") and value.get("hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid_value(f"{path}.securityContext.shareProcessNamespace", True, why)
    for index, one in enumerate(context.get("sysctls") or ()):
        name, at = (one.get("name") or "").replace("/", "."), f"{path}.securityContext.sysctls[{index}].name"
        if value.get("hostNetwork") and name.startswith("net."):
            yield invalid_value(at, one["name"], "may not be specified when 'hostNetwork' is true")
        elif value.get("hostIPC") and name.startswith(_IPC_SYSCTLS):
            yield invalid_value(at, one["name"], "may not be specified when 'hostIPC' is true")
    if value.get("hostUsers") is False:
        for field, shown in (("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if value.get(field):
                yield forbidden(f"{path}.{shown}", "when `hostUsers` is false")
    if value.get("hostnameOverride") is not None:
        if value.get("setHostnameAsFQDN"):
            yield forbidden(f"{path}.hostnameOverride", "may not be specified when setHostnameAsFQDN is true")
        if value.get("hostNetwork"):
            yield forbidden(f"{path}.hostnameOverride", "may not be specified when hostNetwork is true")
    system = value.get("os")
    if system is not None:
        yield from needed()(system.get("name"), f"{path}.os.name")
        if system.get("name") and system["name"] not in {"linux", "windows"}:
            yield one_of(f"{path}.os", system["name"], ("linux", "windows"))
        if system.get("name") == "linux":
            yield from _no_windows(value, path)


def _no_windows(value: dict[str, Any], path: str) -> Iterator[Cause]:
    parts = [(f"{path}.securityContext", value.get("securityContext"))]
    for field in _ALL_LISTS:
        for index, container in enumerate(value.get(field) or ()):
            parts.append((f"{path}.{field}[{index}].securityContext", container.get("securityContext")))
    for at, context in parts:
        if context and context.get("windowsOptions") is not None:
            yield forbidden(f"{at}.windowsOptions", "windows options cannot be set for a linux pod")


_CONTAINER: Final[tuple[Rule, ...]] = (
    _environment_sources,
    _environment,
    _mounts,
    _devices,
    _resize,
    _restart_rules,
)

RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "core/v1.PodSpec": (_pod,),
    "core/v1.Container": _CONTAINER,
    "core/v1.EphemeralContainerCommon": _CONTAINER,
    "core/v1.ResourceRequirements": (_claims,),
    "core/v1.HTTPGetAction": (on("httpHeaders", _headers), on("port", port_or_name)),
    "core/v1.TCPSocketAction": (on("port", port_or_name),),
    "core/v1.GRPCAction": (on("port", port_or_name),),
    "core/v1.SeccompProfile": (_seccomp,),
    "core/v1.AppArmorProfile": (_app_armor,),
    "core/v1.SecurityContext": (_escalation,),
    "core/v1.PodSecurityContext": (on("supplementalGroups", each(_ID)), on("sysctls", _sysctls)),
}
