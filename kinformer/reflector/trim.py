"""Cutting unread parts out of objects, without decoding the rest.

A third to a half of a pod, as the API server sends it, is `managedFields`: the owner of each field, of interest to
server-side apply alone. `kubectl apply` keeps its whole manifest a second time, in an annotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from kinformer.objects import KubeObject, decode_head

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LAST_APPLIED", "Trim"]

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation in which `kubectl apply` (client-side) keeps the whole manifest."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_check = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.encode

_OPENING: Final = b',"managedFields":['


@dataclass(frozen=True, slots=True)
class Trim:
    """The parts to cut out of each object before it is stored; `obj.raw` is then the rest of the JSON.

    The parts that are kept are not decoded, and stay byte for byte as the server sent them. An object of which nothing
    is to be cut is kept as it is.

    Args:
        managed_fields: cut `metadata.managedFields`. Do not if cached objects are sent back by server-side apply.
        annotations: the names of annotations to cut.
    """

    managed_fields: bool = True
    annotations: tuple[str, ...] = (LAST_APPLIED,)

    def __call__(self, obj: KubeObject) -> KubeObject:
        """Return the object without the parts to cut."""
        left = _without_managed_fields(obj) if self.managed_fields else obj
        annotations = left.metadata.annotations
        if self.annotations and isinstance(annotations, msgspec.Raw):
            text = bytes(annotations)
            if any(name.encode() in text for name in self.annotations):
                return self._cut_fields(left)
        return left

    def _cut_fields(self, obj: KubeObject) -> KubeObject:
        """Cut annotations out; the metadata is taken apart for that."""
        fields = _decode_fields(obj.raw)
        metadata = _decode_fields(fields["metadata"])
        annotations = _decode_fields(metadata["annotations"])
        kept = {name: value for name, value in annotations.items() if name not in self.annotations}
        if len(kept) == len(annotations):
            return obj
        metadata["annotations"] = msgspec.Raw(_joined(kept))
        fields["metadata"] = msgspec.Raw(_joined(metadata))
        return _remade(obj, _joined(fields))


def _without_managed_fields(obj: KubeObject) -> KubeObject:
    """The object without `metadata.managedFields`, cut out of the bytes.

    In the usual spelling they are one list with no other list in it, so its end is the next bracket. That it is, and
    that the list is a field of the metadata and of nothing else, shows when the text before it and the list itself are
    decoded: each must be JSON, and the metadata must be what the cut opens.
    """
    raw = obj.raw
    at = raw.find(_OPENING)
    if at < 0:
        return _without_field(obj) if b'"managedFields"' in raw else obj
    start = at + len(_OPENING) - 1
    end = raw.find(b"]", start) + 1
    before = raw[:at] + b"}}"
    try:
        _check(raw[start:end])
        fields = _decode_fields(before)
    except msgspec.DecodeError:
        return _without_field(obj)
    name = next(reversed(fields), "")
    if name != "metadata" or not before.endswith(bytes(fields[name]) + b"}"):
        return _without_field(obj)
    left = _remade(obj, raw[:at] + raw[end:])
    # The field is there twice, or it is one of the spec, too. No API server writes the former.
    rest = raw.find(b',"spec":', end)
    if raw.find(b'"managedFields"', end, len(raw) if rest < 0 else rest) >= 0:
        return _without_field(left)
    return left


def _without_field(obj: KubeObject) -> KubeObject:
    """The same in any spelling: the metadata is taken apart for that."""
    fields = _decode_fields(obj.raw)
    metadata = _decode_fields(fields["metadata"])
    if metadata.pop("managedFields", None) is None:
        return obj
    fields["metadata"] = msgspec.Raw(_joined(metadata))
    return _remade(obj, _joined(fields))


def _remade(obj: KubeObject, raw: bytes) -> KubeObject:
    """An object of other bytes with the same head; its places are found anew, so that nothing holds the old bytes."""
    envelope = decode_head(raw)
    return KubeObject(raw, envelope.metadata, obj.resource, obj.key, envelope)


def _joined(fields: Mapping[str, msgspec.Raw]) -> bytes:
    return b"{%s}" % b",".join(b"%s:%s" % (_encode(name), bytes(value)) for name, value in fields.items())
