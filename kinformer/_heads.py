"""The head of an object: the fields that one pass over its JSON decodes, and the places of its large sections.

The pass has to go over all of the JSON anyway, to prove that it is JSON. It decodes the few fields that nearly every
handler, index or filter asks for, and notes the places of other fields and of the large sections, so that nothing looks
for them again. Owners and finalizers are decoded when they are first read. Values that many objects have in common
(labels, owners, finalizers) are decoded once and shared.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self, TypeAlias, TypeVar

import msgspec

from kinformer._any_json import decode_any
from kinformer._recent import MadeOnce

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer.resources import Resource

__all__ = [
    "ABSENT",
    "SMALL",
    "Envelope",
    "Metadata",
    "MovedPlaces",
    "NotedValue",
    "OwnerReference",
    "Places",
    "as_sent_head",
    "decode_answer_head",
    "decode_envelope",
    "decode_head",
    "find_places",
    "label_sets",
    "owner_of",
]

T = TypeVar("T")

ABSENT: Final = msgspec.Raw()
"""The place of a section that the object does not have."""

# Pods come in sets of five or ten with equal labels, so this is enough for a hundred thousand of them; some 4 MB.
_REMEMBERED_LABEL_SETS: Final = 16_384

# Lists bring the pods of one set one after the other, and a new state of an object has the owners of the one before it.
_REMEMBERED_OWNER_SETS: Final = 512

_REMEMBERED_FINALIZERS: Final = 512

# Bytes of a field of the head. Kubernetes allows 256 KiB for all annotations of an object (apimachinery,
# TotalAnnotationSizeLimitB); a reference to an owner takes some 150 bytes.
_LABELS_LIMIT: Final = 256 * 1024
_OWNERS_LIMIT: Final = 1024 * 1024

SMALL: Final = _LABELS_LIMIT
"""An object of at most so many bytes has no field of the head that is longer than its limit."""

# The fields of the head that are plain texts.
_TEXTS: Final = ("name", "namespace", "uid", "resource_version")


class OwnerReference(msgspec.Struct, frozen=True, gc=False):
    """One entry of `metadata.ownerReferences` (meta/v1).

    Attributes:
        api_version: group and version of the owner, such as "apps/v1".
        kind: its kind.
        name: its name; it lies in the same namespace, or in none.
        uid: its UID. Another object of the same name is no owner.
        controller: whether it is the one that manages the object.
        block_owner_deletion: whether the owner, when deleted in the foreground, waits until the object is gone.
    """

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False

    @property
    def group(self) -> str:
        """The owner's API group, "" for the core group."""
        return self.api_version.rpartition("/")[0]

    def is_of(self, resource: Resource) -> bool:
        """Return whether the owner is of this resource, in any version."""
        return (self.group, self.kind) == (resource.group, resource.kind)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        entry: dict[str, Any] = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
        }
        if self.controller:
            entry["controller"] = True
        if self.block_owner_deletion:
            entry["blockOwnerDeletion"] = True
        return entry


Owners: TypeAlias = "tuple[OwnerReference, ...]"
Finalizers: TypeAlias = tuple[str, ...]


