"""The manifests of the simulated cluster, as its users and kubelets write them.

The functions are pure and return dicts. `simulation` decides when each of them is written.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = [
    "BACKUP_API",
    "BACKUP_GROUP",
    "NODE_LEASES",
    "Manifest",
    "backup",
    "backup_definition",
    "deployment",
    "lease",
    "namespace",
    "node",
    "node_heartbeat",
    "node_status",
    "pod",
]

Manifest = dict[str, Any]

BACKUP_GROUP: Final = "demo.example.com"
"""The group of the demo's custom resource."""
BACKUP_API: Final = f"{BACKUP_GROUP}/v1"
"""The `apiVersion` of its objects."""
NODE_LEASES: Final = "kube-node-lease"
"""The namespace of the kubelets' leases (KEP-589)."""

_REGISTRY: Final = "registry.example.com"


def namespace(name: str) -> Manifest:
    """Return a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def node(name: str, *, zone: str) -> Manifest:
    """Return a node that has just registered."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node-role.kubernetes.io/worker": "",
                "topology.kubernetes.io/zone": zone,
            },
        },
        "spec": {"providerID": f"demo://{zone}/{name}"},
    }


def node_status(name: str, *, address: str, now: str, pods: int = 110) -> Manifest:
    """Return a patch of a node's status: it is ready, and has room for so many pods."""
    capacity = {"cpu": str(max(16, pods // 5)), "memory": f"{max(64, pods // 5)}Gi", "pods": str(pods)}
    return {
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "allocatable": capacity,
            "capacity": capacity,
            "conditions": _node_conditions(now),
            "nodeInfo": {"kubeletVersion": "v1.36.0", "operatingSystem": "linux", "architecture": "amd64"},
        }
    }


def node_heartbeat(now: str) -> Manifest:
    """Return a patch of a node's status: a heartbeat of a healthy kubelet."""
    return {"status": {"conditions": _node_conditions(now)}}


def _node_conditions(now: str) -> list[Manifest]:
    return [
        {"type": kind, "status": status, "reason": reason, "lastHeartbeatTime": now}
        for kind, status, reason in (
            ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID"),
            ("Ready", "True", "KubeletReady"),
        )
    ]


def lease(node_name: str, now: str) -> Manifest:
    """Return the lease that a kubelet renews as its heartbeat."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node_name, "namespace": NODE_LEASES},
        "spec": {"holderIdentity": node_name, "leaseDurationSeconds": 40, "renewTime": now},
    }


def _pod_spec(app: str, image_tag: str, *, restart: str = "Always") -> Manifest:
    return {
        "restartPolicy": restart,
        "containers": [
            {
                "name": app,
                "image": f"{_REGISTRY}/{app}:{image_tag}",
                "env": [{"name": "REGION", "value": "eu-1"}, {"name": "LOG_LEVEL", "value": "info"}],
                "ports": [{"name": "http", "containerPort": 8080}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            }
        ],
    }


def _workload_spec(labels: dict[str, str], replicas: int, app: str, image_tag: str) -> Manifest:
    selected = {key: value for key, value in labels.items() if key in {"app", "pod-template-hash"}}
    return {
        "replicas": replicas,
        "selector": {"matchLabels": selected},
        "template": {"metadata": {"labels": labels}, "spec": _pod_spec(app, image_tag)},
    }


def deployment(name: str, space: str, *, labels: dict[str, str], replicas: int, image_tag: str) -> Manifest:
    """Return a deployment that is not rolled out yet."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": space, "labels": labels},
        "spec": _workload_spec(labels, replicas, name, image_tag),
    }


def pod(name: str, space: str, *, labels: dict[str, str], image_tag: str, command: str) -> Manifest:
    """Return a pod without a node, whose container runs a command once."""
    spec = _pod_spec(labels["app"], image_tag, restart="Never")
    spec["containers"][0]["command"] = ["sh", "-c", command]
    metadata = {"name": name, "namespace": space, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def backup_definition() -> Manifest:
    """Return the custom resource definition of the demo: scheduled backups."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"backups.{BACKUP_GROUP}"},
        "spec": {
            "group": BACKUP_GROUP,
            "scope": "Namespaced",
            "names": {"plural": "backups", "singular": "backup", "kind": "Backup", "shortNames": ["bk"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                        {"name": "Progress", "type": "integer", "jsonPath": ".status.progress"},
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                    ],
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}
                    },
                }
            ],
        },
    }


def backup(name: str, space: str, *, source: str, schedule: str) -> Manifest:
    """Return a backup that has not run yet."""
    return {
        "apiVersion": BACKUP_API,
        "kind": "Backup",
        "metadata": {"name": name, "namespace": space, "labels": {"app": source}},
        "spec": {"source": source, "schedule": schedule, "keep": 7},
    }
