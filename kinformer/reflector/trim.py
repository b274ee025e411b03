"""Cutting unread parts out of objects, without decoding the rest.

A third to a half of a pod, as the API server sends it, is `managedFields`: the owner of each field, of interest to
server-side apply alone. `kubectl apply` keeps its whole manifest a second time, in an annotation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from kinformer._heads import ABSENT, MovedPlaces
from kinformer.objects import KubeObject, decode_head

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LAST_APPLIED", "Trim"]

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation in which `kubectl apply` (client-side) keeps the whole manifest."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_check = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.encode


class _WithMetadata(msgspec.Struct, gc=False):
    metadata: msgspec.Raw


_decode_metadata = msgspec.json.Decoder(_WithMetadata).decode
_OPENING: Final = b',"managedFields":['
_BRACE: Final = ord("}")


@dataclass(frozen=True, slots=True)
class Trim:
    """The parts to cut out of each object before it is stored; `obj.raw` is then the rest of the JSON.

    The parts that are kept are not decoded, and stay byte for byte as the server sent them. An object of which nothing
    is to be cut is kept as it is.

    Args:
        managed_fields: cut `metadata.managedFields`. Do not if cached objects are sent back by server-side apply.
        annotations: the names of annotations to cut.

    Examples:
        >>> factory = SharedInformerFactory(client, trim=Trim())
    """

    managed_fields: bool = True
    annotations: tuple[str, ...] = (LAST_APPLIED,)
    _encoded: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_encoded", tuple(name.encode() for name in self.annotations))

    def __call__(self, obj: KubeObject) -> KubeObject:
        """Return the object without the parts to cut."""
        left = _without_managed_fields(obj) if self.managed_fields else obj
        annotations = left.metadata.annotations
        if isinstance(annotations, msgspec.Raw):
            text = bytes(annotations)
            for name in self._encoded:
                if name in text:
                    return self._cut_fields(left)
        return left

    def _cut_fields(self, obj: KubeObject) -> KubeObject:
        """Return the object without the annotations to cut; this decodes the fields of the metadata."""
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
    """Return the object without `metadata.managedFields`, cut out of the bytes.

    In the usual spelling, the field is one list that contains no other list, so it ends at the next bracket. Two checks
    prove that, and that the field belongs to the metadata. The list itself must be valid JSON. The text before it,
    closed with two braces, must be valid JSON whose last field is `metadata`.
    """
    raw = obj.raw
    at = raw.find(b'"managedFields"') - 1
    if at < 0:
        return obj
    if raw[at : at + len(_OPENING)] != _OPENING:
        return _without_field(obj)
    usual = _without_last_field(obj, at)
    if usual is not None:
        return usual
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
    # The metadata has the field twice (no API server writes that), or the spec has a field of that name, too.
    rest = raw.find(b',"spec":', end)
    if raw.find(b'"managedFields"', end, len(raw) if rest < 0 else rest) >= 0:
        return _without_field(left)
    return left


def _without_last_field(obj: KubeObject, at: int) -> KubeObject | None:
    """Return the object without its `managedFields` if they lie where API servers write them; else `None`.

    They are the last field of the metadata, and after the metadata come `spec` and `status`, if anything. Nothing but
    the text before them is decoded anew, because the whole object is known to be JSON:

    - A section is at the end if its text is there, its name before it, and one brace after it. In JSON, a comma and a
      name with its quotes cannot be a part of a string, and only the object's own fields are one brace from its end.
    - The list begins in the metadata, as the text before it shows. It ends at a bracket, and the only one between its
      begin and the end of the metadata is the last character before that end.
    """
    raw, places = obj.raw, obj.places
    if places is None or places.data is not ABSENT or places.declared:
        return None
    end = len(raw) - 1
    status_at = spec_at = 0
    if places.status is not ABSENT:
        text = bytes(places.status)
        status_at = end - len(text)
        if not raw.startswith(text, status_at) or raw[status_at - 10 : status_at] != b',"status":':
            return None
        end = status_at - 10
    spec_end = end
    if places.spec is not ABSENT:
        text = bytes(places.spec)
        spec_at = end - len(text)
        if not raw.startswith(text, spec_at) or raw[spec_at - 8 : spec_at] != b',"spec":':
            return None
        end = spec_at - 8
    status_end = len(raw) - 1
    if raw.find(b"]", at) != end - 2 or raw[end - 1] != _BRACE or raw[status_end] != _BRACE:
        return None
    before = raw[:at] + b"}}"
    try:
        metadata = bytes(_decode_metadata(before).metadata)
    except msgspec.DecodeError:
        return None
    if not before.endswith(b'"metadata":%s}' % metadata):
        return None
    left = raw[:at] + raw[end - 1 :]
    cut = len(raw) - len(left)
    view = memoryview(left)
    moved = MovedPlaces(
        msgspec.Raw(view[spec_at - cut : spec_end - cut]) if spec_at else ABSENT,
        msgspec.Raw(view[status_at - cut : status_end - cut]) if status_at else ABSENT,
    )
    # The head must not keep the earlier JSON in memory.
    head = obj.metadata.copy()
    if isinstance(head.annotations, msgspec.Raw):
        head.annotations = msgspec.Raw(bytes(head.annotations))
    head.decode_all()
    return KubeObject(left, head, obj.resource, obj.key, moved)


def _without_field(obj: KubeObject) -> KubeObject:
    """Return the object without `metadata.managedFields`, in any spelling: decode the metadata to find the field."""
    fields = _decode_fields(obj.raw)
    metadata = _decode_fields(fields["metadata"])
    if metadata.pop("managedFields", None) is None:
        return obj
    fields["metadata"] = msgspec.Raw(_joined(metadata))
    return _remade(obj, _joined(fields))


def _remade(obj: KubeObject, raw: bytes) -> KubeObject:
    """Return the object with other bytes; decode its head anew, so that nothing keeps the old bytes in memory."""
    envelope = decode_head(raw) if obj.places is None else decode_head(raw, obj.places.decoder)
    return KubeObject(raw, envelope.metadata, obj.resource, obj.key, envelope)


def _joined(fields: Mapping[str, msgspec.Raw]) -> bytes:
    return b"{%s}" % b",".join(b"%s:%s" % (_encode(name), bytes(value)) for name, value in fields.items())
