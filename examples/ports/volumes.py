"""The operator of volumes_kopf.py on kinformer: each Volume has a PersistentVolumeClaim, with its size and labels.

kinformer run examples.ports.volumes --install
"""

from __future__ import annotations

from typing import Any

import msgspec

from kinformer import Client, Controller, Manager, ObjectKey, SharedInformerFactory, TerminalError, owned_by
from kinformer.custom_resources import CustomResource, ObjectMeta, custom_resource
from kinformer.resources import PERSISTENTVOLUMECLAIMS


class VolumeSpec(msgspec.Struct):
    """The wanted state."""

    size: str = ""


@custom_resource(group="example.com", version="v1", kind="Volume")
class Volume(CustomResource, msgspec.Struct):
    """A volume with a claim."""

    metadata: ObjectMeta
    spec: VolumeSpec = msgspec.field(default_factory=VolumeSpec)


def manager(client: Client) -> Manager:
    """Make the operator."""
    factory = SharedInformerFactory(client)
    volumes, claims = factory.informer(Volume), factory.informer(PERSISTENTVOLUMECLAIMS)
    cached = client.cached(factory)

    async def reconcile(key: ObjectKey) -> None:
        volume = volumes.lister.get(key)
        if volume is None:
            return  # Kubernetes deletes the claim together with its owner.
        if not volume.spec.size:
            raise TerminalError("the size must be set")
        await cached.apply(PERSISTENTVOLUMECLAIMS, claim_of(volume), field_manager="volumes", force=True)

    controller = Controller("volumes", reconcile).watches(volumes).owns(claims, owner=volumes)
    return Manager(host="").add(factory, controller)


def claim_of(volume: Volume) -> dict[str, Any]:
    """Return the claim of a volume."""
    meta = volume.metadata
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": meta.name, "namespace": meta.namespace, "labels": meta.labels},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": volume.spec.size}}},
    }
    return owned_by(claim, volume)
