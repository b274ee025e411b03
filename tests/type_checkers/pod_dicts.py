"""Classes of Kubernetes objects, made by `kinformer types pods --fields
spec.nodeName,spec.containers.image,status.phase --style typeddict --no-docs`.

The schemas are of Kubernetes 1.36.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class ObjectMeta(TypedDict):
    name: str
    namespace: NotRequired[str]


class Container(TypedDict):
    image: NotRequired[str]


class PodSpec(TypedDict):
    containers: list[Container]
    nodeName: NotRequired[str]


class PodStatus(TypedDict):
    phase: NotRequired[str]


class Pod(TypedDict):
    """Pod (v1)."""

    apiVersion: NotRequired[str]
    kind: NotRequired[str]
    metadata: ObjectMeta
    spec: PodSpec
    status: PodStatus
