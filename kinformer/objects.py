"""Kubernetes objects as the cache holds them: the JSON bytes as the server sent them, and a small decoded head.

The head (name, namespace, uid, resource version, labels) is decoded once, when an object arrives. Everything else is
decoded when somebody first reads it, one top-level section at a time, and lives as long as the reader's reference:
the cache hands out a new `KubeObject` each time, which shares the bytes and the head and nothing else. So a handler
that looks at names and labels pays nothing for a 9 KB pod, and changing what one got never changes the cache.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import msgspec

from kinformer._recent import Lately
from kinformer.errors import DecodeError

if TYPE_CHECKING:
    from kinformer.resources import Resource

__all__ = ["KubeObject", "Metadata", "ObjectKey", "decode_head", "version_number"]

T = TypeVar("T")

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


# Pods come in sets of five or ten with equal labels, so this is enough for a hundred thousand of them; some 4 MB.
_REMEMBERED_LABEL_SETS: Final = 16_384


class ObjectKey(msgspec.Struct, frozen=True, order=True, gc=False, cache_hash=True):
    """What identifies an object among those of its resource; the namespace of a cluster-scoped object is "".

    `str(key)` is client-go's form, "namespace/name" or "name" (client-go store.go, MetaNamespaceKeyFunc). Keys can be
    hashed, sorted by namespace and name, and taken apart: `namespace, name = key`.
    """

    # Not a NamedTuple: of those the collector never learns that nothing in them can be in a cycle, so it would look
    # through the keys of the whole cache, again and again.
    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ObjectKey:
        """Take "namespace/name" or "name" apart.

        Raises:
            ValueError: there is more than one slash, or no name.
        """
        namespace, slash, name = text.rpartition("/")
        if not name or "/" in namespace or (slash and not namespace):
            msg = f"unexpected key format: {text!r}; expected 'namespace/name' or 'name'"
            raise ValueError(msg)
        return cls(namespace, name)

    def __iter__(self) -> Iterator[str]:
        yield self.namespace
        yield self.name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Metadata(msgspec.Struct, gc=False, rename="camel"):
    """The head: what is decoded of every object. No reference cycles can be made of it, so the collector skips it."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None


class _HeadAsSent(Metadata, gc=False, rename="camel"):
    """A head as it is decoded; its labels are replaced before anybody sees it."""

    labels: msgspec.Raw = None  # type: ignore[assignment]  # their JSON; msgspec knows no "JSON or nothing"


class _Envelope(msgspec.Struct, gc=False):
    metadata: _HeadAsSent


class _LabelSets:
    """Sets of labels by their JSON. Many objects have equal ones, and have them from here: decoded once, kept once.

    What came lately is remembered: at least the last 16,384 different ones, at most twice as many. Nothing has to be
    counted or given back, and nothing is kept alive for longer than that. Different sets share the strings in them.
    """

    __slots__ = ("_older", "_younger")

    def __init__(self) -> None:
        self._younger: dict[bytes, dict[str, str] | None] = {}
        self._older: dict[bytes, dict[str, str] | None] = {}

    def get(self, text: bytes) -> dict[str, str] | None:
        """The labels that JSON means; `None` for null.

        Raises:
            msgspec.DecodeError, UnicodeDecodeError: they are no labels.
        """
        found = self._younger.get(text)
        if found is None:
            found = self._older.get(text)
            if found is None:
                found = _decode_labels(text)
                if found:
                    found = {_one_string(name): _one_string(value) for name, value in found.items()}
            if len(self._younger) >= _REMEMBERED_LABEL_SETS:
                self._older, self._younger = self._younger, {}
            self._younger[text] = found
        return found


def _one_string(text: str) -> str:
    """The same text, as one string for all who have it."""
    found = _label_strings.get(text)
    if found is None:
        _label_strings.put(text, text)
        return text
    return found


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_labels = msgspec.json.Decoder(dict[str, str] | None).decode
_label_sets = _LabelSets()
_label_strings: Final[Lately[str, str]] = Lately(4096)
_decode_sections = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=1024)
def _path_finder(path: str) -> Callable[[bytes], Any] | None:
    """Finds what is at a path of an object's JSON, and skips the rest: in half the time of decoding a section.

    Where the path leads nowhere, it returns `UNSET`; where it leads through a list or a string, it raises
    `msgspec.ValidationError`. `None`: such a path has to be walked.
    """
    steps = path.split(".")
    # What the view adds itself, whole sections, and places in lists.
    if len(steps) < 2 or steps[0] in {"kind", "apiVersion"} or any(map(str.isdecimal, steps)):
        return None
    inside: Any = Any
    outermost: Any = None
    for step in reversed(steps):
        fields = [("value", inside, msgspec.UNSET)]
        outermost = msgspec.defstruct("Step", fields, rename={"value": step}, gc=False)
        inside = outermost | None
    decode = msgspec.json.Decoder(outermost).decode
    on_the_way = len(steps) - 1

    def find(raw: bytes) -> Any:
        found: Any = decode(raw)
        for _ in range(on_the_way):
            found = found.value
            if found is None or found is msgspec.UNSET:
                return msgspec.UNSET
        return found.value

    return find


