"""A kopf operator: each Volume (example.com/v1) has a PersistentVolumeClaim, which grows with it and has its labels.

    kopf run examples/ports/volumes_kopf.py --namespace default

The same operator on kinformer is in volumes.py; a test holds both to the same scenarios.
"""

from __future__ import annotations

from typing import Any

import kopf
from kubernetes import client


@kopf.on.create("example.com", "v1", "volumes")
def create(spec: kopf.Spec, name: str, namespace: str, labels: kopf.Labels, **_: Any) -> dict[str, str]:
    """Create the claim."""
    size = spec.get("size")
    if not size:
        raise kopf.PermanentError("the size must be set")
    claim: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }
    kopf.adopt(claim)
    made = client.CoreV1Api().create_namespaced_persistent_volume_claim(namespace, claim)
    return {"claim": str(made.metadata.name)}


@kopf.on.update("example.com", "v1", "volumes", field="spec.size")
def resize(spec: kopf.Spec, status: kopf.Status, namespace: str, **_: Any) -> None:
    """Let the claim grow."""
    patch = {"spec": {"resources": {"requests": {"storage": spec["size"]}}}}
    name = status["create"]["claim"]
    client.CoreV1Api().patch_namespaced_persistent_volume_claim(name, namespace, patch)


@kopf.on.field("example.com", "v1", "volumes", field="metadata.labels")
def relabel(diff: kopf.Diff, status: kopf.Status, namespace: str, **_: Any) -> None:
    """Pass a change of the labels on."""
    name = status.get("create", {}).get("claim")
    if name:
        changes = {field[0]: new for _, field, _, new in diff if field}
        patch = {"metadata": {"labels": changes}}
        client.CoreV1Api().patch_namespaced_persistent_volume_claim(name, namespace, patch)
