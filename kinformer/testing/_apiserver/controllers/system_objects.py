"""The objects that every new cluster has beside its namespaces: the Service of the API server, and DNS."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["api_service", "dns"]

_DNS: Final = {"k8s-app": "kube-dns"}
_ADDRESS: Final = "172.18.0.2"
"""The address of the API server in the cluster, which no client reaches."""


def _object(api_version: str, kind: str, name: str, namespace: str, **fields: Any) -> dict[str, Any]:
    labels = fields.pop("labels", {})
    metadata = {"name": name, "namespace": namespace} | ({"labels": dict(labels)} if labels else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata} | fields


def api_service() -> list[dict[str, Any]]:
    """Return the Service that each kube-apiserver keeps, and its endpoints.

    Source: pkg/controlplane/controller/kubernetesservice.
    """
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}
    spec = {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [port]}
    labels = {"component": "apiserver", "provider": "kubernetes"}
    listening = {"name": "https", "port": 6443, "protocol": "TCP"}
    mirrored = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    named = {"kubernetes.io/service-name": "kubernetes"}
    endpoint = {"addresses": [_ADDRESS], "conditions": {"ready": True}}
    subset = {"addresses": [{"ip": _ADDRESS}], "ports": [listening]}
    return [
        _object("v1", "Service", "kubernetes", "default", labels=labels, spec=spec),
        _object("v1", "Endpoints", "kubernetes", "default", labels=mirrored, subsets=[subset]),
        _object(
            *("discovery.k8s.io/v1", "EndpointSlice", "kubernetes", "default"),
            labels=named,
            addressType="IPv4",
            endpoints=[endpoint],
            ports=[listening],
        ),
    ]


def dns() -> list[dict[str, Any]]:
    """Return the manifests of DNS, in the order of their creation."""
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
        {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
    ]
    listening = [{"name": one["name"], "containerPort": one["port"], "protocol": one["protocol"]} for one in ports]
    container = {
        "name": "coredns",
        "image": "registry.k8s.io/coredns/coredns:v1.13.1",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": listening,
        "resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}},
    }
    template = {
        "metadata": {"labels": _DNS},
        "spec": {"serviceAccountName": "coredns", "containers": [container], "dnsPolicy": "Default"},
    }
    deployment = {"replicas": 2, "selector": {"matchLabels": _DNS}, "template": template}
    service = {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "selector": _DNS, "ports": ports}
    return [
        _object("v1", "ServiceAccount", "coredns", "kube-system"),
        _object("apps/v1", "Deployment", "coredns", "kube-system", labels=_DNS, spec=deployment),
        _object("v1", "Service", "kube-dns", "kube-system", labels=_DNS, spec=service),
    ]
