"""The subresources that a kubelet would answer: scripted answers, or the error of a cluster without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from kinformer.testing._apiserver.http.pod_exec import answer_attach, answer_exec
from kinformer.testing._apiserver.http.pod_ports import answer_portforward, answer_proxy
from kinformer.testing._apiserver.rules.causes import invalid_value
from kinformer.testing._apiserver.rules.selectors import selects_labels
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from kinformer.testing._apiserver.http.requests import Target
    from kinformer.testing._apiserver.rules.pod_scripts import PodScripts
    from kinformer.testing._apiserver.rules.registry import Registry
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["answer_stream", "is_stream"]

_MORE: Final = "must be greater than 0"
_OF_A_KUBELET: Final = ("exec", "attach", "portforward")


def is_stream(target: Target) -> bool:
    """Report whether a target is a subresource that only a kubelet, or the object itself, can answer."""
    return target.subresource in {*_OF_A_KUBELET, "log", "proxy"}


async def answer_stream(
    request: web.BaseRequest,
    registry: Registry,
    scripts: PodScripts,
    target: Target,
    clock: Callable[[], datetime],
) -> web.StreamResponse:
    """Answer it.

    Raises:
        Refusal: 400, 404 or 500, as a kube-apiserver refuses it that reaches no kubelet.
    """
    query = request.query
    if target.subresource == "proxy":
        return await _proxied(request, registry, scripts, target)
    if target.subresource == "log" and (causes := [*_wrong_options(query)]):
        raise status.invalid("PodLogOptions", target.name, causes)
    manifest = registry.get(target.kind, target.namespace, target.name).manifest
    container = _container(target.name, manifest, query.get("container", ""), target.subresource)
    if target.subresource == "log":
        return _log(scripts, target, manifest, container, query)
    node = (manifest.get("spec") or {}).get("nodeName")
    runs = bool(scripts.runs_pods and node and registry.store.get(("", "nodes"), ("", node)))
    scripted = target.subresource == "exec" and scripts.answer_of(
        target.namespace, target.name, query.getall("command", [])
    )
    if target.subresource == "portforward" and (runs or scripts.listens(target.namespace, target.name)):
        return await answer_portforward(request, scripts, target, manifest["metadata"]["uid"])
    if not node and not scripted:
        raise status.bad_request(f"pod {target.name} does not have a host assigned")
    if target.subresource == "exec" and (runs or scripted):
        return await answer_exec(request, scripts, target, manifest, container, clock)
    if target.subresource == "attach" and runs:
        return await answer_attach(request, registry, scripts, target, container)
    raise _no_node(registry, node or "")


def _container(pod: str, manifest: dict[str, Any], wanted: str, subresource: str) -> str:
    """The container that a request is for."""
    spec = manifest.get("spec") or {}
    fields = ("containers", "initContainers", "ephemeralContainers")
    names = [container.get("name", "") for field in fields for container in spec.get(field) or ()]
    if wanted and wanted not in names:
        raise status.bad_request(f"container {wanted} is not valid for pod {pod}")
    if wanted or subresource == "portforward":
        return wanted
    first = [container.get("name", "") for container in spec.get("containers") or ()]
    if len(first) > 1 and subresource == "log":
        listed = f"a container name must be specified for pod {pod}, choose one of: [{' '.join(first)}]"
        raise status.bad_request(listed)
    return first[0] if first else ""


def _wrong_options(query: Mapping[str, str]) -> Iterator[Cause]:
    """Find the faults of the bounds of a log (pkg/apis/core/validation, ValidatePodLogOptions)."""
    for name, least in (("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)):
        text = query.get(name, "")
        if text.removeprefix("-").isdecimal() and (number := int(text)) < least:
            yield invalid_value(name, number, "must be greater than or equal to 0" if not least else _MORE)


def _log(
    scripts: PodScripts, target: Target, manifest: dict[str, Any], container: str, query: Mapping[str, str]
) -> web.StreamResponse:
    text = scripts.text_of(target.namespace, target.name, container)
    if text is None:
        # A pod that has no node has no log.
        return web.Response(status=204 if not manifest["spec"].get("nodeName") else 200)
    lines = text.splitlines(keepends=True)
    tail = query.get("tailLines", "")
    if tail.isdecimal():
        lines = lines[-int(tail) :] if int(tail) else []
    return web.Response(text="".join(lines))


async def _proxied(
    request: web.BaseRequest, registry: Registry, scripts: PodScripts, target: Target
) -> web.StreamResponse:
    """Answer a request for a Service, a pod or a node by the listener of a pod.

    Raises:
        Refusal: 400, 404, 500 or 503.
    """
    # [SCHEME:]NAME[:PORT]
    parts = target.name.split(":")
    name, port = (parts[1], parts[2]) if len(parts) > 2 else (parts[0], parts[1] if len(parts) > 1 else "")
    manifest = registry.get(target.kind, target.namespace, name).manifest
    if target.kind.plural == "nodes":
        raise status.failed("no preferred addresses found; known addresses: []")
    if target.kind.plural == "services":
        pods, port = _endpoints(registry, target, manifest, port)
    else:
        pods = [name]
        port = port or _first_port(manifest)
    number = int(port) if port.isdecimal() else 0
    found = (scripts.listener_of(target.namespace, pod, number) for pod in pods)
    if (listener := next((one for one in found if one is not None), None)) is not None:
        below = request.path.partition(f"/{target.name}/proxy")[2].lstrip("/")
        return await answer_proxy(request, listener, below)
    if target.kind.plural == "services" and not pods:
        raise status.Refusal(503, f'no endpoints available for service "{target.name}"', "ServiceUnavailable")
    address = registry.store.get(("", "pods"), (target.namespace, pods[0]))
    ip = ((address.manifest.get("status") or {}) if address else {}).get("podIP")
    if not ip:
        raise status.bad_request("address not allowed")
    message = f"error trying to reach service: dial tcp {ip}:{number}: connect: connection refused"
    raise status.Refusal(503, message, "ServiceUnavailable")


def _endpoints(registry: Registry, target: Target, service: dict[str, Any], wanted: str) -> tuple[list[str], str]:
    """The names of the pods behind a Service, and their port as text.

    Raises:
        Refusal: 503, no such port.
    """
    spec = service.get("spec") or {}
    known = spec.get("ports") or []
    chosen = [one for one in known if wanted in {"", str(one["port"]), one.get("name")}]
    if not chosen:
        raise status.Refusal(503, f'no service port "{wanted}" found for service "{target.name}"', "ServiceUnavailable")
    selector = {"matchLabels": spec.get("selector") or {}}
    pods = [
        key[1]
        for key, stored in registry.store.listed(("", "pods"), target.namespace)
        if spec.get("selector") and selects_labels(selector, stored.manifest["metadata"].get("labels") or {})
    ]
    port = str(chosen[0].get("targetPort") or chosen[0]["port"])
    if not port.isdecimal() and pods:
        first = registry.store.get(("", "pods"), (target.namespace, pods[0]))
        port = _port_named(first.manifest if first else {}, port)
    return pods, port


def _port_named(pod: dict[str, Any], name: str) -> str:
    return next((str(one["containerPort"]) for one in _ports_of(pod) if one.get("name") == name), "")


def _first_port(pod: dict[str, Any]) -> str:
    return next((str(one["containerPort"]) for one in _ports_of(pod)), "80")


def _ports_of(pod: dict[str, Any]) -> list[dict[str, Any]]:
    containers = (pod.get("spec") or {}).get("containers") or ()
    return [port for container in containers for port in container.get("ports") or ()]


def _no_node(registry: Registry, node: str) -> status.Refusal:
    """The refusal for a pod whose node cannot be reached."""
    if registry.store.get(("", "nodes"), ("", node)) is None:
        return status.Refusal(404, f'nodes "{node}" not found', "NotFound", {"name": node, "kind": "nodes"})
    return status.failed("no preferred addresses found; known addresses: []")