# In place of the sections of a view of which one path has been read, and no section yet.
_ASKED_ONCE: Final[dict[str, Any]] = {}


def decode_head(raw: bytes) -> Metadata:
    """Go over the whole of an object, which proves that it is JSON, but build its head only.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: it is not JSON, or not what every object looks like.
    """
    head = _decode_envelope(raw).metadata
    labels = head.labels
    if labels is not None:
        head.labels = _label_sets.get(bytes(labels))  # type: ignore[assignment]
    return head


def version_number(resource_version: str) -> int:
    """A resource version as the integer it is (KEP-5504); what is no number counts as 0, older than everything."""
    try:
        return int(resource_version)
    except ValueError:
        return 0


if TYPE_CHECKING:

    class _Base(Mapping[str, Any]):
        """What type checkers are told: a `Mapping`, whose constructor takes the fields."""

        def __init__(self, raw: bytes, metadata: Metadata, resource: Resource, key: ObjectKey) -> None: ...
        def __init_subclass__(cls, **options: bool) -> None: ...

else:
    # One object is made per event and one per read, and as many are kept as the cache has: a msgspec.Struct is made in
    # a third of the time and takes no collector's attention, but cannot inherit from an abstract class; see below.
    _Base = msgspec.Struct


class KubeObject(_Base, eq=False, gc=False):
    """A read-only view of one object.

    As a mapping it is the whole manifest: `obj["spec"]["nodeName"]`. Items of a list come without `kind` and
    `apiVersion` on the wire; the view shows them all the same. What `[]` returns belongs to this view: changing it
    changes neither the cache nor another view, but all handlers of one event are given the same view, so take
    `to_dict()` to make changes. Equal views have equal manifests; views can be hashed.

    Attributes:
        raw: the JSON as the server sent it.
        metadata: the decoded head; do not change it.
        resource: what this is an object of.
        key: namespace and name.
    """

    raw: bytes
    metadata: Metadata
    resource: Resource
    key: ObjectKey
    _sections: dict[str, Any] | None = None

    @classmethod
    def from_json(cls, raw: bytes, resource: Resource) -> Self:
        """Decode the head of an object.

        Raises:
            DecodeError: this is not JSON, or not an object with a `metadata.name`.
        """
        try:
            metadata = decode_head(raw)
        except RecursionError as error:
            raise DecodeError("cannot be decoded: it is nested too deeply", resource=resource.full_name) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            msg = f"cannot be decoded: {error}"
            raise DecodeError(msg, resource=resource.full_name) from error
        if not metadata.name:
            raise DecodeError("has no metadata.name", resource=resource.full_name)
        return cls(raw, metadata, resource, ObjectKey(metadata.namespace, metadata.name))

    @classmethod
    def from_dict(cls, manifest: Mapping[str, Any], resource: Resource) -> Self:
        """Make an object of a manifest.

        Raises:
            DecodeError: it cannot be written as JSON, or has no `metadata.name`.
        """
        if isinstance(manifest, KubeObject):
            return cls(manifest.raw, manifest.metadata, resource, manifest.key)
        try:
            raw = _encode(manifest)
        except (TypeError, ValueError, OverflowError) as error:
            msg = f"cannot be written as JSON: {error}"
            raise DecodeError(msg, resource=resource.full_name) from error
        return cls.from_json(raw, resource)

    def view(self) -> Self:
        """Another view of the same object, with nothing decoded beyond the head."""
        return type(self)(self.raw, self.metadata, self.resource, self.key)

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
    def kind(self) -> str:
        """The kind of its resource, such as "Pod" (also of a metadata-only object)."""
        return self.resource.kind

    @property
    def api_version(self) -> str:
        """The group and version of its resource, such as "apps/v1"."""
        return self.resource.api_version

    def _sectioned(self) -> dict[str, Any]:
        """The top-level fields, each still raw until it is read."""
        sections = self._sections
        if not sections:
            found: dict[str, Any] = dict(_decode_sections(self.raw))
            if "kind" not in found or "apiVersion" not in found:
                found = {"kind": self.resource.kind, "apiVersion": self.resource.api_version} | found
            self._sections = sections = found
        return sections

    def __getitem__(self, field: str) -> Any:
        sections = self._sections
        if not sections:
            sections = self._sectioned()
        value = sections[field]
        if type(value) is msgspec.Raw:
            value = sections[field] = _decode_any(value)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._sectioned())

    def __len__(self) -> int:
        return len(self._sectioned())

    def __contains__(self, field: object) -> bool:
        return field in self._sectioned()

    if not TYPE_CHECKING:
        # What a Mapping has beside the above.
        get, keys, values, items = Mapping.get, Mapping.keys, Mapping.values, Mapping.items

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

    def __reduce__(self) -> tuple[Any, ...]:
        return (KubeObject, (self.raw, self.metadata, self.resource, self.key))

    def at(self, path: str | Sequence[str | int], default: Any = None) -> Any:
        """The value at a path, or the default where the path leads nowhere.

        Args:
            path: field names joined by dots, with positions in lists as numbers: "status.phase",
                "spec.containers.0.image". Names that contain dots need the other form, a sequence:
                `("metadata", "annotations", "example.com/owner")`.
            default: what to return when a part of the path is missing. A JSON null on the way counts as missing; at
                the end it is returned as `None`.

        The first path asked of a view costs little more than finding it: nothing else is decoded. From the second on,
        sections are decoded and kept, as by `[]`.
        """
        if self._sections is None and isinstance(path, str):
            find = _path_finder(path)
            if find is not None:
                self._sections = _ASKED_ONCE
                try:
                    found = find(self.raw)
                except msgspec.ValidationError:
                    pass  # through a list or a string: there may be nothing there, but that is for the walk to say
                else:
                    return default if found is msgspec.UNSET else found
        value: Any = self
        for step in path.split(".") if isinstance(path, str) else path:
            if isinstance(value, Mapping):
                if step not in value:
                    return default
                value = value[str(step)]
            elif isinstance(value, list):
                try:
                    value = value[int(step)]
                except (IndexError, ValueError):
                    return default
            else:
                return default
        return value

    def to_dict(self) -> dict[str, Any]:
        """A fresh copy of the whole manifest, to do with as one likes; `kind` and `apiVersion` included."""
        manifest: dict[str, Any] = _decode_any(self.raw)
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

    def decode(self, into: type[T]) -> T:
        """Decode the manifest into a `msgspec.Struct`, a dataclass, a `TypedDict` or any type msgspec knows.

        Fields the type does not have are skipped, not built.

        Raises:
            DecodeError: the object does not fit the type; the message names the field.
        """
        try:
            return msgspec.json.decode(self.to_json(), type=into)
        except msgspec.DecodeError as error:
            msg = f"does not fit {getattr(into, '__name__', into)}: {error}"
            raise DecodeError(msg, key=str(self.key), resource=self.resource.full_name) from error

    def to_model(self) -> Any:
        """The object as kubernetes_asyncio's class for it (`V1Pod`, ...), imported only now (half a second).

        Raises:
            DecodeError: kubernetes_asyncio has no class for it, as for every custom resource, or the object breaks the
                class's own validation.
        """
        client = importlib.import_module("kubernetes_asyncio.client")
        group = self.resource.group.removesuffix(".k8s.io").partition(".")[0].capitalize() or "Core"
        version = self.resource.version.capitalize()
        # Event is in two groups, and so its classes are named by them: CoreV1Event, EventsV1Event.
        name = next((n for n in (version + self.kind, group + version + self.kind) if hasattr(client.models, n)), None)
        if name is None:
            msg = f"kubernetes_asyncio has no class for {self.resource.full_name}; use decode() or to_dict()"
            raise DecodeError(msg, key=str(self.key), resource=self.resource.full_name)
        # Made without __init__, which would open an HTTP session: only the deserializer is wanted.
        deserializer = client.ApiClient.__new__(client.ApiClient)
        deserializer.configuration = client.Configuration()
        try:
            return deserializer.deserialize(SimpleNamespace(data=self.to_json()), name)
        except (ValueError, TypeError) as error:
            msg = f"does not fit kubernetes_asyncio's {name}: {error}"
            raise DecodeError(msg, key=str(self.key), resource=self.resource.full_name) from error


if not TYPE_CHECKING:
    # So that isinstance and match statements know it for what it is.
    Mapping.register(KubeObject)
