"""Cutting out of objects what nobody reads, without decoding what is kept.

A third to a half of a pod, as the API server sends it, is `managedFields`: who owns which field, of interest to
server-side apply alone. What `kubectl apply` has made is there a second time, in an annotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LAST_APPLIED", "Trim"]

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation in which `kubectl apply` (client-side) keeps the whole of what was applied."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Trim:
    """What is cut out of each object before it is stored; `obj.raw` is then what is left of the JSON.

    The parts that are kept are not decoded, and stay byte for byte as the server sent them. An object of which nothing
    is to be cut is kept as it is.

    Args:
        managed_fields: cut `metadata.managedFields`. Do not when what is cached is sent back by server-side apply.
        annotations: the names of annotations to cut.
    """

    managed_fields: bool = True
    annotations: tuple[str, ...] = (LAST_APPLIED,)

    def __call__(self, obj: KubeObject) -> KubeObject:
        """The object without what is to be cut."""
        raw = obj.raw
        if not (
            (self.managed_fields and b'"managedFields"' in raw) or any(n.encode() in raw for n in self.annotations)
        ):
            return obj
        fields = _decode_fields(raw)
        metadata = _decode_fields(fields["metadata"])
        cut = False
        if self.managed_fields:
            cut = metadata.pop("managedFields", None) is not None
        if self.annotations and "annotations" in metadata:
            annotations = _decode_fields(metadata["annotations"])
            for name in self.annotations:
                if annotations.pop(name, None) is not None:
                    metadata["annotations"] = msgspec.Raw(_joined(annotations))
                    cut = True
        if not cut:
            return obj
        fields["metadata"] = msgspec.Raw(_joined(metadata))
        return KubeObject(_joined(fields), obj.metadata, obj.resource, obj.key)


def _joined(fields: Mapping[str, msgspec.Raw]) -> bytes:
    return b"{%s}" % b",".join(b"%s:%s" % (_encode(name), bytes(value)) for name, value in fields.items())
