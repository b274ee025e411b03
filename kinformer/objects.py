"""Kubernetes objects as the cache holds them: the JSON bytes as the server sent them, and a small decoded head.

The head (name, namespace, uid, resource version, labels, generation, owners, ...) is decoded once, when an object
arrives; the same pass notes where the large sections are. Everything else is decoded when a reader first asks for it,
field by field, and lives as long as the reader: the cache and the queues hold bytes and places only. So a handler that
looks at names and labels pays nothing for a 9 KB pod, and changing a view never changes the cache.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, overload

import msgspec

from kinformer._any_json import SHORT, check_depth, decode_any
from kinformer._heads import ABSENT, Metadata, OwnerReference, Places, decode_head, find_places
from kinformer._lazy_dict import LazyDict, decode_lazily
from kinformer._manifest_fields import MANIFEST_FIELDS
from kinformer._models import model_of
from kinformer._object_key import ObjectKey, version_number
from kinformer._path_finders import PLACED, PathFinder, finder_of
from kinformer._paths import steps_of, value_at
from kinformer._pydantic import PydanticSerializer, instance_schema
from kinformer.errors import DecodeError

if TYPE_CHECKING:
    from kinformer._declared_paths import DeclaredPaths
    from kinformer.resources import Resource

__all__ = [
    "KubeObject",
    "LazyDict",
    "Metadata",
    "ObjectKey",
    "OwnerReference",
    "decode_head",
    "decode_object",
    "version_number",
]

T = TypeVar("T")

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

# Which field of the head answers a path; only where it has something, for else JSON null and nothing look the same.
_IN_HEAD: Final = {
    "metadata.name": "name",
    "metadata.namespace": "namespace",
    "metadata.uid": "uid",
    "metadata.resourceVersion": "resource_version",
    "metadata.generation": "generation",
    "metadata.deletionTimestamp": "deletion_timestamp",
}


_decode_sections = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _MetadataOnly(msgspec.Struct, gc=False):
    metadata: dict[str, msgspec.Raw]


class _WholeMetadataOnly(msgspec.Struct, gc=False):
    metadata: dict[str, Any]


_decode_metadata = msgspec.json.Decoder(_MetadataOnly).decode
_decode_whole_metadata = msgspec.json.Decoder(_WholeMetadataOnly).decode
_encode = msgspec.json.Encoder().encode
# An object that begins with both, as in a watch.
_NAMED: Final = re.compile(
    rb'\{"(?:kind":"[^"\\]*","apiVersion|apiVersion":"[^"\\]*","kind)":"[^"\\]*"[,}]',
)
_LAST: Final = ((b',"status":', "status"), (b',"spec":', "spec"))
_UNDECODED: Final = (msgspec.Raw, type(None))
# `msgspec.UNSET` is looked up in two steps, at each read.
_UNSET: Final = msgspec.UNSET
_ANNOTATIONS: Final = ["metadata", "annotations"]


class _AllSections(dict[str, Any]):
    """All top-level fields of an object; in a plain dict only those that were read."""

    __slots__ = ()


if TYPE_CHECKING:

    class _Base(Mapping[str, Any]):
        """The class that type checkers see: a `Mapping` whose constructor takes the fields."""

        def __init__(
            self, raw: bytes, metadata: Metadata, resource: Resource, key: ObjectKey, places: Places | None = None
        ) -> None: ...
        def __init_subclass__(cls, **options: bool) -> None: ...
        def __copy__(self) -> Self: ...

else:
    # One object is made per event and one per read, and as many are kept as the cache has: a msgspec.Struct is made in
    # a third of the time and takes no collector's attention, but cannot inherit from an abstract class; see below.
    _Base = msgspec.Struct


class KubeObject(_Base, eq=False, gc=False):
    """A read-only view of one object.

    As a mapping it is the whole manifest: `obj["spec"]["nodeName"]`. Items of a list come without `kind` and
    `apiVersion` on the wire; the view shows them all the same. Equal views have equal manifests; views can be hashed.

    What `[]` returns for a section is a `LazyDict`: a dict whose fields are decoded when they are first read. It
    belongs to this view, and changing it changes neither the cache nor another view, but all handlers of one event are
    given the same view, so take `to_dict()` to make changes.

    Attributes:
        raw: the JSON as the server sent it.
        metadata: the decoded head; do not change it.
        resource: what this is an object of.
        key: namespace and name.
        places: where the large sections are in the JSON; `None` until they have been looked for.

    Examples:
        >>> pod = pods.lister.get("web-0", namespace="default")
        >>> pod.name, pod.namespace, dict(pod.labels)
        ('web-0', 'default', {'app': 'web-0'})
        >>> pod["spec"]["nodeName"], pod.at("status.hostIP", default="none yet")
        ('node-1', 'none yet')
        >>> changed = pod.to_dict()
        >>> changed["metadata"]["labels"]["tier"] = "front"
    """

    raw: bytes
    metadata: Metadata
    resource: Resource
    key: ObjectKey
    places: Places | None = None
    _sections: dict[str, Any] | None = None

    @classmethod
    def from_json(cls, raw: bytes, resource: Resource) -> Self:
        """Decode the head of an object.

        Raises:
            DecodeError: this is not JSON, or not an object with a `metadata.name`.
        """
        return decode_object(raw, resource, into=cls)

    @classmethod
    def from_dict(cls, manifest: Mapping[str, Any], resource: Resource) -> Self:
        """Make an object of a manifest.

        Raises:
            DecodeError: it cannot be written as JSON, or has no `metadata.name`.
        """
        if isinstance(manifest, KubeObject):
            return cls(manifest.raw, manifest.metadata, resource, manifest.key, manifest.places)
        try:
            # A copy: msgspec returns the buffer that it wrote to, which is up to half as large again.
            raw = bytes(memoryview(_encode(manifest)))
        except (TypeError, ValueError, OverflowError) as error:
            msg = f"cannot be written as JSON: {error}"
            raise DecodeError(msg, resource=resource.full_name) from error
        return cls.from_json(raw, resource)

    def view(self) -> Self:
        """Another view of the same object, with nothing decoded beyond the head."""
        return type(self)(self.raw, self.metadata, self.resource, self.key, self.places)

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """`metadata.namespace`; "" for a cluster-scoped object."""
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        """`metadata.uid`: another object of the same name has another one."""
        return self.metadata.uid

    @property
    def resource_version(self) -> str:
        """`metadata.resourceVersion`."""
        return self.metadata.resource_version

    @property
    def labels(self) -> Mapping[str, str]:
        """`metadata.labels`, read-only; empty when there are none."""
        labels = self.metadata.labels
        return _NOTHING if labels is None else MappingProxyType(labels)

    @property
    def annotations(self) -> Mapping[str, str]:
        """`metadata.annotations`, read-only, decoded at each call; empty when there are none."""
        text = self._annotations_json()
        found = None if text is None else decode_any(text)
        return MappingProxyType(found) if isinstance(found, dict) else _NOTHING

    def has_annotations_of(self, other: KubeObject) -> bool:
        """Return whether another object or state has equal annotations. They are decoded only if their JSON differs."""
        mine, its = self._annotations_json(), other._annotations_json()
        if mine is None or its is None:
            return self.annotations == other.annotations
        return bytes(mine) == bytes(its) or self.annotations == other.annotations

    @property
    def generation(self) -> int | None:
        """`metadata.generation`: the server counts it up when the wanted state changes, and not with the status.

        `None` for resources that have none (ConfigMaps, Secrets, Nodes, ...).
        """
        return self.metadata.generation

    @property
    def deletion_timestamp(self) -> str | None:
        """`metadata.deletionTimestamp` as sent (RFC 3339); `None` unless the object waits for its finalizers."""
        return self.metadata.deletion_timestamp

    @property
    def finalizers(self) -> tuple[str, ...]:
        """`metadata.finalizers`: the names of those that have to clean up before the object can go."""
        return self.metadata.finalizers

    @property
    def owner_references(self) -> tuple[OwnerReference, ...]:
        """`metadata.ownerReferences`, in their order."""
        return self.metadata.owner_references

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages the object, if it has one."""
        for owner in self.metadata.owner_references:
            if owner.controller:
                return owner
        return None

    @property
    def kind(self) -> str:
        """The kind of its resource, such as "Pod" (also of a metadata-only object)."""
        return self.resource.kind

    @property
    def api_version(self) -> str:
        """The group and version of its resource, such as "apps/v1"."""
        return self.resource.api_version

    def drop_decoded(self) -> None:
        """Drop the decoded sections of the view; they are decoded again when they are read again."""
        self._sections = None

    def _annotations_json(self) -> msgspec.Raw | None:
        text = self.metadata.annotations
        # Unknown for a compressed object: its head keeps no place in a text that is not there.
        return decode_head(self.raw).metadata.annotations if isinstance(text, msgspec.UnsetType) else text

    def _all_sections(self) -> dict[str, Any]:
        """The top-level fields, each still raw until it is read."""
        sections = self._sections
        if type(sections) is not _AllSections:
            found = _AllSections(self._found_sections())
            if "kind" not in found or "apiVersion" not in found:
                named = {"kind": self.resource.kind, "apiVersion": self.resource.api_version}
                found = _AllSections({**named, **found})
            if sections:
                found.update(sections)
            self._sections = sections = found
        return sections

    def _found_sections(self) -> dict[str, msgspec.Raw]:
        text = self._before_spec()
        if text is not None:
            try:
                found = _decode_sections(text)
            except msgspec.DecodeError:
                pass
            else:
                places = self.places
                assert places is not None
                if places.spec is not ABSENT:
                    found["spec"] = places.spec
                if places.status is not ABSENT:
                    found["status"] = places.status
                return found
        return _decode_sections(self.raw)

    def _metadata_fields(self) -> dict[str, Any] | None:
        """The fields of the metadata, found in one pass: not first their place, and then the fields.

        Those of a small object come decoded, which is cheaper than to leave them as JSON. `None` where a pass over all
        sections has been made, or is needed.
        """
        if type(self._sections) is _AllSections:
            return None
        if len(self.raw) <= SHORT:
            try:
                return _decode_whole_metadata(self.raw).metadata
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None  # perhaps only one of the fields cannot be decoded
        text = self._before_spec()
        if text is None:
            return None
        try:
            return _decode_metadata(text).metadata
        except msgspec.DecodeError:
            return None

    def _found_places(self) -> Places:
        """Look for the places of the sections, where the pass over the head has not noted them."""
        places = self.places = find_places(self.raw)
        return places

    def _before_spec(self) -> bytes | None:
        """The object without its `spec` and `status`, if they are its last fields, as API servers write them.

        Decoding it is the proof: if it is a JSON object by itself, the cut lies between two fields, and only the two
        sections were cut off. Else it is a DecodeError, or this returns `None`.
        """
        places = self.places
        if places is None:
            return None
        raw = self.raw
        end = last = len(raw) - 1
        for opening, place in _LAST:
            section = getattr(places, place)
            if section is msgspec.UNSET:
                return None
            if section is not ABSENT:
                start = end - memoryview(section).nbytes - len(opening)
                if start < 0 or raw[start : start + len(opening)] != opening:
                    return None
                end = start
        return raw[:end] + b"}" if end < last else None

    def __getitem__(self, field: str) -> Any:
        sections = self._sections
        if sections is None:
            sections = self._sections = {}
        else:
            value = sections.get(field, ABSENT)
            if type(value) is not msgspec.Raw:
                return value
            if value is not ABSENT:
                value = sections[field] = decode_lazily(value)
                return value
        if self.places is not None and field in PLACED:
            # Where it is, is known: nothing has to be looked for.
            value = getattr(self.places, field)
            if value is msgspec.UNSET:
                value = getattr(self._found_places(), field)
            if value is ABSENT:
                raise KeyError(field)
        elif field == "metadata" and (fields := self._metadata_fields()) is not None:
            value = sections[field] = LazyDict(fields)
        else:
            sections = self._all_sections()
            value = sections[field]
        if type(value) is msgspec.Raw:
            value = sections[field] = decode_lazily(value)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._all_sections())

    def __len__(self) -> int:
        return len(self._all_sections())

    def __contains__(self, field: object) -> bool:
        if self.places is not None and field in PLACED:
            place = getattr(self.places, field)
            if place is msgspec.UNSET:
                place = getattr(self._found_places(), field)
            return place is not ABSENT
        return field in self._all_sections()

    if not TYPE_CHECKING:
        # What a Mapping has beside the above.
        get, keys, values, items = Mapping.get, Mapping.keys, Mapping.values, Mapping.items

        # pydantic and FastAPI write an object as its manifest, also where an answer is declared to be a KubeObject.
        __pydantic_serializer__ = PydanticSerializer(lambda obj: obj.to_dict())

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return instance_schema(cls, lambda obj: obj.to_dict())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, KubeObject):
            return (self.raw == other.raw and self.resource == other.resource) or self.to_dict() == other.to_dict()
        if isinstance(other, Mapping):
            return self.to_dict() == other
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        # A Struct has one of its own, which knows nothing of ours.
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        metadata = self.metadata
        return hash((metadata.uid, metadata.resource_version, metadata.namespace, metadata.name))

    def __repr__(self) -> str:
        return f"<{self.resource.kind} {self.key} resourceVersion={self.resource_version or '?'}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what `repr` shows. A Struct would give rich all of its fields, and so the data of a Secret."""
        return [("kind", self.resource.kind), ("key", str(self.key)), ("resource_version", self.resource_version)]

    def __reduce__(self) -> tuple[Any, ...]:
        return (KubeObject.from_json, (self.raw, self.resource))

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in MANIFEST_FIELDS]

    def at(self, path: str | Sequence[str | int], default: Any = None) -> Any:
        """The value at a path, or the default where the path leads nowhere.

        Args:
            path: field names joined by dots, with positions in lists in brackets or as numbers: "status.phase",
                "spec.containers[0].image", "spec.containers.0.image". A name that contains a dot or a slash stands in
                brackets and quotes: 'metadata.labels["app.kubernetes.io/name"]'. A sequence of names and positions
                will do, too: `("metadata", "annotations", "example.com/owner")`.
            default: what to return when a part of the path is missing. A JSON null on the way counts as missing; at
                the end it is returned as `None`.

        Nothing but the value itself is decoded, unless its section was read by `[]` before: so ask for the same path
        once, and for many fields of one section by `[]`.

        Raises:
            ValueError: a text that is no path.
        """
        if type(path) is str:
            sections, places = self._sections, self.places
            declared = None if places is None else places.declared.get(path)
            if declared is not None and (sections is None or type(sections.get(declared.section)) in _UNDECODED):
                assert places is not None
                return declared.read(places, default)
            way = finder_of(path)
            if (way is None or way.in_head) and path.startswith("metadata."):
                found, way = self._in_head(path, default)
                if found is not ABSENT:
                    return found
            if way is not None and (sections is None or type(sections.get(way.section)) in _UNDECODED):
                raw = self.raw
                # Another pass over a small object takes no longer than one that also keeps the places.
                in_one_pass = len(raw) <= SHORT and (places is None or way.in_section is None)
                try:
                    found = way.in_object(raw) if in_one_pass else self._find(way)
                except msgspec.ValidationError:
                    pass  # through a list or a string: there may be nothing there, but that is for the walk to say
                else:
                    return default if found is _UNSET else found
        value: Any = self
        steps = [*steps_of(path)] if isinstance(path, str) else [*path]
        if steps[:2] == _ANNOTATIONS and isinstance(annotations := self.metadata.annotations, msgspec.Raw):
            value, steps = decode_any(annotations), steps[2:]
        return value_at(value, steps, default)

    def _in_head(self, path: str, default: Any) -> tuple[Any, PathFinder | None]:
        """Return the value at a path of the metadata if the head has it, else `ABSENT`; and how to look for it."""
        metadata = self.metadata
        field = _IN_HEAD.get(path)
        if field is not None:
            found = getattr(metadata, field)
            if found or (found is None and default is None):
                return found, None
        steps = steps_of(path)
        if steps[1] == "labels" and len(steps) == 3 and metadata.labels:
            # An empty text may be a null.
            value = metadata.labels.get(steps[2])
            if value:
                return value, None
        # Annotations are known by their place, and the walk begins there.
        return ABSENT, None if steps[1] == "annotations" else finder_of(path)

    def _find(self, way: PathFinder) -> Any:
        if way.in_section is None:
            if way.section == "metadata" and (text := self._before_spec()) is not None:
                try:
                    return way.in_object(text)
                except msgspec.ValidationError:
                    raise
                except msgspec.DecodeError:
                    pass
            return way.in_object(self.raw)
        place = msgspec.UNSET if self.places is None else getattr(self.places, way.section)
        if place is msgspec.UNSET:
            place = getattr(self._found_places(), way.section)
        return msgspec.UNSET if place is ABSENT else way.in_section(place)

    def to_dict(self) -> dict[str, Any]:
        """A fresh copy of the whole manifest, to do with as one likes; `kind` and `apiVersion` included."""
        manifest: dict[str, Any] = decode_any(self.raw)
        if "kind" not in manifest or "apiVersion" not in manifest:
            manifest = {"kind": self.resource.kind, "apiVersion": self.resource.api_version} | manifest
        return manifest

    def to_json(self) -> bytes:
        """The whole manifest as JSON, `kind` and `apiVersion` included: the bytes as sent wherever they have both."""
        sections = _decode_sections(self.raw)
        missing = b"".join(
            b'"%s":%s,' % (field.encode(), _encode(value))
            for field, value in (("kind", self.resource.kind), ("apiVersion", self.resource.api_version))
            if field not in sections
        )
        if not missing:
            return self.raw
        return b"{" + missing + self.raw.lstrip()[1:]

    def to_decodable(self) -> bytes:
        """JSON that decodes to the whole manifest, for decoders of which the last one of two equal fields counts.

        As `to_json`, but the JSON is not gone over: `kind` and `apiVersion` are put before fields of unknown names.
        """
        raw = self.raw
        if _NAMED.match(raw) is not None:
            return raw
        resource = self.resource
        named = b'{"kind":%s,"apiVersion":%s,' % (_encode(resource.kind), _encode(resource.api_version))
        return named + raw.lstrip()[1:]

    def decode(self, into: type[T]) -> T:
        """Decode the manifest into a `msgspec.Struct`, a dataclass, a `TypedDict` or any type msgspec knows.

        Fields the type does not have are skipped, not built.

        Raises:
            DecodeError: the object does not fit the type; the message names the field.
        """
        try:
            text = self.to_decodable()
            check_depth(text)
            return msgspec.json.decode(text, type=into)
        except (msgspec.DecodeError, RecursionError) as error:
            msg = f"does not fit {getattr(into, '__name__', into)}: {error}"
            raise DecodeError(msg, key=str(self.key), resource=self.resource.full_name) from error

    def to_model(self) -> Any:
        """The object as kubernetes_asyncio's class for it (`V1Pod`, ...), imported only now (half a second).

        Raises:
            DecodeError: kubernetes_asyncio has no class for it, as for every custom resource, or the object breaks the
                class's own validation.
        """
        return model_of(self.to_json(), self.resource, str(self.key))


