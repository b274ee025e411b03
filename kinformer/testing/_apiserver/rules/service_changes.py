"""The fields of a Service that follow when another one changes (pkg/registry/core/service/strategy.go)."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["follow_change"]

_WITH_NODE_PORTS: Final = {"NodePort", "LoadBalancer"}


def follow_change(spec: dict[str, Any], before: dict[str, Any]) -> None:
    """Change a new spec, in place, where it has values of the old one that its type or its address rules out.

    A value that the update changed itself stays, and is judged by validation.
    """
    if _kind(spec) == "ExternalName" != _kind(before):
        if spec.get("clusterIP") == before.get("clusterIP"):
            _drop_same(spec, before, "clusterIP", "clusterIPs")
        _drop_same(spec, before, "ipFamilies", "ipFamilyPolicy")
    elif (
        spec.get("clusterIP")
        and spec["clusterIP"] != before.get("clusterIP")
        and spec.get("clusterIPs")
        and spec["clusterIPs"] == before.get("clusterIPs")
    ):
        spec["clusterIPs"] = [spec["clusterIP"], *spec["clusterIPs"][1:]]
    if _kind(before) in _WITH_NODE_PORTS and _kind(spec) not in _WITH_NODE_PORTS and _ports(spec) == _ports(before):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    if _is_external(before) and not _is_external(spec):
        _drop_same(spec, before, "externalTrafficPolicy")
    if _kind(before) == "LoadBalancer" != _kind(spec):
        _drop_same(spec, before, "allocateLoadBalancerNodePorts", "loadBalancerClass", "healthCheckNodePort")


def _kind(spec: dict[str, Any]) -> str:
    return spec.get("type") or "ClusterIP"


def _is_external(spec: dict[str, Any]) -> bool:
    return _kind(spec) in _WITH_NODE_PORTS or (_kind(spec) == "ClusterIP" and bool(spec.get("externalIPs")))


def _ports(spec: dict[str, Any]) -> list[Any]:
    return [port.get("nodePort") for port in spec.get("ports") or ()]


def _drop_same(spec: dict[str, Any], before: dict[str, Any], *names: str) -> None:
    for name in names:
        if name in spec and spec[name] == before.get(name):
            del spec[name]
