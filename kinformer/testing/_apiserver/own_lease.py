"""The Lease by which an API server says that it lives."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.writing import Write

if TYPE_CHECKING:
    from datetime import datetime

    from kinformer.testing._apiserver.rules.registry import Registry

__all__ = ["renew_own_lease"]

_NAME: Final = "apiserver-kinformer"
_NAMESPACE: Final = "kube-system"
_OURS: Final = Write("kube-apiserver")


def renew_own_lease(registry: Registry, now: datetime) -> None:
    """Write the Lease that each kube-apiserver has (pkg/controlplane/apiserver, identity lease)."""
    kind = registry.catalog.of_kind("coordination.k8s.io/v1", "Lease")
    assert kind is not None  # it is built in
    store = registry.store
    metadata = {
        "name": _NAME,
        "namespace": _NAMESPACE,
        "labels": {"apiserver.kubernetes.io/identity": "kube-apiserver"},
    }
    spec = {
        "holderIdentity": f"{_NAME}_{store.revision}",
        "leaseDurationSeconds": 3600,
        "renewTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    lease: dict[str, Any] = {"metadata": metadata, "spec": spec}
    if store.get(kind.storage, (_NAMESPACE, _NAME)) is None:
        registry.create(kind, _NAMESPACE, lease, _OURS)
    else:
        current = registry.get(kind, _NAMESPACE, _NAME)
        metadata["resourceVersion"] = current.manifest["metadata"]["resourceVersion"]
        registry.update(kind, _NAMESPACE, _NAME, lease, _OURS)