class Metadata(msgspec.Struct, gc=False, rename="camel", eq=False):
    """The head: the decoded fields of every object. It cannot be part of a reference cycle, so the collector skips it.

    Attributes:
        name: `metadata.name`.
        namespace: `metadata.namespace`, "" for a cluster-scoped object.
        uid: `metadata.uid`.
        resource_version: `metadata.resourceVersion`.
        labels: `metadata.labels`; `None` where there are none.
        generation: `metadata.generation`; `None` for resources that have none.
        deletion_timestamp: `metadata.deletionTimestamp` as sent; `None` while the object is not being deleted.
        annotations: the JSON of `metadata.annotations`; `None` where there are none, `UNSET` where only the object's
            own JSON knows (compact storage keeps no places in JSON that it has compressed).
    """

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    generation: int | None = None
    deletion_timestamp: str | None = None
    annotations: msgspec.Raw | msgspec.UnsetType | None = None
    # JSON until they are first read.
    _owners: Owners | msgspec.Raw | None = None
    _finalizers: Finalizers | msgspec.Raw | None = None

    @property
    def owner_references(self) -> Owners:
        """`metadata.ownerReferences`."""
        owners = self._owners
        if type(owners) is msgspec.Raw:
            owners = self._owners = _owner_sets[bytes(owners)]
        return owners or ()

    @property
    def finalizers(self) -> Finalizers:
        """`metadata.finalizers`."""
        finalizers = self._finalizers
        if type(finalizers) is msgspec.Raw:
            finalizers = self._finalizers = _finalizer_sets[bytes(finalizers)]
        return finalizers or ()

    def copy(self) -> Self:
        """Return another head with the same fields."""
        copied: Self = self.__copy__()  # type: ignore[attr-defined]  # of every Struct
        return copied

    def decode_all(self) -> None:
        """Decode the owners and finalizers now. Then the head no longer keeps their JSON in memory."""
        if self._owners is not None:
            self._owners = self.owner_references
        if self._finalizers is not None:
            self._finalizers = self.finalizers

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the decoded fields that the object has; no annotations, as those of a Secret may have its data."""
        fields = ((name, getattr(self, name)) for name in _DECODED)
        return [(name, value) for name, value in fields if value not in (None, "", ())]

    def __repr__(self) -> str:
        return f"Metadata({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __eq__(self, other: object) -> bool:
        """Compare the decoded fields; the annotations are only a place."""
        if not isinstance(other, Metadata):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _DECODED)

    __hash__ = None  # type: ignore[assignment]


_DECODED: Final = (
    *("name", "namespace", "uid", "resource_version", "labels", "generation", "deletion_timestamp"),
    *("owner_references", "finalizers"),
)


class _HeadAsSent(Metadata, gc=False, rename="camel", eq=False):
    """A head as it is decoded; `decode_head` puts the shared labels in place of their JSON."""

    # msgspec knows no "JSON or nothing", hence the defaults.
    labels: msgspec.Raw = None  # type: ignore[assignment]
    generation: Any = None
    deletion_timestamp: Any = None
    annotations: msgspec.Raw = None  # type: ignore[assignment]
    _owners: msgspec.Raw = msgspec.field(default=None, name="ownerReferences")  # type: ignore[assignment]
    _finalizers: msgspec.Raw = msgspec.field(default=None, name="finalizers")  # type: ignore[assignment]


class _HeadWithNulls(_HeadAsSent, gc=False, rename="camel", eq=False):
    """A head in which texts may be null: to Go, a null is the empty text. Some aggregated API servers send them."""

    name: str | None = ""  # type: ignore[assignment]
    namespace: str | None = ""  # type: ignore[assignment]
    uid: str | None = ""  # type: ignore[assignment]
    resource_version: str | None = ""  # type: ignore[assignment]


class NotedValue(Protocol):
    """The value at a declared path; see `kinformer._declared_paths`."""

    @property
    def section(self) -> str:
        """The top-level field in which the path begins."""
        ...

    def read(self, places: Places, default: Any) -> Any:
        """Return the value, or the default if the path leads nowhere."""
        ...


class Places(msgspec.Struct, gc=False):
    """The places of the large sections in the JSON of an object; `ABSENT` for a section that it does not have.

    With declared paths, a section that the pass looks into has no place: it is `UNSET`.

    Attributes:
        declared: where the values at the declared paths are kept.
        decoder: decodes the head of another state of the object in the same way.
    """

    # msgspec would evaluate the annotations.
    if TYPE_CHECKING:
        declared: ClassVar[Mapping[str, NotedValue]]
        decoder: ClassVar[staticmethod[[bytes], Envelope]]
    else:
        declared = MappingProxyType({})

    spec: msgspec.Raw = ABSENT
    status: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT


class MovedPlaces(Places, gc=False):
    """Places that were computed, and not decoded: each takes twice the memory, so a cache does not store them."""


class Envelope(Places, gc=False, kw_only=True):
    metadata: _HeadAsSent


class _EnvelopeWithNulls(Places, gc=False, kw_only=True):
    metadata: _HeadWithNulls
    kind: str = ""


class AnswerEnvelope(Places, gc=False):
    metadata: _HeadAsSent = msgspec.field(default_factory=_HeadAsSent)
    kind: str = ""


as_sent_head: Final = _HeadAsSent

decode_envelope = msgspec.json.Decoder(Envelope).decode
"""Decode a head as `decode_head` does, but leave the labels as JSON, and refuse nulls in place of texts."""

Places.decoder = staticmethod(decode_envelope)

_decode_with_nulls = msgspec.json.Decoder(_EnvelopeWithNulls).decode
_decode_answer_envelope = msgspec.json.Decoder(AnswerEnvelope).decode
find_places = msgspec.json.Decoder(Places).decode
"""Find the sections of an object that was decoded before."""

_decode_string_map = msgspec.json.Decoder(dict[str, str | None] | None).decode
# The same text, as one string that all objects share.
_one_string: Final[MadeOnce[str, str]] = MadeOnce(4096, str)


def _decode_labels(text: bytes) -> dict[str, str] | None:
    found = _decode_string_map(text)
    return None if found is None else {_one_string[name]: _one_string[value or ""] for name, value in found.items()}


def _check_sizes(head: _HeadAsSent) -> None:
    """Refuse fields that would take too long to decode: the loop must not stop for a single object.

    Raises:
        msgspec.ValidationError: a field is longer than its limit.
    """
    sized: tuple[tuple[str, msgspec.Raw | None, int], ...] = (
        ("labels", head.labels, _LABELS_LIMIT),
        ("finalizers", head._finalizers, _LABELS_LIMIT),
        ("ownerReferences", head._owners, _OWNERS_LIMIT),
    )
    for field, text, limit in sized:
        size = 0 if text is None else memoryview(text).nbytes
        if size > limit:
            msg = f"`$.metadata.{field}` has {size:,} bytes, and at most {limit:,} are read"
            raise msgspec.ValidationError(msg)


def _decode_owners(text: bytes) -> Owners:
    found = decode_any(text)
    if not isinstance(found, list):
        return ()  # null, or what no API server lets through
    return tuple(owner_of(entry) for entry in found if isinstance(entry, dict))


def _shared(value: Any) -> Any:
    """Return the one string that all objects share in place of an equal one; another value as it is."""
    return _one_string[value] if type(value) is str else value


def owner_of(entry: dict[str, Any]) -> OwnerReference:
    """The owner that an entry of `metadata.ownerReferences` means."""
    return OwnerReference(
        _shared(entry.get("apiVersion") or ""),
        _shared(entry.get("kind") or ""),
        entry.get("name") or "",
        entry.get("uid") or "",
        bool(entry.get("controller")),
        bool(entry.get("blockOwnerDeletion")),
    )


def _decode_finalizers(text: bytes) -> Finalizers:
    found = decode_any(text)
    return tuple(_one_string[name] for name in found if isinstance(name, str)) if isinstance(found, list) else ()


# Many objects have equal labels, owners and finalizers, and share them by their JSON: decoded once, kept once.
label_sets: Final[MadeOnce[bytes, dict[str, str] | None]] = MadeOnce(_REMEMBERED_LABEL_SETS, _decode_labels)
_owner_sets: Final[MadeOnce[bytes, Owners]] = MadeOnce(_REMEMBERED_OWNER_SETS, _decode_owners)
_finalizer_sets: Final[MadeOnce[bytes, Finalizers]] = MadeOnce(_REMEMBERED_FINALIZERS, _decode_finalizers)


def decode_head(raw: bytes, decode: Callable[[bytes], Envelope] = decode_envelope) -> Envelope:
    """Go over the whole of an object, which proves that it is JSON; decode its head, and note where its sections are.

    Args:
        raw: the JSON of the object.
        decode: a decoder that also notes the values at declared paths; see `DeclaredPaths`.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: it is not JSON, or not what every object looks like.
    """
    try:
        envelope = decode(raw)
    except msgspec.ValidationError:
        # Also an object in which a declared path leads through a value of another type: it is read without the paths.
        found = _decode_with_nulls(raw)
        envelope = Envelope(found.spec, found.status, found.data, metadata=_without_nulls(found.metadata))
    head = envelope.metadata
    if len(raw) > SMALL:
        _check_sizes(head)
    labels = head.labels
    if labels is not None:
        head.labels = label_sets[bytes(labels)]  # type: ignore[assignment]
    return envelope


def decode_answer_head(raw: bytes) -> AnswerEnvelope:
    """Decode as `decode_head`, but an object that may lack metadata and a name: answers that are not kept (reviews)."""
    try:
        envelope = _decode_answer_envelope(raw)
    except msgspec.ValidationError:
        found = _decode_with_nulls(raw)
        head = _without_nulls(found.metadata)
        envelope = AnswerEnvelope(found.spec, found.status, found.data, metadata=head, kind=found.kind)
    head = envelope.metadata
    if len(raw) > SMALL:
        _check_sizes(head)
    if head.labels is not None:
        head.labels = label_sets[bytes(head.labels)]  # type: ignore[assignment]
    return envelope


def _without_nulls(head: _HeadWithNulls) -> _HeadAsSent:
    """Return a head with the empty text in place of each null."""
    fields: dict[str, Any] = {name: getattr(head, name) for name in _HeadAsSent.__struct_fields__}
    fields.update({name: fields[name] or "" for name in _TEXTS})
    return _HeadAsSent(**fields)
