"""Classes of Kubernetes objects, made by `kinformer types pods --fields
spec.nodeName,spec.containers.image,status.phase --no-docs`.

The schemas are of Kubernetes 1.36.
"""

from __future__ import annotations

import msgspec


class ObjectMeta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    name: str
    namespace: str = ""


class Container(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    image: str | None = None


class PodSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    containers: list[Container]
    node_name: str | None = None


class PodStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    phase: str | None = None


class Pod(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Pod (v1)."""

    api_version: str = "v1"
    kind: str = "Pod"
    metadata: ObjectMeta
    spec: PodSpec
    status: PodStatus = msgspec.field(default_factory=PodStatus)
