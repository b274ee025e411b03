"""The addresses behind Services: EndpointSlices and Endpoints (pkg/controller/endpointslice, endpoint)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import Action, Create, Delete, Update
from kinformer.testing._apiserver.controllers.cluster import PODS, labels_of
from kinformer.testing._apiserver.controllers.conditions import nonzero
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import is_deleting, is_finished, is_ready, phase_of, reference_to
from kinformer.testing._apiserver.rules.selectors import selects_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key

__all__ = ["endpoints_controllers"]

SERVICES: Final = ("", "services")
_SLICES: Final = ("discovery.k8s.io", "endpointslices")
_ENDPOINTS: Final = ("", "endpoints")

_SERVICE_NAME: Final = "kubernetes.io/service-name"
_MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
_OURS: Final = "endpointslice-controller.k8s.io"
_HEADLESS: Final = "service.kubernetes.io/headless"
_TRIGGER: Final = "endpoints.kubernetes.io/last-change-trigger-time"
_MOST: Final = 100
"""Endpoints of one slice (kube-controller-manager --max-endpoints-per-slice)."""


def endpoints_controllers() -> list[Controller]:
    """Return the controllers of EndpointSlices and of Endpoints."""
    return [
        Controller(
            "endpointslice",
            _slices,
            {SERVICES: lambda change, _: [change.key], PODS: _of_pod, _SLICES: _of_slice},
            component="endpoint-slice-controller",
        ),
        Controller(
            "endpoints",
            _endpoints,
            {SERVICES: lambda change, _: [change.key], PODS: _of_pod, _ENDPOINTS: lambda change, _: [change.key]},
            component="endpoint-controller",
        ),
    ]


def _of_pod(change: Change, cluster: Cluster) -> Iterable[Key]:
    """Return the Services that select a pod, or did."""
    states = [change.new.manifest] if change.kind != "DELETED" else []
    states += [change.old.manifest] if change.old is not None else []
    if len(states) == 2 and change.kind == "MODIFIED" and _appearance(states[0]) == _appearance(states[1]):
        return []
    namespace = change.key[0]
    labels = [labels_of(state) for state in states]
    return [
        (namespace, service["metadata"]["name"])
        for service in cluster.within(SERVICES, namespace)
        if (selector := service["spec"].get("selector")) and any(selector.items() <= one.items() for one in labels)
    ]


def _appearance(pod: Manifest) -> tuple[Any, ...]:
    """Return the parts of a pod that its endpoint shows."""
    status = pod.get("status") or {}
    return (
        *(labels_of(pod), status.get("podIP"), is_ready(pod), is_deleting(pod), is_finished(pod)),
        *(pod["spec"].get("nodeName"), pod["spec"].get("hostname")),
    )


def _of_slice(change: Change, _cluster: Cluster) -> Iterable[Key]:
    name = labels_of(change.new.manifest).get(_SERVICE_NAME)
    return [(change.key[0], name)] if name else []


def _has_endpoints(service: Manifest) -> bool:
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def _chosen(service: Manifest, cluster: Cluster) -> list[Manifest]:
    """Return the pods of a Service that have an address."""
    selector = {"matchLabels": service["spec"]["selector"]}
    pods = [
        pod
        for pod in cluster.pods(service["metadata"]["namespace"], selector)
        if selects_labels(selector, labels_of(pod)) and (pod.get("status") or {}).get("podIP") and not is_finished(pod)
    ]
    return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))


def _ports(service: Manifest, pod: Manifest | None) -> list[Manifest]:
    """Return the ports of the endpoints of a Service; a named one is looked up in a pod."""
    found = []
    for port in service["spec"].get("ports") or ():
        target = port.get("targetPort", port["port"])
        if isinstance(target, str):
            number = None if pod is None else _number(pod, target, port.get("protocol", "TCP"))
        else:
            number = target or port["port"]
        if number is not None:
            shown = {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": number}
            found.append(shown | nonzero(appProtocol=port.get("appProtocol")))
    return found


def _number(pod: Manifest, name: str, protocol: str) -> int | None:
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == name and port.get("protocol", "TCP") == protocol:
                number: int = port["containerPort"]
                return number
    return None


def _target(pod: Manifest) -> Manifest:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def _slices(key: Key, cluster: Cluster) -> Iterator[Action]:
    service = cluster.get(SERVICES, key)
    known = [
        one
        for one in cluster.within(_SLICES, key[0])
        if labels_of(one).get(_SERVICE_NAME) == key[1] and labels_of(one).get(_MANAGED_BY) == _OURS
    ]
    known.sort(key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]))
    if service is None or is_deleting(service) or not _has_endpoints(service):
        if service is None:
            yield from (Delete(_SLICES, one) for one in known)
        return
    wanted = _wanted_slices(service, _chosen(service, cluster))
    for number, content in enumerate(wanted):
        if number < len(known):
            current = known[number]
            same = all(current.get(field) == content.get(field) for field in ("endpoints", "ports", "addressType"))
            if not same or not content["metadata"]["labels"].items() <= labels_of(current).items():
                metadata = current["metadata"] | {"labels": content["metadata"]["labels"]}
                metadata["annotations"] = (metadata.get("annotations") or {}) | {_TRIGGER: cluster.stamp}
                yield Update(current | content | {"metadata": metadata})
        else:
            content["metadata"]["annotations"] = {_TRIGGER: cluster.stamp}
            yield Create(content, about=service)
    yield from (Delete(_SLICES, one) for one in known[len(wanted) :])


def _wanted_slices(service: Manifest, pods: list[Manifest]) -> list[Manifest]:
    metadata = service["metadata"]
    labels = dict(metadata.get("labels") or {}) | {_MANAGED_BY: _OURS, _SERVICE_NAME: metadata["name"]}
    if service["spec"].get("clusterIP") == "None":
        labels[_HEADLESS] = ""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    owner = reference_to(service) | {"apiVersion": "v1", "kind": "Service"}
    made = []
    for start in range(0, max(len(pods), 1), _MOST):
        part = pods[start : start + _MOST]
        made.append({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": f"{metadata['name']}-",
                "namespace": metadata["namespace"],
                "labels": labels,
                "ownerReferences": [owner],
            },
            "addressType": "IPv4",
            "endpoints": [_endpoint(pod, service, publish=publish) for pod in part],
            "ports": _ports(service, part[0] if part else None) if part else None,
        })  # fmt: skip
    return made


def _endpoint(pod: Manifest, service: Manifest, *, publish: bool) -> Manifest:
    serving, ending = is_ready(pod), is_deleting(pod)
    endpoint: dict[str, Any] = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": publish or (serving and not ending), "serving": serving, "terminating": ending},
    }
    spec = pod["spec"]
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = spec["hostname"]
    endpoint["targetRef"] = _target(pod)
    return endpoint | nonzero(nodeName=spec.get("nodeName"))


def _endpoints(key: Key, cluster: Cluster) -> Iterator[Action]:
    service, current = cluster.get(SERVICES, key), cluster.get(_ENDPOINTS, key)
    if service is None:
        if current is not None and "endpoints.kubernetes.io/managed-by" in labels_of(current):
            yield Delete(_ENDPOINTS, current)
        return
    if is_deleting(service) or not _has_endpoints(service):
        return
    subsets = _subsets(service, [pod for pod in _chosen(service, cluster) if not is_deleting(pod)])
    labels = dict(service["metadata"].get("labels") or {}) | {
        "endpoints.kubernetes.io/managed-by": "endpoint-controller"
    }
    if service["spec"].get("clusterIP") == "None":
        labels[_HEADLESS] = ""
    trigger = {_TRIGGER: cluster.stamp}
    if current is None:
        metadata = {"name": key[1], "namespace": key[0], "labels": labels, "annotations": trigger}
        made = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
        yield Create(made | nonzero(subsets=subsets), about=service)
    elif (current.get("subsets") or []) != subsets or not labels.items() <= labels_of(current).items():
        annotations = (current["metadata"].get("annotations") or {}) | trigger
        metadata = current["metadata"] | {"labels": labels, "annotations": annotations}
        left = {name: value for name, value in current.items() if name != "subsets"}
        yield Update(left | {"metadata": metadata} | nonzero(subsets=subsets))


def _subsets(service: Manifest, pods: list[Manifest]) -> list[Manifest]:
    if not pods:
        return []
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    ready, waiting = [], []
    for pod in sorted(pods, key=lambda pod: str(pod["status"]["podIP"])):
        address = {"ip": pod["status"]["podIP"]} | nonzero(nodeName=pod["spec"].get("nodeName"))
        spec = pod["spec"]
        if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
            address["hostname"] = spec["hostname"]
        address["targetRef"] = _target(pod)
        if is_ready(pod) or publish:
            ready.append(address)
        elif phase_of(pod) in {"Pending", "Running"}:
            waiting.append(address)
    ports = [{name: value for name, value in port.items() if value != ""} for port in _ports(service, pods[0])]
    subset = nonzero(addresses=ready, notReadyAddresses=waiting, ports=ports)
    return [subset] if ready or waiting else []
