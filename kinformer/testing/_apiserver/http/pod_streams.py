"""The subresources that a kubelet would answer: scripted answers, or the error of a cluster without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from kinformer.testing._apiserver.http.pod_exec import answer_exec
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from kinformer.testing._apiserver.http.requests import Target
    from kinformer.testing._apiserver.rules.pod_scripts import PodScripts
    from kinformer.testing._apiserver.rules.registry import Registry

__all__ = ["answer_stream", "is_stream"]

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
    manifest = registry.get(target.kind, target.namespace, target.name).manifest
    if target.subresource == "proxy":
        raise _unreachable(target)
    container = _container(target.name, manifest, query.get("container", ""), target.subresource)
    if target.subresource == "log":
        return _log(scripts, target, manifest, container, query)
    node = (manifest.get("spec") or {}).get("nodeName")
    if not node:
        raise status.bad_request(f"pod {target.name} does not have a host assigned")
    if target.subresource == "exec" and scripts.runs_pods and registry.store.get(("", "nodes"), ("", node)):
        return await answer_exec(request, scripts, target, manifest, container, clock)
    raise _no_node(registry, node)


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


def _unreachable(target: Target) -> status.Refusal:
    """The refusal of a proxied request: no address of a cluster is reached from here."""
    if target.kind.plural == "nodes":
        return status.failed("no preferred addresses found; known addresses: []")
    if target.kind.plural == "pods":
        return status.bad_request("address not allowed")
    return status.Refusal(503, f'no endpoints available for service "{target.name}"', "ServiceUnavailable")


def _no_node(registry: Registry, node: str) -> status.Refusal:
    """The refusal for a pod whose node cannot be reached."""
    if registry.store.get(("", "nodes"), ("", node)) is None:
        return status.Refusal(404, f'nodes "{node}" not found', "NotFound", {"name": node, "kind": "nodes"})
    return status.failed("no preferred addresses found; known addresses: []")
