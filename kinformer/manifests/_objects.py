"""The objects of a deployment, made from a plan. The namespace of the operator is `OWN_NAMESPACE` in them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from kinformer.manifests._grants import Grant, rules_of
from kinformer.manifests._plan import OWN_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.manifests._plan import Plan, WebhookPlan

__all__ = ["RESOURCES", "Manifest", "Objects", "objects_of", "placed", "service_monitor"]

Manifest = dict[str, Any]
Objects = dict[str, list[Manifest]]
"""The objects, by the name of their file."""

RESOURCES: Final[Manifest] = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
"""The default resources. There is no limit of CPU: a throttled process answers probes late and loses its lease."""

_RBAC: Final = "rbac.authorization.k8s.io"
_USER: Final = 65532
_GRACE_MARGIN: Final = 10
"""Seconds between the end of the manager's own grace period and the kill."""


def objects_of(plan: Plan) -> Objects:
    """Return all objects but the ServiceMonitor, by the name of their file."""
    found = {
        "crds.yaml": [*plan.definitions],
        "service-account.yaml": [_namespaced(plan, "v1", "ServiceAccount")],
        "roles.yaml": _roles(plan),
        "deployment.yaml": [_deployment(plan)],
        "disruption-budget.yaml": [_disruption_budget(plan)],
        "network-policy.yaml": [_network_policy(plan)],
        "services.yaml": _services(plan),
    }
    if plan.webhooks is not None:
        found["webhooks.yaml"] = [*plan.webhooks.configurations]
        if plan.webhooks.mount:
            found["certificate.yaml"] = _certificate(plan, plan.webhooks)
    return {file: manifests for file, manifests in found.items() if manifests}


def service_monitor(plan: Plan) -> Manifest:
    """Return the ServiceMonitor, for clusters with the Prometheus operator."""
    return _namespaced(plan, "monitoring.coreos.com/v1", "ServiceMonitor") | {
        "spec": {"selector": {"matchLabels": _labels(plan)}, "endpoints": [{"port": "http", "path": "/metrics"}]}
    }


def _labels(plan: Plan) -> dict[str, str]:
    return {"app.kubernetes.io/name": plan.name}


def _named(plan: Plan, api_version: str, kind: str, name: str = "") -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name or plan.name, "labels": _labels(plan)}}


def _namespaced(plan: Plan, api_version: str, kind: str, name: str = "", namespace: str = OWN_NAMESPACE) -> Manifest:
    made = _named(plan, api_version, kind, name)
    metadata = made["metadata"]
    return made | {"metadata": {"name": metadata["name"], "namespace": namespace, "labels": metadata["labels"]}}


def _roles(plan: Plan) -> list[Manifest]:
    by_place: dict[str, list[Grant]] = {}
    for grant in sorted(plan.grants):
        by_place.setdefault(grant.namespace, []).append(grant)
    found = []
    for namespace, grants in sorted(by_place.items()):
        kind = "Role" if namespace else "ClusterRole"
        subject = {"kind": "ServiceAccount", "name": plan.name, "namespace": OWN_NAMESPACE}
        role, binding = (
            _namespaced(plan, f"{_RBAC}/v1", each, namespace=namespace)
            if namespace
            else _named(plan, f"{_RBAC}/v1", each)
            for each in (kind, f"{kind}Binding")
        )
        reference = {"apiGroup": _RBAC, "kind": kind, "name": plan.name}
        found += [role | {"rules": rules_of(grants)}, binding | {"roleRef": reference, "subjects": [subject]}]
    return found


def _deployment(plan: Plan) -> Manifest:
    pod: Manifest = {
        "serviceAccountName": plan.name,
        "terminationGracePeriodSeconds": math.ceil(plan.grace) + _GRACE_MARGIN,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(plan)],
    }
    if volumes := _volumes(plan):
        pod["volumes"] = [volume for volume, _ in volumes]
    spec: Manifest = {"replicas": plan.replicas, "selector": {"matchLabels": _labels(plan)}}
    if plan.replicas == 1:
        # Without a lease, two of them would write at the same time during a rollout.
        spec["strategy"] = {"type": "Recreate"}
    spec["template"] = {"metadata": {"labels": _labels(plan)}, "spec": pod}
    return _namespaced(plan, "apps/v1", "Deployment") | {"spec": spec}


