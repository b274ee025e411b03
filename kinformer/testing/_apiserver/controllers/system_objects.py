"""The objects that every new cluster has beside its namespaces: the Service of the API server, and DNS."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["system_objects"]

_DNS: Final = {"k8s-app": "kube-dns"}


def system_objects() -> list[dict[str, Any]]:
    """Return their manifests, in the order of their creation."""
    return [_api_service(), *_dns()]


def _object(api_version: str, kind: str, name: str, namespace: str, **fields: Any) -> dict[str, Any]:
    labels = fields.pop("labels", {})
    metadata = {"name": name, "namespace": namespace} | ({"labels": dict(labels)} if labels else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata} | fields


def _api_service() -> dict[str, Any]:
    """The Service that each kube-apiserver keeps (pkg/controlplane/controller/kubernetesservice)."""
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}
    spec = {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [port]}
    labels = {"component": "apiserver", "provider": "kubernetes"}
    return _object("v1", "Service", "kubernetes", "default", labels=labels, spec=spec)


def _dns() -> list[dict[str, Any]]:
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
