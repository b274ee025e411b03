"""`ObjectMeta`: the metadata of an object, as a class for fields of your own classes."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any

import msgspec

from kinformer._object_key import ObjectKey

__all__ = ["ObjectMeta"]


class ObjectMeta(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The metadata of an object. Fields that are not here are skipped when an object is decoded.

    Attributes:
        name: the name, unique for its kind and namespace.
        namespace: "" for cluster-scoped objects.
        generate_name: the prefix from which the server makes a name.
        uid: unique for all times.
        resource_version: the version of the object; opaque.
        generation: grows with each change of the spec.
        creation_timestamp: the time of its creation.
        deletion_timestamp: the time from which on it is to go; `None` if it is not being deleted.
        labels: the labels.
        annotations: the annotations.
        finalizers: the names of those that must agree before it goes.
        owner_references: its owners, as in the manifest.
    """

    name: str = ""
    namespace: str = ""
    generate_name: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    owner_references: list[dict[str, Any]] = []

    @property
    def key(self) -> ObjectKey:
        """The namespace and name of the object."""
        return ObjectKey(self.namespace, self.name)
