"""The defaults of pods, and of the pod templates of workloads (pkg/apis/core/v1/defaults.go)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["fill_in_addresses", "fill_in_pod", "fill_in_pod_spec", "fill_in_template", "quality"]

_MODE: Final = 0o644
_IMAGE: Final = r"[\w.:-]+(/[a-z0-9._-]+)*(:\w[\w.-]*)?"
"""The form of an image's name that is read; of any other form the tag is unknown, and not "latest"."""

_VOLUMES_WITH_MODE: Final = ("secret", "configMap", "downwardAPI", "projected")
_TAINTS: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def fill_in_pod(manifest: dict[str, Any]) -> None:
    """Fill in a new pod, in place: also the fields that admission adds, and its first status."""
    spec = manifest.setdefault("spec", {})
    for container in _containers(spec):
        resources = container.get("resources") or {}
        if limits := resources.get("limits"):
            container["resources"] = resources | {"requests": limits | (resources.get("requests") or {})}
    fill_in_pod_spec(spec)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    spec.setdefault("enableServiceLinks", True)
    _tolerate_node_failures(spec)
    manifest["status"] = {"phase": "Pending", "qosClass": quality(spec)}


def fill_in_addresses(pod: dict[str, Any]) -> None:
    """Fill in `podIPs` of a status that is written, in place: `podIP` is the first of them, or its only one."""
    status = pod.get("status") or {}
    first, addresses = status.get("podIP"), status.get("podIPs") or []
    if first and (not addresses or addresses[0].get("ip") != first):
        status["podIPs"] = [{"ip": first}]


def fill_in_template(parent: dict[str, Any]) -> None:
    """Fill in the pod template of a workload's spec, in place."""
    template = parent.get("template")
    if template is not None and template.get("spec") is not None:
        fill_in_pod_spec(template["spec"])


def fill_in_pod_spec(spec: dict[str, Any]) -> None:
    """Fill in the spec of a pod, in place."""
    for container in _containers(spec):
        _container(container, host_network=bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes") or ():
        _volume(volume)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec |= {"serviceAccountName": account, "serviceAccount": account}
    for name, value in {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }.items():
        spec.setdefault(name, value)


def _containers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for field in ("containers", "initContainers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _container(container: dict[str, Any], *, host_network: bool) -> None:
    image = container.get("image", "")
    is_latest = "@" not in image and (":" not in image.rpartition("/")[2] or image.endswith(":latest"))
    is_latest = is_latest and re.fullmatch(_IMAGE, image) is not None
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", "Always" if is_latest else "IfNotPresent")
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if host_network and "containerPort" in port:
            port.setdefault("hostPort", port["containerPort"])
    for variable in container.get("env") or ():
        if field := (variable.get("valueFrom") or {}).get("fieldRef"):
            field.setdefault("apiVersion", "v1")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _probe(container[probe])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _http(hook)


def _probe(probe: dict[str, Any]) -> None:
    _http(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")
    for name, value in {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}.items():
        if not probe.get(name):
            probe[name] = value


def _http(action: dict[str, Any]) -> None:
    if request := action.get("httpGet"):
        request.setdefault("path", "/")
        request.setdefault("scheme", "HTTP")


def _volume(volume: dict[str, Any]) -> None:
    if volume.keys() <= {"name"}:
        volume["emptyDir"] = {}
    for field in _VOLUMES_WITH_MODE:
        if field in volume:
            volume[field].setdefault("defaultMode", _MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    _fields_of_items(volume.get("downwardAPI") or {})
    for source in (volume.get("projected") or {}).get("sources") or ():
        _fields_of_items(source.get("downwardAPI") or {})
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if template:
        template.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def _fields_of_items(source: dict[str, Any]) -> None:
    for item in source.get("items") or ():
        if field := item.get("fieldRef"):
            field.setdefault("apiVersion", "v1")


def _tolerate_node_failures(spec: dict[str, Any]) -> None:
    """Add the tolerations of the admission plugin DefaultTolerationSeconds, which have no field manager."""
    tolerations = spec.setdefault("tolerations", [])
    for key in _TAINTS:
        if not any(toleration.get("key") in {key, None} for toleration in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})


def quality(spec: dict[str, Any]) -> str:
    """The quality-of-service class of a pod (pkg/apis/core/v1/helper/qos)."""
    counted = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    resources = [container.get("resources") or {} for container in counted]
    if not any(resource.get("requests") or resource.get("limits") for resource in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= set(resource.get("limits") or {})
        and (resource.get("requests") or resource["limits"]) == resource["limits"]
        for resource in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"