K = TypeVar("K", bound=KubeObject)


@overload
def decode_object(raw: bytes, resource: Resource, paths: DeclaredPaths | None = None) -> KubeObject: ...
@overload
def decode_object(raw: bytes, resource: Resource, paths: DeclaredPaths | None = None, *, into: type[K]) -> K: ...
def decode_object(
    raw: bytes, resource: Resource, paths: DeclaredPaths | None = None, *, into: type[Any] = KubeObject
) -> Any:
    """Decode the head of an object, and note the values at the declared paths.

    Raises:
        DecodeError: this is not JSON, or not an object with a `metadata.name`.
    """
    try:
        envelope = decode_head(raw) if paths is None else decode_head(raw, paths.decode)
    except RecursionError as error:
        raise DecodeError("cannot be decoded: it is nested too deeply", resource=resource.full_name) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"cannot be decoded: {error}"
        raise DecodeError(msg, resource=resource.full_name) from error
    metadata = envelope.metadata
    if not metadata.name:
        raise DecodeError("has no metadata.name", resource=resource.full_name)
    return into(raw, metadata, resource, ObjectKey(metadata.namespace, metadata.name), envelope)


if not TYPE_CHECKING:
    # So that isinstance and match statements know it as a mapping.
    Mapping.register(KubeObject)
    # Type checkers must go on to refuse attributes that are not there.
    for _name, _field in MANIFEST_FIELDS.items():
        assert _name not in vars(KubeObject), _name
        setattr(KubeObject, _name, _field)