def _container(plan: Plan) -> Manifest:
    made: Manifest = {"name": "operator", "image": f"{plan.name}:latest", "args": ["run", plan.target]}
    if plan.shards:
        # The Lease of a replica goes with its Pod.
        made["env"] = [
            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
            for name, path in (("POD_NAME", "metadata.name"), ("POD_UID", "metadata.uid"))
        ]
    ports = [{"name": "http", "containerPort": plan.port}] if plan.port else []
    ports += [{"name": "webhooks", "containerPort": plan.webhooks.port}] if plan.webhooks else []
    if ports:
        made["ports"] = ports
    if plan.port:
        live, ready = ({"httpGet": {"path": path, "port": "http"}} for path in ("/livez", "/readyz"))
        made |= {
            "startupProbe": live | {"periodSeconds": 2, "failureThreshold": 30},
            "livenessProbe": live | {"periodSeconds": 10, "failureThreshold": 3},
            "readinessProbe": ready | {"periodSeconds": 5},
        }
    made["resources"] = RESOURCES
    made["securityContext"] = {
        "runAsUser": _USER,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    if volumes := _volumes(plan):
        made["volumeMounts"] = [mount for _, mount in volumes]
    return made


def _volumes(plan: Plan) -> list[tuple[Manifest, Manifest]]:
    """Return volumes with their mounts."""
    if plan.webhooks is None:
        return []
    # OpenSSL reads a certificate from files only: it is written to memory, never to a disk.
    memory = {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
    found: list[tuple[Manifest, Manifest]] = [(memory, {"name": "tmp", "mountPath": "/tmp"})]  # noqa: S108 - a folder of the container
    if plan.webhooks.mount:
        secret = {"name": "certificate", "secret": {"secretName": f"{plan.name}-webhooks"}}
        found.append((secret, {"name": "certificate", "mountPath": plan.webhooks.mount, "readOnly": True}))
    return found


def _disruption_budget(plan: Plan) -> Manifest:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": _labels(plan)}}
    return _namespaced(plan, "policy/v1", "PodDisruptionBudget") | {"spec": spec}


def _network_policy(plan: Plan) -> Manifest:
    """Return the policy that lets in the requests to the ports alone. The API server is anywhere, so all may go out."""
    ports = [{"port": "http"}] if plan.port else []
    ports += [{"port": "webhooks"}] if plan.webhooks else []
    spec = {
        "podSelector": {"matchLabels": _labels(plan)},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [port | {"protocol": "TCP"} for port in ports]}] if ports else [],
    }
    return _namespaced(plan, "networking.k8s.io/v1", "NetworkPolicy") | {"spec": spec}


def _services(plan: Plan) -> list[Manifest]:
    ports: dict[tuple[str, str], list[Manifest]] = {}
    if plan.port:
        ports[plan.name, OWN_NAMESPACE] = [{"name": "http", "port": plan.port, "targetPort": "http"}]
    if plan.webhooks is not None:
        service = plan.webhooks.service
        at = ports.setdefault((service.name, service.namespace), [])
        at.append({"name": "webhooks", "port": service.port, "targetPort": "webhooks"})
    return [
        _namespaced(plan, "v1", "Service", name, namespace) | {"spec": {"selector": _labels(plan), "ports": given}}
        for (name, namespace), given in ports.items()
    ]


def _certificate(plan: Plan, webhooks: WebhookPlan) -> list[Manifest]:
    name = f"{plan.name}-webhooks"
    issuer = _namespaced(plan, "cert-manager.io/v1", "Issuer", name) | {"spec": {"selfSigned": {}}}
    spec = {
        "secretName": name,
        "dnsNames": [*webhooks.service.names],
        "issuerRef": {"kind": "Issuer", "name": name},
        "privateKey": {"algorithm": "ECDSA", "rotationPolicy": "Always"},
    }
    return [issuer, _namespaced(plan, "cert-manager.io/v1", "Certificate", name) | {"spec": spec}]


def placed(manifests: Iterable[Manifest], namespace: str) -> list[Manifest]:
    """Return the manifests with the namespace in place of `OWN_NAMESPACE`."""
    return [_placed(manifest, namespace) for manifest in manifests]


def _placed(value: Any, namespace: str) -> Any:
    match value:
        case dict():
            return {key: _placed(each, namespace) for key, each in value.items()}
        case list() | tuple():
            return [_placed(each, namespace) for each in value]
        case str():
            return value.replace(OWN_NAMESPACE, namespace)
    return value
